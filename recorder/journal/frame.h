// recorder/journal/frame.h -- the bytes of journal files (docs/format/journal.md sections 5 and 6). Pure: no file, no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/hash.h"
#include "platform/crypto/merkle.h"
#include "platform/model/bytes.h"
#include "platform/model/result.h"
#include "platform/seal/entry.h"
#include "recorder/journal/short_entries.h"

namespace sallyport::recorder {

constexpr std::size_t k_file_header_bytes = 64;
constexpr std::size_t k_frame_header_bytes = 24;
constexpr std::size_t k_max_payload = 16 * 1024 * 1024;
constexpr std::size_t k_max_event_json = 1024 * 1024;
constexpr std::size_t k_max_event_name = 128;

enum class FrameType : std::uint32_t { entries = 1, event = 2, head = 3, checkpoint = 4, state = 5 };

struct FileHeader {
  std::uint64_t number = 0;
  std::uint64_t first_frame = 0;
  std::int64_t wall_us = 0;
};
void put_file_header(Bytes& out, const FileHeader& header);
[[nodiscard]] std::optional<FileHeader> read_file_header(ByteView bytes);

/// Appends a frame piece by piece: begin_frame, then the payload straight into `out`, then end_frame with what begin_frame gave.
[[nodiscard]] std::size_t begin_frame(Bytes& out, FrameType type, std::uint64_t number);
void end_frame(Bytes& out, std::size_t begun_at);

struct Frame {
  FrameType type = FrameType::entries;
  std::uint64_t number = 0;
  ByteView payload;
};

/// Walks over the frames behind a file header. For any bytes.
class FrameReader {
 public:
  explicit FrameReader(ByteView frames) : frames_(frames) {}
  enum class Next { frame, end, incomplete, damaged };
  /// `end`: nothing is left. `incomplete`: the rest is shorter than what it announces. `damaged`: magic, size or check is
  /// wrong. After anything but `frame` the offset stays.
  [[nodiscard]] Next next(Frame& frame);
  /// Of the frame that next() would give.
  [[nodiscard]] std::size_t offset() const noexcept { return offset_; }

 private:
  ByteView frames_;
  std::size_t offset_ = 0;
};

/// Payload of an entries frame, walked entry by entry.
class EntriesReader {
 public:
  [[nodiscard]] static std::optional<EntriesReader> open(ByteView payload);
  [[nodiscard]] const seal::Label& label() const noexcept { return label_; }
  [[nodiscard]] std::uint64_t ring_end() const noexcept { return ring_end_; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  /// The next entry, good until the next call; nothing at the end, or when the payload does not hold what it announced (then
  /// is_whole() is false).
  [[nodiscard]] std::optional<ByteView> next();
  [[nodiscard]] bool is_whole() const noexcept { return whole_ && (given_ < count_ || rest_.empty()); }

 private:
  seal::Label label_{};
  std::uint64_t ring_end_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t given_ = 0;
  bool whole_ = true;
  bool short_ = false;
  ByteView rest_;
  EntryBefore before_;
  Bytes scratch_;
};

/// Writes an entries frame straight into a buffer, entry by entry. Nothing else may be appended to it meanwhile.
class EntriesWriter {
 public:
  EntriesWriter(Bytes& out, const seal::Label& label, std::uint64_t frame_number);
  void add(ByteView entry);
  /// For an entry that is written where it belongs: what tells its length goes before `begun_at`, which this returns; then append it to `out`, and
  /// either end it or take back everything from there on.
  [[nodiscard]] std::size_t begin_entry();
  void end_entry(std::size_t begun_at);
  void take_back(std::size_t begun_at);
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  /// False: it held no entry and was taken back.
  bool finish(std::uint64_t ring_end);

 private:
  Bytes& out_;
  std::size_t frame_at_;
  std::uint32_t count_ = 0;
  EntryBefore before_;
  Bytes shortened_;
};

enum class SaidBy : std::uint8_t { keeper = 1, vault = 2, authority = 3, recorder = 4 };

struct AuditEvent {
  std::uint64_t leaf = 0;
  std::int64_t wall_us = 0;
  std::int64_t boot_us = 0;
  std::string id;  ///< ULID
  SaidBy said_by = SaidBy::recorder;
  std::string session;  ///< label or empty
  std::string name;
  std::string json;
};
void put_event(Bytes& out, const AuditEvent& event);
[[nodiscard]] std::optional<AuditEvent> read_event(ByteView payload);

enum class HeadWhy : std::uint8_t { segment = 1, checkpoint = 2, end = 3, truncated = 4 };

struct SessionHead {
  std::uint64_t leaf = 0;
  std::int64_t wall_us = 0;
  std::uint64_t entries = 0;
  crypto::Hash256 root{};
  std::uint32_t segment = 0;
  HeadWhy why = HeadWhy::segment;
  seal::Label label{};
};
void put_head(Bytes& out, const SessionHead& head);
[[nodiscard]] std::optional<SessionHead> read_head(ByteView payload);

/// The hash of the node log's leaf that this frame is: type byte, then payload.
[[nodiscard]] crypto::Hash256 leaf_of(FrameType type, ByteView payload);

/// What is known of one session from its journalled entries alone.
struct SessionTrail {
  seal::Label label{};
  std::uint64_t last_sequence = 0;
  std::uint64_t ring_end = 0;
  std::uint64_t head_entries = 0;  ///< entries at the last head
  std::uint32_t segment = 0;
  bool has_end_entry = false;  ///< kept for as long as no final head follows
  bool ended = false;          ///< a final head of why = end
  bool truncated = false;      ///< a final head of why = truncated
  crypto::MerkleTree tree;

  [[nodiscard]] bool is_final() const noexcept { return ended || truncated; }
  /// Whether `entry` may follow; on success it is part of the trail. What is wrong otherwise.
  [[nodiscard]] std::optional<std::string_view> take(ByteView entry);
  /// The header of an entry that take() would accept as to its form.
  [[nodiscard]] static std::optional<seal::EntryHeader> header_of(ByteView entry);
};

struct NodeState {
  std::uint64_t leaves = 0;
  std::vector<crypto::Hash256> frontier;
  std::vector<SessionTrail> trails;
};
void put_state(Bytes& out, const crypto::MerkleTree& log, const std::vector<const SessionTrail*>& trails);
[[nodiscard]] std::optional<NodeState> read_state(ByteView payload);

}  // namespace sallyport::recorder
