// recorder/peers.h -- the control links of the recorder and what waits to be sent on them. Never blocks on any of them.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "platform/control/link.h"

namespace sallyport::recorder {

using PeerId = std::uint64_t;

struct Peer {
  PeerId id = 0;
  control::Peer kind = control::PEER_UNKNOWN;
  std::string session;  ///< label, for sessions
  control::Link link;
  std::deque<control::Envelope> waiting;
  bool wants_out = false;  ///< EPOLLOUT is on
};

/// Owns the links and their places in one epoll set. Ids are never used twice.
class Peers {
 public:
  explicit Peers(int epoll) : epoll_(epoll) {}

  /// A second link of the same service, or of the same session, takes the place of the first.
  Result<PeerId> add(control::Peer kind, std::string session, Fd socket);
  void remove(PeerId id);
  [[nodiscard]] Peer* find(PeerId id) noexcept;
  [[nodiscard]] Peer* service(control::Peer kind) noexcept;
  [[nodiscard]] Peer* session(const std::string& label) noexcept;
  [[nodiscard]] std::size_t session_count() const noexcept { return sessions_.size(); }

  /// Sends, or keeps for when the peer reads again. A session's RingSpace of which one waits already replaces it; a peer
  /// with k_most_waiting messages unread is given up: false, remove it.
  bool say(Peer& peer, control::Envelope envelope);
  /// The peer can take more. False: it is gone.
  bool flush(Peer& peer);

  static constexpr PeerId k_first_id = 1000;  ///< smaller epoll tags are free for others
  static constexpr std::size_t k_most_waiting = 65'536;
  static constexpr std::size_t k_most_waiting_session = 64;

 private:
  void want_out(Peer& peer, bool wanted);

  int epoll_;
  PeerId last_id_ = k_first_id;
  std::unordered_map<PeerId, std::unique_ptr<Peer>> peers_;
  std::unordered_map<int, PeerId> services_;
  std::unordered_map<std::string, PeerId> sessions_;
};

}  // namespace sallyport::recorder
