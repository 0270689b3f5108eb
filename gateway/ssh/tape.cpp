#include "gateway/ssh/tape.h"

#include <openssl/crypto.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "platform/crypto/random.h"
#include "platform/model/json_text.h"

namespace sallyport::gateway {
namespace {

constexpr std::uint64_t k_bulk_rate = 1024 * 1024;               // bytes in a second above which hash mode may begin or go on
constexpr std::uint64_t k_marker_bytes = 64ull * 1024 * 1024;    // a hash never covers more than this
constexpr std::int64_t k_second_us = 1'000'000;

}  // namespace

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
    if (!received) {
      failed_ = true;
      if (on_failed_) on_failed_("the recorder is gone");
      return;
    }
    if (!*received) break;
    const control::Envelope& envelope = (*received)->envelope;
    if (envelope.has_ring_space()) {
      room = true;
      if (envelope.ring_space().durable()) durable_ = std::max(durable_, envelope.ring_space().sequence());
    } else if (envelope.has_recording_failed()) {
      failed_ = true;
      if (on_failed_) on_failed_(envelope.recording_failed().reason());
      return;
    } else if (envelope.has_resume()) {
      room = true;
      asked_sync_ = 0;
      bell();
    }
  }
  if (room && on_room_) on_room_();
  wait();
}

void Tape::bell() {
  control::Envelope envelope;
  envelope.mutable_ring_bell();
  // A full queue means that earlier bells still wait there: this one adds nothing.
  static_cast<void>(link_.send(envelope));
}

void Tape::want_sync() {
  const std::uint64_t newest = sequence();
  if (asked_sync_ >= newest) return;
  control::Envelope envelope;
  envelope.mutable_ring_bell()->set_sync(true);
  if (link_.send(envelope)) asked_sync_ = newest;
}

Tape::Put Tape::took(seal::SessionLog::Put put) {
  if (log_->bell_needed()) bell();
  switch (put) {
    case seal::SessionLog::Put::stored: full_since_us_ = 0; return Put::stored;
    case seal::SessionLog::Put::no_room:
      if (full_since_us_ == 0) full_since_us_ = clock_.boot().count();
      return failed_ ? Put::failed : Put::no_room;
    case seal::SessionLog::Put::failed: break;
  }
  if (!failed_) {
    failed_ = true;
    if (on_failed_) on_failed_(std::string(log_->failure()));
  }
  return Put::failed;
}

Tape::Put Tape::header(std::string_view json, std::span<const std::byte> wrapped_key) {
  if (failed_ || !log_) return Put::failed;
  return took(log_->append_header(json, wrapped_key));
}

Tape::Put Tape::event(std::string_view json) {
  if (failed_ || !log_) return Put::failed;
  if (!mask_.empty()) return took(log_->append_event(mask_.masked(json)));
  return took(log_->append_event(json));
}

Tape::Put Tape::resize(const Channel& channel) {
  if (failed_ || !log_) return Put::failed;
  return took(log_->append_resize(channel.id, channel.columns, channel.rows, channel.x_pixels, channel.y_pixels));
}

Tape::Put Tape::exit(const Channel& channel) {
  if (failed_ || !log_) return Put::failed;
  return took(log_->append_exit(channel.id, static_cast<std::uint32_t>(std::max(channel.exit_status, 0)), channel.exit_signal));
}

Tape::Put Tape::end(std::string_view reason) {
  if (failed_ || !log_) return Put::failed;
  // No bell: this process ends next, and the end of its link makes the recorder look.
  return took(log_->append_end(reason));
}

void Tape::know(Secret value) {
  // As it stands in JSON, when that differs.
  std::string quoted = json_quote(value.reveal_text());
  if (quoted.size() > 2 && std::string_view(quoted).substr(1, quoted.size() - 2) != value.reveal_text()) keep_hash(Secret(std::string_view(quoted).substr(1, quoted.size() - 2)));
  OPENSSL_cleanse(quoted.data(), quoted.size());
  keep_hash(std::move(value));
  make_set();
}

void Tape::keep_hash(Secret value) {
  if (own_key_.empty()) own_key_ = crypto::random_secret(crypto::system_random(), 32);
  if (const auto hashed = seal::mask_value(own_key_.reveal(), value.reveal())) own_.push_back(*hashed);
  else known_.push_back(std::move(value));
}

void Tape::recognise(Secret key, std::vector<seal::MaskValue> values) {
  mask_key_ = std::move(key);
  recognised_ = std::move(values);
  make_set();
}

void Tape::make_set() {
  std::vector<Secret> known;
  for (const Secret& value : known_) known.push_back(value.clone());
  mask_ = seal::MaskSet(std::move(known), mask_key_.clone(), recognised_);
  mask_.add(own_key_.clone(), own_, seal::MaskSet::Span::Why::login_password);
}

bool Tape::needs_mask(const Channel& channel, const StreamTape& tape) const {
  if (tape.mask && tape.mask->is_busy()) return true;
  // Patterns: on terminals, and elsewhere unless it is bulk, which no person reads.
  return !mask_.empty() || channel.pty || !tape.fast;
}

Tape::Put Tape::run_steps(const Channel& channel, StreamTape& tape, seal::Stream stream) {
  auto& steps = tape.mask->steps();
  const auto index = static_cast<unsigned>(stream);
  while (!steps.empty()) {
    StreamMask::Step& step = steps.front();
    using Kind = StreamMask::Step::Kind;
    Put put = Put::failed;
    switch (step.kind) {
      case Kind::clear: put = took(log_->append_data(channel.id, stream, step.bytes)); break;
      case Kind::note: put = took(log_->append_masked(channel.id, stream, step.offset, step.length, step.why, {})); break;
      case Kind::hold: put = took(log_->append_held(channel.id, stream, step.bytes)); break;
      case Kind::reveal: put = took(log_->reveal_line(channel.id, seal::held_number(index, step.offset))); break;
      case Kind::drop:
        put = took(log_->drop_line(channel.id, seal::held_number(index, step.offset), step.length));
        if (put == Put::stored) {
          step.kind = Kind::instead;
          continue;
        }
        break;
      case Kind::instead: put = took(log_->append_masked(channel.id, stream, step.offset, step.length, step.why, step.bytes)); break;
    }
    if (put != Put::stored) return put;
    steps.pop_front();
  }
  return Put::stored;
}

Tape::Put Tape::put_masked(Channel& channel, StreamTape& tape, seal::Stream stream, std::span<const std::byte> data, std::size_t& done) {
  if (!tape.mask) tape.mask = std::make_unique<StreamMask>();
  if (tape.mask->steps().empty()) {
    tape.planned = std::min(data.size() - done, seal::k_max_data);
    const auto part = data.subspan(done, tape.planned);
    if (tape.mask->plan(mask_, part, channel.pty || !tape.fast, log_->offset(channel.id, stream))) {
      const Put put = took(log_->append_data(channel.id, stream, part));
      if (put == Put::stored) done += std::exchange(tape.planned, 0);
      else tape.mask->keep(part);  // is_busy() from now on: these bytes come again and are not looked at twice
      return put;
    }
  }
  const Put put = run_steps(channel, tape, stream);
  if (put == Put::stored) done += std::exchange(tape.planned, 0);
  return put;
}

Tape::Put Tape::input(Channel& channel, std::span<const std::byte> data, std::size_t& done) {
  if (failed_ || !log_) return Put::failed;
  if (!channel.pty) {
    // Standard input is evidence in full, whatever its rate.
    while (done < data.size()) {
      const std::size_t before = done;
      if (needs_mask(channel, channel.in)) {
        const Put put = put_masked(channel, channel.in, seal::Stream::in, data, done);
        if (put != Put::stored) return put;
        channel.in.total += done - before;
        channel.in.full += done - before;
        continue;
      }
      const auto part = data.subspan(done, std::min(data.size() - done, seal::k_max_data));
      const Put put = took(log_->append_data(channel.id, seal::Stream::in, part));
      if (put != Put::stored) return put;
      done += part.size();
      channel.in.total += part.size();
      channel.in.full += part.size();
    }
    return Put::stored;
  }
  while (done < data.size()) {
    const auto pieces = channel.typed.split(data.subspan(done));
    const TypedLines::Piece& piece = pieces.front();
    const auto part = data.subspan(done, piece.length);
    const Put put = took(log_->append_input_typed(channel.id, piece.line, part));
    if (put != Put::stored) return put;
    channel.typed.released(piece, part);
    done += part.size();
    channel.in.total += part.size();
    channel.in.full += part.size();
  }
  return Put::stored;
}

bool Tape::wants_hash(Channel& channel, StreamTape& tape, std::size_t bytes) {
  const std::int64_t now = clock_.boot().count();
  if (now - tape.rate_since_us >= k_second_us) {
    tape.fast = tape.rate_bytes > k_bulk_rate && now - tape.rate_since_us < 2 * k_second_us;
    tape.rate_since_us = now;
    tape.rate_bytes = 0;
  }
  tape.rate_bytes += bytes;
  if (tape.rate_bytes > k_bulk_rate) tape.fast = true;
  const bool may_hash = !channel.pty && channel.bulk != control::BULK_FULL && channel.full_recording_bytes > 0 &&
                        tape.total >= channel.full_recording_bytes;
  return may_hash && tape.fast;
}

Tape::Put Tape::close_hash(Channel& channel, StreamTape& tape, seal::Stream stream) {
  if (!tape.hashing) return Put::stored;
  crypto::Sha256 running = *tape.hash;
  const Put put = took(log_->append_bulk_marker(channel.id, stream, tape.hash_start, tape.hash_bytes, running.finish()));
  if (put != Put::stored) return put;
  tape.hashing = false;
  tape.hash_bytes = 0;
  return Put::stored;
}

Tape::Put Tape::output(Channel& channel, bool is_stderr, std::span<const std::byte> data, std::size_t& done) {
  if (failed_ || !log_) return Put::failed;
  StreamTape& tape = is_stderr ? channel.err : channel.out;
  const seal::Stream stream = is_stderr ? seal::Stream::err : seal::Stream::out;
  const bool in_the_middle = tape.mask && tape.mask->is_busy();
  if (done < data.size() && wants_hash(channel, tape, data.size() - done) && !in_the_middle) {
    if (channel.bulk == control::BULK_END) return Put::too_bulky;
    if (tape.hashing && tape.hash_bytes >= k_marker_bytes) {
      const Put put = close_hash(channel, tape, stream);
      if (put != Put::stored) return put;
    }
    if (!tape.hashing) {
      tape.hashing = true;
      tape.hash_start = tape.total;
      tape.hash_bytes = 0;
      tape.hash.emplace();
    }
    const auto part = data.subspan(done);
    tape.hash->update(part);
    tape.hash_bytes += part.size();
    tape.total += part.size();
    done = data.size();
    return Put::stored;
  }
  if (done < data.size()) {
    const Put put = close_hash(channel, tape, stream);
    if (put != Put::stored) return put;
  }
  while (done < data.size()) {
    if (needs_mask(channel, tape)) {
      const std::size_t before = done;
      const Put put = put_masked(channel, tape, stream, data, done);
      if (put != Put::stored) return put;
      if (channel.pty) channel.typed.shown(data.subspan(before, done - before));
      tape.total += done - before;
      tape.full += done - before;
      continue;
    }
    const auto part = data.subspan(done, std::min(data.size() - done, seal::k_max_data));
    const Put put = took(log_->append_data(channel.id, stream, part));
    if (put != Put::stored) return put;
    if (channel.pty) channel.typed.shown(part);
    done += part.size();
    tape.total += part.size();
    tape.full += part.size();
  }
  return Put::stored;
}

Tape::Put Tape::settle_lines(Channel& channel) {
  if (!log_ || failed_) return Put::failed;
  for (const TypedLines::Verdict& verdict : channel.typed.take_verdicts()) channel.unsettled.push_back(verdict);
  while (!channel.unsettled.empty()) {
    TypedLines::Verdict& verdict = channel.unsettled.front();
    if (verdict.echoed && !mask_.empty() && mask_.is_in(bytes_of(verdict.typed))) verdict.echoed = false;
    const Put put = took(verdict.echoed ? log_->reveal_line(channel.id, verdict.line)
                                        : log_->drop_line(channel.id, verdict.line, verdict.bytes));
    if (put == Put::failed) return put;
    if (put == Put::no_room && verdict.echoed) return Put::stored;  // later: the key stays in this process until then
    channel.unsettled.pop_front();
  }
  return Put::stored;
}

Tape::Put Tape::finish_streams(Channel& channel) {
  if (!log_ || failed_) return Put::failed;
  if (channel.pty) {
    channel.typed.finish();
    const Put put = settle_lines(channel);
    if (put != Put::stored) return put;
  }
  for (const auto& [tape, stream] : {std::pair{&channel.in, seal::Stream::in}, std::pair{&channel.out, seal::Stream::out}, std::pair{&channel.err, seal::Stream::err}}) {
    if (!tape->mask) continue;
    tape->mask->finish();
    const Put put = run_steps(channel, *tape, stream);
    if (put != Put::stored) return put;
  }
  const Put out = close_hash(channel, channel.out, seal::Stream::out);
  if (out != Put::stored) return out;
  return close_hash(channel, channel.err, seal::Stream::err);
}

void Tape::forget(const Channel& channel) {
  if (log_) log_->forget_channel(channel.id);
}

void Tape::rest() {
  if (log_ && !failed_) log_->rest();
}

}  // namespace sallyport::gateway
