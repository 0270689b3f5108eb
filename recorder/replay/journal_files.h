// recorder/replay/journal_files.h -- a journal folder as a sequence of frames, whoever wrote it.
//
// Reads with pread into one buffer: a file that shrinks meanwhile gives an error, not a signal. Whatever is wrong is
// reported and passed over; the frames behind it are still found.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "platform/model/bytes.h"
#include "platform/model/result.h"
#include "platform/os/fd.h"
#include "recorder/replay/far_journal.h"
#include "recorder/replay/frames.h"

namespace sallyport::replay {

struct Frame {
  FrameHeader header;
  std::uint64_t file = 0;
  std::uint64_t offset = 0;  ///< of the frame in its file
  ByteView payload;          ///< valid until the next call of next()
  bool crc_right = true;
};

/// Something about the files themselves, not about what is in them.
struct FileDamage {
  enum class Kind {
    file_missing,       ///< numbers skip
    file_header,        ///< not a journal file's, or of another file
    file_unreadable,
    bytes_unreadable,   ///< between two frames stand bytes that are no frame
    frame_checksum,     ///< the frame is given nevertheless
    frame_order,        ///< numbers of frames skip or repeat; the frame is given nevertheless
    tail_unfinished,    ///< the last file ends in the middle of a frame
  };
  Kind kind{};
  std::uint64_t file = 0;
  std::uint64_t offset = 0;
  std::uint64_t frame = 0;
  std::string text;
};

class JournalFiles {
 public:
  /// Errc::not_found: no such folder or no journal file in it, nor elsewhere.
  [[nodiscard]] static Result<JournalFiles> open(const JournalPlace& place);

  /// A place between two frames, from which reading can go on later.
  struct Position {
    std::uint64_t file = 0;
    std::uint64_t offset = 0;
    std::uint64_t next_frame = 0;
  };
  /// Goes on there. Errc::not_found: that file is not there, or ends before the place.
  [[nodiscard]] static Result<JournalFiles> resume(const JournalPlace& place, const Position& position);
  /// Behind the frame that next() gave last; nothing before a file's header was read.
  [[nodiscard]] std::optional<Position> position() const {
    return header_done_ && next_frame_ != 0 ? std::optional(Position{file_number_, offset(), next_frame_}) : std::nullopt;
  }

  struct Checks {
    bool crc = true;
    bool at_rest = false;  ///< nobody writes any more: a tail that is no whole frame is damage, and searched for frames
  };
  /// Where damage is reported; may be empty.
  void on_damage(std::function<void(const FileDamage&)> listener) { listener_ = std::move(listener); }
  void set_checks(Checks checks) noexcept { checks_ = checks; }

  /// The next frame, or nothing at the present end. May be called again later: what was appended meanwhile then follows.
  [[nodiscard]] std::optional<Frame> next();
  /// After next() gave nothing: bytes stand behind the last whole frame, or even the file's header is not whole.
  [[nodiscard]] bool unfinished() const noexcept { return !header_done_ || end_ > begin_; }
  [[nodiscard]] std::uint64_t bytes_read() const noexcept { return bytes_read_; }

 private:
  explicit JournalFiles(JournalPlace place) : place_(std::move(place)) {}
  [[nodiscard]] std::uint64_t file_after(std::uint64_t number) const;
  void open_file(std::uint64_t number);
  bool need(std::size_t bytes);
  void check_file_header();
  [[nodiscard]] std::optional<Frame> take_frame(const FrameHeader& header);
  bool skip_damage(FileDamage::Kind kind_at_end);
  void report(FileDamage::Kind kind, std::uint64_t offset, std::uint64_t frame, std::string text);
  [[nodiscard]] ByteView ahead() const { return ByteView(buffer_).subspan(begin_, end_ - begin_); }
  [[nodiscard]] std::uint64_t offset() const noexcept { return buffer_offset_ + begin_; }

  [[nodiscard]] bool has_file() const noexcept { return is_far_ || static_cast<bool>(file_); }
  [[nodiscard]] std::int64_t read_at(std::span<std::byte> into, std::uint64_t offset, std::string& trouble);

  JournalPlace place_;
  std::function<void(const FileDamage&)> listener_;
  Checks checks_;
  Fd file_;
  bool is_far_ = false;  ///< the present file is not in the folder
  std::uint64_t file_number_ = 0;
  std::uint64_t next_frame_ = 0;  ///< 0: not known yet
  Bytes buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t buffer_offset_ = 0;  ///< position in the file of buffer_[0]
  std::uint64_t bytes_read_ = 0;
  std::uint64_t resync_budget_ = k_resync_budget;  ///< bytes that may still be hashed in search of a frame
  bool header_done_ = false;
  static constexpr std::uint64_t k_resync_budget = 4ULL << 30;
};

/// Number of a file name NNNNNNNN.journal.
[[nodiscard]] std::optional<std::uint64_t> journal_file_number(std::string_view name);
[[nodiscard]] std::string journal_file_name(std::uint64_t number);

}  // namespace sallyport::replay
