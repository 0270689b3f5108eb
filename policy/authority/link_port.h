// policy/authority/link_port.h -- a control link on the authority's loop: questions with deadlines, sends that never block.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>

#include "platform/control/link.h"
#include "policy/authority/deadlines.h"

namespace sallyport::authority {

/// One thread. Any callback may destroy the port. What the socket does not take waits in a bounded queue; a peer that lets
/// it overflow is lost.
class LinkPort {
 public:
  using Message = std::function<void(control::Received)>;
  using Lost = std::function<void(const Error&)>;
  using Answer = std::function<void(Result<control::Received>)>;

  LinkPort(boost::asio::io_context& io, Deadlines& deadlines, Fd socket, std::size_t most_waiting = 1024);
  ~LinkPort();
  LinkPort(const LinkPort&) = delete;
  LinkPort& operator=(const LinkPort&) = delete;

  /// `message` gets everything that is not the answer to a question of ours.
  void start(Message message, Lost lost);
  /// The caller keeps `descriptors`.
  void send(control::Envelope envelope, std::span<const int> descriptors = {});
  void answer(const control::Envelope& question, control::Envelope body, std::span<const int> descriptors = {});
  /// `answer` is called exactly once: the reply, its Failure as an Error, Errc::unavailable at the deadline, Errc::cancelled
  /// when the port is lost; never when the port is destroyed.
  void ask(control::Envelope question, std::chrono::milliseconds deadline, Answer answer, std::span<const int> descriptors = {});
  /// Asks all unanswered questions again under their numbers: the peer was restarted. Those with descriptors fail.
  void ask_again();
  /// Handles what has arrived already, now.
  void drain();
  /// Moves the unanswered questions of `old` here and asks them: the peer came back on a new socket.
  void inherit(LinkPort& old);

  [[nodiscard]] std::size_t unanswered() const noexcept;
  [[nodiscard]] bool is_lost() const noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace sallyport::authority
