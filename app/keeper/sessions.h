// app/keeper/sessions.h -- the services' ends of every live session's links, so that a new service can take them up.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "app/keeper/kits.h"
#include "app/keeper/loop.h"
#include "platform/control/control.pb.h"

namespace sallyport::app {

/// Holds a duplicate of each service's end until the session's side is closed (EPOLLHUP) and the service could have seen it.
class Sessions {
 public:
  /// `is_up(peer)`: that service has a process that was given its ends.
  Sessions(Loop& loop, std::function<bool(control::Peer)> is_up) : loop_(loop), is_up_(std::move(is_up)) {}
  ~Sessions();
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  Result<void> add(const std::string& session, ServiceEnds ends);
  /// Calls `give(session, end, ring)` for every end of `peer`'s; afterwards lets go of those whose session is over.
  void for_each_end(control::Peer peer, const std::function<void(const std::string&, int end, int ring)>& give);
  [[nodiscard]] std::size_t size() const noexcept { return sessions_.size(); }
  [[nodiscard]] bool contains(const std::string& session) const { return sessions_.find(session) != sessions_.end(); }
  void for_each(const std::function<void(const std::string&, const ServiceEnds&)>& look) const;

 private:
  void on_hang_up(const std::string& session, control::Peer peer);
  void drop_end(const std::string& session, control::Peer peer);

  Loop& loop_;
  std::function<bool(control::Peer)> is_up_;
  std::unordered_map<std::string, ServiceEnds> sessions_;
};

/// The member of `ends` that is `peer`'s.
[[nodiscard]] Fd& end_of(ServiceEnds& ends, control::Peer peer);

}  // namespace sallyport::app
