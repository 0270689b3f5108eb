// platform/control/link.h -- one end of a control socketpair between two of our processes.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "platform/control/control.pb.h"
#include "platform/model/result.h"
#include "platform/os/fd.h"

namespace sallyport::control {

constexpr std::size_t k_max_packet = 64 * 1024;           ///< bytes of one packet on the socket
constexpr std::size_t k_max_oversize = 16 * 1024 * 1024;  ///< bytes of one Envelope that travels as a sealed memfd
constexpr std::size_t k_max_descriptors = 8;
constexpr std::uint32_t k_version = 1;

struct Received {
  Envelope envelope;
  std::vector<Fd> descriptors;
};

/// Sends and receives Envelopes over an AF_UNIX SOCK_SEQPACKET socket. No thread of its own, no event loop: wait for
/// readability of native() with whatever loop you have, then call receive() until it gives nothing.
/// Not thread-safe. Truncated packets, surplus descriptors and undecodable bytes are Errc::corrupt: drop the peer.
class Link {
 public:
  Link() = default;
  explicit Link(Fd socket);

  /// A connected pair of ends, both close-on-exec.
  [[nodiscard]] static Result<std::pair<Fd, Fd>> make_pair();

  [[nodiscard]] int native() const noexcept { return socket_.get(); }
  [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(socket_); }
  void close() noexcept { socket_.reset(); }
  [[nodiscard]] Fd release() noexcept { return std::move(socket_); }

  /// Never blocks. Errc::unavailable: the peer's queue is full (try later). Errc::cancelled: the peer is gone.
  /// The descriptors are duplicated into the packet; the caller keeps its own.
  Result<void> send(const Envelope& envelope, std::span<const int> descriptors = {});

  /// The next packet, or nothing if none is there. Errc::cancelled: the peer closed. Errc::corrupt: see above.
  Result<std::optional<Received>> receive();

  /// Sends `question` with a fresh call number and waits for its answer; packets that are not the answer are kept for
  /// receive(). Only for processes that serve one session. Errc::cancelled when the peer closed, Errc::unavailable at
  /// the deadline; a Failure in the answer comes back as Error with its errc and detail.
  Result<Received> call_blocking(Envelope question, std::chrono::milliseconds deadline, std::span<const int> descriptors = {});

  /// A call number that was not used on this end before.
  [[nodiscard]] std::uint64_t next_call() noexcept { return ++last_call_; }

 private:
  Result<std::optional<Received>> receive_from_socket();

  Fd socket_;
  std::uint64_t last_call_ = 0;
  std::vector<Received> kept_;
};

/// The envelope that answers `question` with a failure.
[[nodiscard]] Envelope failure_reply(const Envelope& question, const Error& error);
/// The envelope that answers `question`; fill in the body.
[[nodiscard]] Envelope reply_to(const Envelope& question);
/// The Error that a reply's Failure stands for.
[[nodiscard]] Error error_of(const Failure& failure);

}  // namespace sallyport::control
