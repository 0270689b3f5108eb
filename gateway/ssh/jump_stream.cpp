#include "gateway/ssh/jump_stream.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "gateway/ssh/relay.h"

namespace sallyport::gateway {

JumpStream::JumpStream(boost::asio::io_context& io, Relay& relay, std::uint32_t channel, Fd socket)
    : relay_(relay), channel_(channel), socket_(io, socket.release()) {
  ::fcntl(socket_.native_handle(), F_SETFL, ::fcntl(socket_.native_handle(), F_GETFL) | O_NONBLOCK);
  wait_readable();
}

void JumpStream::write(std::span<const std::byte> data) {
  waiting_.insert(waiting_.end(), data.begin(), data.end());
  flush();
}

void JumpStream::client_eof() {
  eof_ = true;
  flush();
}

void JumpStream::flush() {
  while (!waiting_.empty() && !writing_) {
    const ssize_t done = ::send(socket_.native_handle(), waiting_.data(), waiting_.size(), MSG_NOSIGNAL);
    if (done < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        writing_ = true;
        socket_.async_wait(boost::asio::posix::stream_descriptor::wait_write, [this](const boost::system::error_code& error) {
          if (error) return;
          writing_ = false;
          flush();
        });
        return;
      }
      waiting_.clear();
      return;  // the reader sees the end
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + done);
    if (Channel* channel = relay_.find(channel_)) relay_.credit(*channel, Side::client, static_cast<std::uint32_t>(done));
  }
  if (waiting_.empty() && eof_) ::shutdown(socket_.native_handle(), SHUT_WR);
}

void JumpStream::wait_readable() {
  reading_ = true;
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;
    reading_ = false;
    on_readable();
  });
}

void JumpStream::continue_reading() {
  if (!reading_ && !finished_) on_readable();
}

void JumpStream::on_readable() {
  static std::array<std::byte, k_max_packet> buffer;
  for (int turn = 0; turn < 8; ++turn) {
    Channel* channel = relay_.find(channel_);
    if (channel == nullptr || finished_) return;
    const std::size_t room = std::min<std::size_t>({channel->client.peer_window, channel->client.peer_max_packet, buffer.size()});
    if (room == 0 || relay_.leg_is_full(Side::client)) return;  // turn() or a window adjustment calls continue_reading()
    const ssize_t size = ::recv(socket_.native_handle(), buffer.data(), room, 0);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
      relay_.client_->flush();
      return wait_readable();
    }
    if (size <= 0) return finish();
    channel->bytes_out += static_cast<std::uint64_t>(size);
    relay_.send_data(*channel, Side::client, 0, std::span<const std::byte>(buffer.data(), static_cast<std::size_t>(size)));
  }
  relay_.client_->flush();
  wait_readable();
}

void JumpStream::finish() {
  finished_ = true;
  Channel* channel = relay_.find(channel_);
  if (channel == nullptr) return;
  channel->to_client.push_back(Item{.kind = Item::Kind::eof, .bytes = {}, .request = {}});
  channel->to_client.push_back(Item{.kind = Item::Kind::close, .bytes = {}, .request = {}});
  // move() may erase this object: nothing of it is touched afterwards.
  Relay& relay = relay_;
  boost::asio::post(socket_.get_executor(), [&relay] { relay.turn(); });
}

}  // namespace sallyport::gateway
