// platform/seal/ring.h -- the ring between one session process and the recorder: shared memory that outlives both.
//
// A named, fully allocated file (docs/format/journal.md section 4) that the keeper makes, the session process maps and
// fills, the recorder maps and drains. One producer, one consumer, no lock, no system call on the way.
// To the consumer everything in the mapping is hostile; to the producer nothing but the tail is read back.
// Store/load pairs that wake the other side (head/sleeping, tail/want_space) are sequentially consistent on both sides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "platform/model/ids.h"
#include "platform/model/result.h"
#include "platform/os/fd.h"
#include "platform/seal/entry.h"

namespace sallyport::seal {

constexpr std::size_t k_ring_header_bytes = 4096;
constexpr std::size_t k_ring_min_capacity = 128 * 1024;
constexpr std::size_t k_ring_max_capacity = 64 * 1024 * 1024;
constexpr std::size_t k_ring_default_capacity = 256 * 1024;
constexpr std::size_t k_slot_header_bytes = 16;
constexpr std::size_t k_slot_align = 16;

/// Makes `path` (mode 0600, must not exist), allocates all of it and writes its header. `capacity` is rounded up to whole
/// pages and must be within the limits. The ring is held (is_ring_held) until the last descriptor and mapping made from the
/// returned one, in whatever process, is gone. Errc::unavailable: no space; Errc::conflict: exists; Errc::invalid: bad label or size.
[[nodiscard]] Result<Fd> create_ring_file(const std::string& path, const SessionId& session, std::size_t capacity);

/// True while the process that made this ring, or any that it handed it to, has it open or mapped: more may be written to it.
/// `fd` must be from an open() of one's own; when this answers false, it holds the ring from then on.
[[nodiscard]] bool is_ring_held(int fd);

/// A shared mapping of a ring file, unmapped on destruction.
class RingMapping {
 public:
  RingMapping() = default;
  /// Refuses (Errc::corrupt) a file whose size is not a ring's or that is not fully allocated and cannot be (a hole would
  /// kill the process by SIGBUS). The descriptor may be closed afterwards.
  [[nodiscard]] static Result<RingMapping> map(int fd);
  RingMapping(RingMapping&& other) noexcept;
  RingMapping& operator=(RingMapping&& other) noexcept;
  RingMapping(const RingMapping&) = delete;
  RingMapping& operator=(const RingMapping&) = delete;
  ~RingMapping();

  [[nodiscard]] std::span<std::byte> span() const noexcept { return bytes_; }
  /// The mapping stays until the process ends; for a session process, which never unmaps.
  std::span<std::byte> release() noexcept;

 private:
  explicit RingMapping(std::span<std::byte> bytes) : bytes_(bytes) {}
  std::span<std::byte> bytes_;
};

/// The session process's side. Not thread-safe; never blocks.
class RingProducer {
 public:
  /// Takes a fresh ring: Errc::conflict when something was ever put into it (a second producer would use nonces twice),
  /// Errc::corrupt when it is no ring. The mapping must outlive the producer.
  [[nodiscard]] static Result<RingProducer> adopt(std::span<std::byte> mapping);

  [[nodiscard]] SessionId session() const;
  [[nodiscard]] const Label& label() const noexcept { return label_; }

  /// Bytes of the largest entry that reserve() would give now.
  [[nodiscard]] std::size_t room() noexcept;
  /// Space for one entry of exactly `bytes` (at most k_max_entry), or an empty span: no room, then want_space is set and
  /// the recorder will say RingSpace. `small_and_rare`: an entry at human pace; lets an empty ring go back to its beginning,
  /// so that an idle session touches few pages.
  [[nodiscard]] std::span<std::byte> reserve(std::size_t bytes, bool small_and_rare = false) noexcept;
  /// Publishes what was reserved last. The recorder may read it from now on; no crash of any process loses it.
  void commit() noexcept;
  /// True once for each time the recorder must be told (RingBell).
  [[nodiscard]] bool bell_needed() noexcept;
  /// False when the tail is impossible: the mapping is damaged and recording must end.
  [[nodiscard]] bool is_sound() const noexcept { return sound_; }

 private:
  RingProducer() = default;
  void load_tail() noexcept;
  [[nodiscard]] bool fits(std::uint64_t slot_bytes, std::uint64_t& pad, bool small_and_rare) const noexcept;

  std::byte* base_ = nullptr;
  std::uint64_t capacity_ = 0;
  Label label_{};
  std::uint32_t label_crc_ = 0;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
  std::uint64_t reserved_pad_ = 0;
  std::uint32_t reserved_bytes_ = 0;
  std::uint64_t last_half_ = 0;
  std::uint64_t rung_at_ = 0;  ///< the head when the recorder was last told
  bool bell_ = false;
  bool holding_ = false;
  bool sound_ = true;
};

/// The recorder's side. Keeps its own position; what stands in the mapping is only read, once, copied and checked.
class RingConsumer {
 public:
  /// `position` is the ring_end of the session's last journalled frame, 0 for a fresh one. Errc::corrupt: no ring, or not
  /// the ring of `session`. The mapping must outlive the consumer. Writes nothing yet.
  [[nodiscard]] static Result<RingConsumer> adopt(std::span<std::byte> mapping, const SessionId& session, std::uint64_t position);

  enum class Next { entry, nothing, broken };
  /// Appends the next whole entry's bytes to `out` and moves on; `broken` says that the slot cannot be right and stays so.
  /// A torn slot (its commit word not yet stored) is `nothing`.
  [[nodiscard]] Next next(Bytes& out);
  /// Behind the last entry that next() gave.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  /// What next() found wrong.
  [[nodiscard]] std::string_view trouble() const noexcept { return trouble_; }

  /// Lets the producer overwrite everything before `position`; only after the journal has it.
  void free_up_to(std::uint64_t position) noexcept;
  /// True once after the producer began to hold for want of room. Ask after free_up_to().
  [[nodiscard]] bool take_want_space() noexcept;
  /// The producer says there is more (a hint: it may lie to its own harm only).
  [[nodiscard]] bool has_news() const noexcept;
  /// Asks for a bell. False: something came meanwhile, the bell was taken back, look again.
  [[nodiscard]] bool go_to_sleep() noexcept;
  /// No bell is wanted while the recorder looks by itself.
  void wake_up() noexcept;
  [[nodiscard]] std::uint64_t head_hint() const noexcept;

 private:
  RingConsumer() = default;

  std::byte* base_ = nullptr;
  std::uint64_t capacity_ = 0;
  std::uint32_t label_crc_ = 0;
  std::uint64_t position_ = 0;
  std::string_view trouble_;
};

}  // namespace sallyport::seal
