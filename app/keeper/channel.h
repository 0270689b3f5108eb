// app/keeper/channel.h -- the keeper's end of a service's control link, with a queue for when the service is slow.
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "app/keeper/loop.h"
#include "platform/control/link.h"

namespace sallyport::app {

/// Sends in order and never blocks: what the socket does not take waits in memory together with duplicates of its descriptors.
/// The queue is bounded by what the keeper owns (a fixed number of messages per live session), not by what a peer sends.
class Channel {
 public:
  using Handler = std::function<void(control::Received)>;
  using Closed = std::function<void(const Error&)>;

  Channel(Loop& loop, Fd socket, Handler handler, Closed closed);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// The caller keeps `descriptors`.
  void send(control::Envelope envelope, std::span<const int> descriptors = {});
  [[nodiscard]] int native() const noexcept { return link_.native(); }
  [[nodiscard]] std::size_t waiting() const noexcept { return queue_.size(); }

 private:
  struct Waiting {
    control::Envelope envelope;
    std::vector<Fd> descriptors;
  };
  void on_event(std::uint32_t events);
  void flush();

  Loop& loop_;
  control::Link link_;
  Handler handler_;
  Closed closed_;
  std::deque<Waiting> queue_;
};

}  // namespace sallyport::app
