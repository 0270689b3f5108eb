// bench/unrecorded/tape.cpp -- a Tape that lets data pass without recording it: what recording costs is the difference to the real one.
//
// The product has no switch that turns recording off, and gets none: this file stands in for gateway/ssh/tape.cpp when
// sallyport-session-unrecorded is linked, a program that only bench/recording_cost starts. The session's header, events, sizes and ends
// are written as always, and an event says that nothing else is.
#include "gateway/ssh/tape.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace sallyport::gateway {

Tape::Tape(boost::asio::io_context& io, Fd recorder_link, Clock& clock)
    : link_(std::move(recorder_link)), ready_(io, ::dup(link_.native())), clock_(clock) {}

void Tape::start(std::function<void()> on_room, std::function<void(std::string)> on_failed) {
  on_room_ = std::move(on_room);
  on_failed_ = std::move(on_failed);
  wait();
}

void Tape::wait() {
  ready_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (!error) on_readable();
  });
}

void Tape::on_readable() {
  bool room = false;
  for (;;) {
    auto received = link_.receive();
    if (!received || (*received && (*received)->envelope.has_recording_failed())) {
      failed_ = true;
      if (on_failed_) on_failed_("the recorder ended");
      return;
    }
    if (!*received) break;
    room = true;
  }
  if (room && on_room_) on_room_();
  wait();
}

void Tape::bell() {
  control::Envelope envelope;
  envelope.mutable_ring_bell();
  static_cast<void>(link_.send(std::move(envelope)));
}

void Tape::want_sync() {}

Tape::Put Tape::took(seal::SessionLog::Put put) {
  if (log_->bell_needed()) bell();
  if (put == seal::SessionLog::Put::stored) return Put::stored;
  if (put == seal::SessionLog::Put::no_room && !failed_) return Put::no_room;
  failed_ = true;
  return Put::failed;
}

Tape::Put Tape::header(std::string_view json, std::span<const std::byte> wrapped_key) {
  if (failed_ || !log_) return Put::failed;
  // Nothing waits for what is not recorded to become durable.
  synced_ = false;
  const Put put = took(log_->append_header(json, wrapped_key));
  return put == Put::stored ? event(R"({"event":"bench.unrecorded","reason":"a program of the benchmark that records no data"})") : put;
}

Tape::Put Tape::event(std::string_view json) { return failed_ || !log_ ? Put::failed : took(log_->append_event(json)); }

Tape::Put Tape::resize(const Channel& channel) {
  return failed_ || !log_ ? Put::failed : took(log_->append_resize(channel.id, channel.columns, channel.rows, channel.x_pixels, channel.y_pixels));
}

Tape::Put Tape::exit(const Channel& channel) {
  return failed_ || !log_ ? Put::failed : took(log_->append_exit(channel.id, static_cast<std::uint32_t>(std::max(channel.exit_status, 0)), channel.exit_signal));
}

Tape::Put Tape::end(std::string_view reason) { return failed_ || !log_ ? Put::failed : took(log_->append_end(reason)); }

void Tape::know(Secret) {}

void Tape::recognise(Secret, std::vector<seal::MaskValue>) {}

Tape::Put Tape::input(Channel& channel, std::span<const std::byte> data, std::size_t& done) {
  channel.in.total += data.size() - done;
  done = data.size();
  return Put::stored;
}

Tape::Put Tape::output(Channel& channel, bool is_stderr, std::span<const std::byte> data, std::size_t& done) {
  (is_stderr ? channel.err : channel.out).total += data.size() - done;
  done = data.size();
  return Put::stored;
}

Tape::Put Tape::settle_lines(Channel&) { return Put::stored; }

Tape::Put Tape::finish_streams(Channel&) { return Put::stored; }

void Tape::forget(const Channel& channel) {
  if (log_) log_->forget_channel(channel.id);
}

void Tape::rest() {
  if (log_ && !failed_) log_->rest();
}

}  // namespace sallyport::gateway
