// gateway/listener/outbox.h -- a control link whose messages wait, in order, while the peer does not read.
#pragma once

#include <poll.h>

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "platform/control/link.h"

namespace sallyport::gateway {

class Outbox {
 public:
  /// `most_waiting`: beyond it the oldest message is lost.
  explicit Outbox(std::size_t most_waiting) : most_waiting_(most_waiting) {}

  /// Messages that wait go to the new link.
  void use(Fd socket);
  void close() noexcept { link_.close(); }
  [[nodiscard]] bool is_open() const noexcept { return link_.is_open(); }
  [[nodiscard]] int native() const noexcept { return link_.native(); }
  [[nodiscard]] short wanted_events() const noexcept { return waiting_.empty() ? POLLIN : POLLIN | POLLOUT; }

  /// Sends now or later, also while the link is closed.
  void send(control::Envelope envelope);
  void flush();
  /// Waits until everything is sent, at most so long.
  void drain(std::chrono::milliseconds at_most);
  /// The next message; an error means that the link is closed now.
  [[nodiscard]] Result<std::optional<control::Received>> receive();

  /// What waits, encoded, and back: for an exec.
  [[nodiscard]] std::vector<std::string> unsent() const;
  void restore(const std::vector<std::string>& encoded);

 private:
  control::Link link_;
  std::size_t most_waiting_;
  std::deque<control::Envelope> waiting_;
};

}  // namespace sallyport::gateway
