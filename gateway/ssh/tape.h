// gateway/ssh/tape.h -- the recording of one session: nothing is released before it says `yes`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/ssh/channel.h"
#include "platform/control/link.h"
#include "platform/model/clock.h"
#include "platform/seal/session_log.h"

namespace sallyport::gateway {

/// Seals into the ring, rings the recorder's bell, keeps each stream's mode (full or hash). One thread.
class Tape {
 public:
  enum class Put { stored, no_room, failed, too_bulky };  ///< too_bulky: of output(), when the role wants an end to that

  Tape(boost::asio::io_context& io, Fd recorder_link, Clock& clock);

  /// `on_room`: the recorder freed space, or (synced) made entries durable. `on_failed`: recording is over, so is the session.
  void start(std::function<void()> on_room, std::function<void(std::string)> on_failed);
  void open(std::unique_ptr<seal::SessionLog> log) { log_ = std::move(log); }
  /// A value that must not be stored: the password of this login. From now on, in every stream, event and typed line.
  /// Only its hash is kept, unless it is too short or too long for that.
  void know(Secret value);
  /// Values lent to the principal elsewhere, told by their hashes (control::MaskValues).
  void recognise(Secret key, std::vector<seal::MaskValue> values);
  void set_synced(bool synced) noexcept { synced_ = synced; }

  /// The session's first entry.
  Put header(std::string_view json, std::span<const std::byte> wrapped_key);
  Put event(std::string_view json);
  Put resize(const Channel& channel);
  Put exit(const Channel& channel);
  Put end(std::string_view reason);

  /// Data towards the target of a session channel. `done` is advanced by what stands in the ring; call again with the
  /// same data after no_room.
  Put input(Channel& channel, std::span<const std::byte> data, std::size_t& done);
  /// Data towards the client.
  Put output(Channel& channel, bool is_stderr, std::span<const std::byte> data, std::size_t& done);
  /// After output was shown and once a second: writes or destroys the keys of typed lines.
  Put settle_lines(Channel& channel);
  /// Ends running hashes of the channel with their markers.
  Put finish_streams(Channel& channel);
  void forget(const Channel& channel);
  /// After some seconds without traffic: gives memory back and moves on to the next segment key.
  void rest();

  /// The sequence of the newest entry; with `synced` targets nothing is released before is_durable(sequence()).
  [[nodiscard]] std::uint64_t sequence() const { return log_ ? log_->sequence() : 0; }
  [[nodiscard]] bool is_durable(std::uint64_t sequence) const noexcept { return !synced_ || sequence <= durable_; }
  void want_sync();
  [[nodiscard]] bool is_open() const noexcept { return log_ != nullptr; }
  /// Since when (boot clock) the ring has refused without taking anything; 0: it takes.
  [[nodiscard]] std::int64_t full_since_us() const noexcept { return full_since_us_; }
  void bell();

 private:
  Put took(seal::SessionLog::Put put);
  void wait();
  void on_readable();
  bool wants_hash(Channel& channel, StreamTape& tape, std::size_t bytes);
  /// data() through the stream's mask; `done` as in output().
  Put put_masked(Channel& channel, StreamTape& tape, seal::Stream stream, std::span<const std::byte> data, std::size_t& done);
  Put run_steps(const Channel& channel, StreamTape& tape, seal::Stream stream);
  [[nodiscard]] bool needs_mask(const Channel& channel, const StreamTape& tape) const;
  void keep_hash(Secret value);
  void make_set();
  Put close_hash(Channel& channel, StreamTape& tape, seal::Stream stream);

  control::Link link_;
  boost::asio::posix::stream_descriptor ready_;
  Clock& clock_;
  std::unique_ptr<seal::SessionLog> log_;
  std::function<void()> on_room_;
  std::function<void(std::string)> on_failed_;
  std::vector<Secret> known_;               ///< what cannot be recognised by its hash
  Secret own_key_;
  std::vector<seal::MaskValue> own_;        ///< of this login
  Secret mask_key_;
  std::vector<seal::MaskValue> recognised_;
  seal::MaskSet mask_;
  std::uint64_t durable_ = 0;
  std::uint64_t asked_sync_ = 0;
  std::int64_t full_since_us_ = 0;
  bool synced_ = false;
  bool failed_ = false;
};

}  // namespace sallyport::gateway
