// platform/seal/session_log.h -- what a session process records: sealed entries, straight into its ring.
//
// One log per session process, one thread, never blocks, no system call but the clock's. The rule of the house: a byte is
// released (to the target or to the client) only after the Put that records it said `stored`.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "platform/crypto/aead.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/random.h"
#include "platform/crypto/zstd.h"
#include "platform/model/clock.h"
#include "platform/model/ids.h"
#include "platform/model/secret.h"
#include "platform/seal/entry.h"
#include "platform/seal/ring.h"

namespace sallyport::seal {

enum class Stream : std::uint8_t { in = 0, out = 1, err = 2 };

class SessionLog {
 public:
  enum class Put {
    stored,   ///< it stands in the ring: no crash of any process loses it
    no_room,  ///< nothing was written; hold, and call again after RingSpace
    failed,   ///< recording has ended for good: end the session, failure() says why
  };

  /// `ring` must belong to `session`. The session key is turned into the first segment's keys and wiped.
  SessionLog(RingProducer ring, const SessionId& session, Secret session_key, Clock& clock,
             crypto::Random& random = crypto::system_random());
  SessionLog(SessionLog&&) noexcept = default;
  ~SessionLog();

  /// The first entry, before anything else: who, where, algorithms as JSON, and the session key wrapped to the recipients.
  Put append_header(std::string_view json, ByteView wrapped_key);
  /// A fact of the session as one JSON object, readable without any key: never a secret, at most k_max_body bytes.
  Put append_event(std::string_view json);
  /// At most k_max_data bytes, sealed. `in` is what is not typed on a pty. Output of 256 bytes and more is compressed when that pays.
  Put append_data(std::uint32_t channel, Stream stream, ByteView bytes);
  /// Bytes typed on a pty that belong to line `line` of that channel, sealed under the line's own key. At most k_max_data.
  /// When more than k_most_open_lines wait to be settled, the oldest is dropped by itself.
  Put append_input_typed(std::uint32_t channel, std::uint64_t line, ByteView bytes);
  /// The echo has shown the line: its key is written. Nothing happens (stored) when the line has no key.
  /// A line number is not used again in its channel after reveal_line or drop_line.
  Put reveal_line(std::uint32_t channel, std::uint64_t line);
  /// The line was not echoed: its key is destroyed, also when there is no room for the entry that says so.
  Put drop_line(std::uint32_t channel, std::uint64_t line, std::uint64_t byte_count);
  /// Hash mode: `length` bytes of that stream from `first_offset` on passed, their SHA-256 instead of themselves.
  /// Later data of the stream goes on behind them.
  Put append_bulk_marker(std::uint32_t channel, Stream stream, std::uint64_t first_offset, std::uint64_t length,
                         const crypto::Hash256& sha256);
  /// Bytes of a stream that may turn out to be a value that must not be stored: sealed under a key of their own, like a typed line.
  /// reveal_line or drop_line with held_number(stream, offset) settles them; `offset` is where the stream stands before.
  Put append_held(std::uint32_t channel, Stream stream, ByteView bytes);
  /// What is written instead: `length` bytes at `offset` are asterisks. `instead` (may be empty: they stand in the data already) is what a
  /// dropped piece held, masked.
  Put append_masked(std::uint32_t channel, Stream stream, std::uint64_t offset, std::uint64_t length, std::uint8_t why, ByteView instead);
  Put append_resize(std::uint32_t channel, std::uint32_t columns, std::uint32_t rows, std::uint32_t pixel_width,
                    std::uint32_t pixel_height);
  /// `signal` (without "SIG") empty: an exit status.
  Put append_exit(std::uint32_t channel, std::uint32_t status, std::string_view signal, bool core_dumped = false);
  /// The last entry. Without it the recording is reported as truncated.
  Put append_end(std::string_view reason);

  /// True once for each time the recorder must be sent a RingBell. Ask after every Put, no_room included.
  [[nodiscard]] bool bell_needed() noexcept { return ring_.bell_needed(); }
  /// Bytes that append_data would take now; may be less by 64 than what fits.
  [[nodiscard]] std::size_t room() noexcept;
  /// Of the last stored entry; 0 before the header. A `synced` target waits until RingSpace{sequence, durable} reaches it.
  [[nodiscard]] std::uint64_t sequence() const noexcept { return sequence_; }
  /// Offset of the next byte in that stream.
  [[nodiscard]] std::uint64_t offset(std::uint32_t channel, Stream stream) const noexcept;
  [[nodiscard]] std::string_view failure() const noexcept { return failure_; }
  /// Gives memory back that only speed needs; call when the session has been idle for some seconds. Also moves on to the
  /// next segment key when the last one is due, so that an idle process cannot read what it recorded.
  void rest();
  /// A channel is gone: forgets its offsets, drops its unsettled lines' keys. Its number must not come back.
  void forget_channel(std::uint32_t channel) noexcept;

  static constexpr std::size_t k_most_open_lines = 256;
  static constexpr std::uint64_t k_segment_bytes = 1024 * 1024;
  static constexpr BootTime k_segment_age = std::chrono::seconds(2);

 private:
  struct OpenLine {
    std::uint32_t channel = 0;
    std::uint64_t line = 0;
    std::uint64_t bytes = 0;
    Secret key;
  };
  struct Offsets {
    std::uint32_t channel = 0;
    std::array<std::uint64_t, 3> next{};
  };
  struct Entry {
    EntryKind kind = EntryKind::event;
    std::uint8_t flags = 0;
    std::uint32_t channel = 0;
    std::uint64_t extra = 0;
    bool rare = false;
  };

  Put put_plain(const Entry& entry, ByteView first, ByteView second = {});
  Put put_sealed(const Entry& entry, ByteView body, crypto::Aes256Gcm* line_cipher = nullptr);
  Put refuse(std::string_view why) noexcept;
  [[nodiscard]] bool is_open(Put& verdict) noexcept;
  [[nodiscard]] std::span<std::byte> reserve(const Entry& entry, std::size_t body_bytes);
  [[nodiscard]] Additional begin_entry(const Entry& entry, std::size_t body_bytes, std::byte* at);
  void finish_entry(const crypto::Tag& tag);
  void move_on_when_due(BootTime now);
  void next_segment();
  [[nodiscard]] OpenLine* find_line(std::uint32_t channel, std::uint64_t line) noexcept;
  [[nodiscard]] Offsets& offsets_of(std::uint32_t channel);
  [[nodiscard]] std::optional<std::size_t> compress(ByteView bytes);

  RingProducer ring_;
  Label label_{};
  Clock* clock_;
  crypto::Random* random_;
  Secret chain_;  ///< the chain key after the current segment's
  std::optional<crypto::Aes256Gcm> segment_cipher_;
  std::uint32_t segment_ = 0;
  std::uint64_t segment_bytes_ = 0;
  BootTime segment_began_{};
  BootTime last_put_{};
  std::chrono::microseconds clock_offset_{};  ///< wall minus boot clock, at the last entry
  crypto::Tag previous_{};
  std::uint64_t sequence_ = 0;
  std::string_view failure_;
  bool ended_ = false;

  std::vector<OpenLine> lines_;
  std::optional<crypto::Aes256Gcm> line_cipher_;  ///< of the line typed last
  std::uint32_t line_cipher_channel_ = 0;
  std::uint64_t line_cipher_line_ = 0;
  std::vector<Offsets> offsets_;

  std::unique_ptr<crypto::ZstdCompressor> compressor_;
  std::vector<std::byte> compressed_;
  std::uint32_t did_not_shrink_ = 0;
  std::uint32_t skip_ = 0;
};

}  // namespace sallyport::seal
