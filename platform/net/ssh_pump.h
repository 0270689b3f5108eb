// platform/net/ssh_pump.h -- moves the bytes between a socket and a libssh session that does no I/O of its own.
//
// libssh (with our patches, see third_party/libssh) is a protocol engine here: what arrives is fed to it, what it wants
// to send is taken from it. So there is one event loop, no poll inside the library, and the queue towards a slow peer is
// known to the byte.
#pragma once

#include <libssh/libssh.h>
#include <libssh/sallyport.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "platform/os/fd.h"

namespace sallyport::net {

struct FreeSshSession {
  void operator()(ssh_session session) const noexcept { ssh_free(session); }
};
using SshSessionHandle = std::unique_ptr<ssh_session_struct, FreeSshSession>;

/// One thread, one io_context. The handlers run on the loop, never from inside flush() or a libssh callback.
class SshPump {
 public:
  /// `session` already has external I/O. `socket` is a connected stream; it becomes non-blocking.
  SshPump(boost::asio::io_context& io, SshSessionHandle session, Fd socket);
  SshPump(const SshPump&) = delete;
  SshPump& operator=(const SshPump&) = delete;
  ~SshPump();

  /// Begins to read. `progress` runs after each batch of fed bytes, after the output drained below the low mark,
  /// and once when the peer or the protocol ended.
  void start(std::function<void()> progress);

  /// Writes what libssh has queued; what does not fit now follows by itself. Cheap when there is nothing.
  void flush();

  /// While held, nothing is read: the peer feels it by TCP. Used when the peer floods us with what needs answers.
  void hold_reading(bool hold);
  /// What a peer may send before it has proven anything: so many bytes in all and, before its version line, so many other lines
  /// and bytes. More ends the connection. lift_bounds() when it is logged in.
  struct Bounds {
    std::uint64_t bytes = 1024 * 1024;
    std::uint64_t greeting_bytes = 64 * 1024;
    std::uint64_t greeting_lines = 1024;
  };
  void bound_input(const Bounds& bounds);
  void lift_bounds();
  /// While on, what a packet held is overwritten when the next one comes: for the time in which passwords pass.
  void forget_packets(bool on);

  [[nodiscard]] ssh_session raw() const noexcept { return session_.get(); }
  [[nodiscard]] bool is_closed() const noexcept { return closed_; }
  /// Why the peer's end or breach closed it; empty after close().
  [[nodiscard]] const std::string& close_reason() const noexcept { return reason_; }
  /// Bytes that wait to be sent, those held back by a key exchange included.
  [[nodiscard]] std::size_t queued_output() const { return ssh_session_queued_output(session_.get()); }
  [[nodiscard]] std::uint64_t bytes_received() const noexcept { return received_; }
  [[nodiscard]] std::uint64_t bytes_sent() const noexcept { return sent_; }

  /// Sends what is queued as far as the socket takes it now, then closes the socket.
  void close();

 private:
  void wait_readable();
  void on_readable();
  void wait_writable();
  [[nodiscard]] std::size_t most_to_read() const;
  [[nodiscard]] bool is_beyond_bounds(std::size_t size);
  void end(std::string reason);

  SshSessionHandle session_;
  boost::asio::posix::stream_descriptor socket_;
  std::function<void()> progress_;
  std::string reason_;
  std::optional<Bounds> bounds_;
  std::uint64_t greeting_lines_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t sent_ = 0;
  bool closed_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool held_ = false;
};

}  // namespace sallyport::net
