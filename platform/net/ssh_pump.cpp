#include "platform/net/ssh_pump.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sallyport::net {
namespace {

// Large reads: a packet that two of them share is copied together first. What no bulk touches takes no memory.
constexpr std::size_t k_read_size = 256 * 1024;
constexpr std::size_t k_bounded_read = 16 * 1024;      // of a stranger: what one read brings is looked at only afterwards
constexpr int k_reads_per_turn = 2;                    // then the other leg has its turn
constexpr std::size_t k_low_mark = 64 * 1024;          // below it the producers are told
std::array<char, k_read_size> read_buffer;             // one loop, one thread: the legs share it

}  // namespace

SshPump::SshPump(boost::asio::io_context& io, SshSessionHandle session, Fd socket)
    : session_(std::move(session)), socket_(io, socket.release()) {
  const int flags = ::fcntl(socket_.native_handle(), F_GETFL);
  ::fcntl(socket_.native_handle(), F_SETFL, flags | O_NONBLOCK);
}

SshPump::~SshPump() {
  try {
    close();
  } catch (...) {  // no memory for the last bytes: the socket closes all the same
  }
}

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

void SshPump::bound_input(const Bounds& bounds) { bounds_ = bounds; }

void SshPump::lift_bounds() { bounds_.reset(); }

std::size_t SshPump::most_to_read() const {
  if (!bounds_) return read_buffer.size();
  const std::uint64_t room = bounds_->bytes > received_ ? bounds_->bytes - received_ : 0;
  return static_cast<std::size_t>(std::min<std::uint64_t>(k_bounded_read, room + 1));
}

bool SshPump::is_beyond_bounds(std::size_t size) {
  if (!bounds_) return false;
  if (received_ > bounds_->bytes) {
    end("more than " + std::to_string(bounds_->bytes) + " bytes came before the login");
    return true;
  }
  // libssh passes over any number of lines before the version (RFC 4253 section 4.2 gives no bound).
  if (ssh_get_serverbanner(session_.get()) != nullptr) return false;
  greeting_lines_ += static_cast<std::uint64_t>(std::count(read_buffer.begin(), read_buffer.begin() + static_cast<std::ptrdiff_t>(size), '\n'));
  if (greeting_lines_ <= bounds_->greeting_lines && received_ <= bounds_->greeting_bytes) return false;
  end("too many lines came before the version of SSH");
  return true;
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
    const std::size_t wanted = most_to_read();
    const ssize_t size = ::recv(socket_.native_handle(), read_buffer.data(), wanted, 0);
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
    if (is_beyond_bounds(static_cast<std::size_t>(size))) return;
    if (static_cast<std::size_t>(size) < wanted) break;
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
