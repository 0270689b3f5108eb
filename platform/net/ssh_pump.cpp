#include "platform/net/ssh_pump.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sallyport::net {
namespace {

// Large reads: a packet that two of them share is copied together first. What no bulk touches takes no memory.
constexpr std::size_t k_read_size = 256 * 1024;
constexpr int k_reads_per_turn = 2;                    // then the other leg has its turn
constexpr std::size_t k_low_mark = 64 * 1024;          // below it the producers are told
std::array<char, k_read_size> read_buffer;             // one loop, one thread: the legs share it

}  // namespace

SshPump::SshPump(boost::asio::io_context& io, SshSessionHandle session, Fd socket)
    : session_(std::move(session)), socket_(io, socket.release()) {
  const int flags = ::fcntl(socket_.native_handle(), F_GETFL);
  ::fcntl(socket_.native_handle(), F_SETFL, flags | O_NONBLOCK);
}

SshPump::~SshPump() { close(); }

void SshPump::start(std::function<void()> progress) {
  progress_ = std::move(progress);
  wait_readable();
  flush();
}

void SshPump::hold_reading(bool hold) {
  held_ = hold;
  if (!hold && !reading_ && !closed_) wait_readable();
}

void SshPump::forget_packets(bool on) {
#ifdef SSH_SESSION_FORGETS_PACKETS  // patch 0021
  ssh_session_forget_packets(session_.get(), on ? 1 : 0);
#else
  static_cast<void>(on);
#endif
}

void SshPump::wait_readable() {
  reading_ = true;
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    reading_ = false;
    if (error || closed_) return;
    on_readable();
  });
}

void SshPump::on_readable() {
  for (int turn = 0; turn < k_reads_per_turn && !closed_; ++turn) {
    const ssize_t size = ::recv(socket_.native_handle(), read_buffer.data(), read_buffer.size(), 0);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) break;
    if (size < 0) {
      end(std::string("connection lost: ") + std::strerror(errno));
      return;
    }
    if (size == 0) {
      ssh_session_feed_eof(session_.get());
      end("connection closed by the peer");
      return;
    }
    received_ += static_cast<std::uint64_t>(size);
    if (ssh_session_feed(session_.get(), read_buffer.data(), static_cast<std::size_t>(size)) != SSH_OK) {
      const char* why = ssh_get_error(session_.get());
      flush();
      end(why != nullptr ? why : "protocol error");
      return;
    }
    if (static_cast<std::size_t>(size) < read_buffer.size()) break;
  }
  flush();
  if (!closed_ && !held_ && !reading_) wait_readable();
  if (progress_) progress_();
}

void SshPump::flush() {
  while (!closed_ && !writing_) {
    std::size_t size = 0;
    const void* bytes = ssh_session_output(session_.get(), &size);
    if (size == 0) return;
    const ssize_t done = ::send(socket_.native_handle(), bytes, size, MSG_NOSIGNAL);
    if (done < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        wait_writable();
        return;
      }
      // The reader sees the same end and reports it; here the bytes are only given up.
      ssh_session_output_consumed(session_.get(), size);
      return;
    }
    sent_ += static_cast<std::uint64_t>(done);
    ssh_session_output_consumed(session_.get(), static_cast<std::size_t>(done));
  }
}

void SshPump::wait_writable() {
  writing_ = true;
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_write, [this](const boost::system::error_code& error) {
    writing_ = false;
    if (error || closed_) return;
    flush();
    if (queued_output() < k_low_mark && progress_) progress_();
  });
}

void SshPump::end(std::string reason) {
  if (closed_) return;
  closed_ = true;
  reason_ = std::move(reason);
  boost::system::error_code ignored;
  socket_.close(ignored);
  if (progress_) progress_();
}

void SshPump::close() {
  if (closed_) return;
  flush();
  closed_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace sallyport::net
