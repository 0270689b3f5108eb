// recorder/replay/frames.h -- what stands in the journal's frames (docs/format/journal.md sections 5 and 6), as readers see it.
//
// All views point into the frame's payload. Every parser takes any bytes.
// The recorder parses the same bytes by code of its own (recorder/journal/frame.h), on purpose: what the writer got wrong must not be
// wrong in the same way where it is checked. Only the entry header (platform/seal) is shared.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"
#include "platform/seal/entry.h"

namespace sallyport::replay {

enum class FrameType : std::uint32_t { entries = 1, audit_event = 2, session_head = 3, checkpoint = 4, state = 5 };

constexpr std::size_t k_file_header_bytes = 64;
constexpr std::size_t k_frame_header_bytes = 24;
constexpr std::uint32_t k_frame_magic = 0x31465053;  // "SPF1"
constexpr std::size_t k_max_payload = 16 * 1024 * 1024;

struct FileHeader {
  std::uint64_t number = 0;
  std::uint64_t first_frame = 0;
  std::int64_t begun_us = 0;
};
[[nodiscard]] std::optional<FileHeader> parse_file_header(ByteView bytes);

struct FrameHeader {
  std::uint32_t crc = 0;
  std::uint32_t size = 0;
  std::uint32_t type = 0;
  std::uint64_t number = 0;
};
/// Nothing when the magic is wrong or the size is above the limit.
[[nodiscard]] std::optional<FrameHeader> parse_frame_header(ByteView bytes);
/// The checksum of a frame: over 16 bytes of its header and the payload.
[[nodiscard]] std::uint32_t frame_crc(ByteView header, ByteView payload) noexcept;

/// One entry as it is stored.
struct StoredEntry {
  seal::EntryHeader header;
  ByteView whole;  ///< header, body, tag: the leaf of the session tree
  [[nodiscard]] std::span<const std::byte, seal::k_entry_header_bytes> header_bytes() const {
    return whole.first<seal::k_entry_header_bytes>();
  }
  [[nodiscard]] ByteView body() const { return whole.subspan(seal::k_entry_header_bytes, header.size); }
  [[nodiscard]] crypto::Tag tag() const {
    crypto::Tag tag{};
    const ByteView bytes = whole.last(tag.size());
    std::copy(bytes.begin(), bytes.end(), tag.begin());
    return tag;
  }
};

/// Walks an entries payload.
class EntriesFrame {
 public:
  /// Nothing when even the fixed part is missing or the label is none.
  [[nodiscard]] static std::optional<EntriesFrame> parse(ByteView payload);

  [[nodiscard]] const seal::Label& label() const noexcept { return label_; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  /// The next entry, good until the next call; nothing at the end, or when the rest is not what it must be: then is_sound() is false.
  [[nodiscard]] std::optional<StoredEntry> next();
  /// To be asked after next() gave nothing: all announced entries were there and nothing is left over.
  [[nodiscard]] bool is_sound() const noexcept { return sound_; }

 private:
  seal::Label label_{};
  std::uint32_t count_ = 0;
  /// Of the short form: the header is made from what the entry before had.
  [[nodiscard]] bool expand(StoredEntry& entry);
  [[nodiscard]] std::uint64_t varint();
  [[nodiscard]] std::int64_t difference();

  std::uint32_t given_ = 0;
  ByteView rest_;
  bool sound_ = true;
  bool short_ = false;
  bool overrun_ = false;  ///< a number was none, or the bytes ended in it
  seal::EntryHeader last_;
  std::array<std::uint64_t, 64> last_extra_{};
  Bytes expanded_;
};

struct AuditEvent {
  std::uint64_t leaf = 0;
  std::int64_t wall_us = 0;
  std::int64_t boot_us = 0;
  std::string_view id;
  std::uint8_t source = 0;
  std::string_view session;
  std::string_view name;
  std::string_view json;
};
[[nodiscard]] std::optional<AuditEvent> parse_audit_event(ByteView payload);

struct SessionHead {
  enum class Why : std::uint8_t { segment = 1, checkpoint = 2, end = 3, truncated = 4 };
  std::uint64_t leaf = 0;
  std::int64_t wall_us = 0;
  std::uint64_t entries = 0;
  crypto::Hash256 root{};
  std::uint32_t segment = 0;
  Why why = Why::segment;
  seal::Label label{};
};
[[nodiscard]] std::optional<SessionHead> parse_session_head(ByteView payload);

/// The first entry's body: JSON and the wrapped session key.
struct HeaderBody {
  std::string_view json;
  ByteView wrapped_key;
};
[[nodiscard]] std::optional<HeaderBody> parse_header_body(ByteView body);

struct BulkMarker {
  std::uint8_t stream = 0;  ///< 0 in, 1 out, 2 err
  std::uint64_t length = 0;
  crypto::Hash256 sha256{};
};
[[nodiscard]] std::optional<BulkMarker> parse_bulk_marker(ByteView body);

/// What stands instead of a value that must not be stored (docs/format/journal.md section 8).
struct Masked {
  unsigned stream = 0;
  std::uint64_t offset = 0, length = 0;
  std::uint8_t why = 0;
  ByteView instead;  ///< empty: the asterisks stand in the data
};
[[nodiscard]] std::optional<Masked> parse_masked(const seal::EntryHeader& header, ByteView body);

struct Resize {
  std::uint32_t columns = 0, rows = 0, pixel_width = 0, pixel_height = 0;
};
[[nodiscard]] std::optional<Resize> parse_resize(ByteView body);

/// "header", "data_out" ...; "kind_N" for one this version does not know.
[[nodiscard]] std::string name_of(seal::EntryKind kind);

}  // namespace sallyport::replay
