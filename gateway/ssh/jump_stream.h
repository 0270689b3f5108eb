// gateway/ssh/jump_stream.h -- the outer half of a jump: ciphertext of the inner connection between a channel and a socket.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <deque>
#include <span>

#include "platform/model/bytes.h"
#include "platform/os/fd.h"

namespace sallyport::gateway {

class Relay;

/// The inner session process serves the other end of the socket. Nothing is recorded here: the inner session records.
/// Bounded by the channel's window towards us and by the client's window from us.
class JumpStream {
 public:
  JumpStream(boost::asio::io_context& io, Relay& relay, std::uint32_t channel, Fd socket);

  void write(std::span<const std::byte> data);
  void client_eof();
  /// Reads on when the client's window and the leg's queue have room again.
  void continue_reading();

 private:
  void wait_readable();
  void on_readable();
  void flush();
  void finish();

  Relay& relay_;
  std::uint32_t channel_;
  boost::asio::posix::stream_descriptor socket_;
  Bytes waiting_;
  bool reading_ = false;
  bool writing_ = false;
  bool eof_ = false;
  bool finished_ = false;
};

}  // namespace sallyport::gateway
