#include "recorder/replay/journal_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace sallyport::replay {
namespace {

constexpr std::size_t k_read_size = 1024 * 1024;
constexpr std::string_view k_suffix = ".journal";

}  // namespace

std::optional<std::uint64_t> journal_file_number(std::string_view name) {
  if (name.size() < 8 + k_suffix.size() || name.size() > 18 + k_suffix.size() || !name.ends_with(k_suffix)) return std::nullopt;
  name.remove_suffix(k_suffix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size() || number == 0) return std::nullopt;
  return number;
}

std::string journal_file_name(std::uint64_t number) {
  std::string digits = std::to_string(number);
  if (digits.size() < 8) digits.insert(0, 8 - digits.size(), '0');
  return digits + std::string(k_suffix);
}

Result<JournalFiles> JournalFiles::open(const JournalPlace& place) {
  JournalFiles files(place);
  std::error_code error;
  if (!place.far && !std::filesystem::is_directory(place.folder, error)) {
    if (error == std::errc::permission_denied)
      return fail(Errc::unavailable, "the journal folder " + place.string() + " is closed to the user of this process; on the machine, run it as root");
    return fail(Errc::not_found, "no journal folder " + place.string());
  }
  const std::uint64_t first = files.file_after(0);
  if (first == 0) return fail(Errc::not_found, "no journal file in " + place.string());
  files.open_file(first);
  return files;
}

Result<JournalFiles> JournalFiles::resume(const JournalPlace& place, const Position& position) {
  JournalFiles files(place);
  files.open_file(position.file);
  struct stat status {};
  if (files.is_far_) {
    std::array<std::byte, 1> last{};
    std::string trouble;
    if (position.offset > 0 && files.read_at(last, position.offset - 1, trouble) != 1)
      return fail(Errc::not_found, "the store does not reach file " + std::to_string(position.file) + ", byte " + std::to_string(position.offset));
  } else if (!files.file_ || fstat(files.file_.get(), &status) != 0 || static_cast<std::uint64_t>(status.st_size) < position.offset)
    return fail(Errc::not_found, "the journal does not reach file " + std::to_string(position.file) + ", byte " + std::to_string(position.offset));
  files.buffer_offset_ = position.offset;
  files.next_frame_ = position.next_frame;
  files.header_done_ = true;
  return files;
}

void JournalFiles::report(FileDamage::Kind kind, std::uint64_t offset, std::uint64_t frame, std::string text) {
  if (listener_) listener_({kind, file_number_, offset, frame, std::move(text)});
}

/// The lowest number of a journal file above `number`, 0 if there is none.
std::uint64_t JournalFiles::file_after(std::uint64_t number) const {
  std::error_code error;
  std::uint64_t lowest = 0;
  bool any = false;
  for (auto at = std::filesystem::directory_iterator(place_.folder, error); !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    const auto found = journal_file_number(at->path().filename().string());
    if (found && *found > number && (lowest == 0 || *found < lowest)) lowest = *found;
    any = any || found.has_value();
  }
  // Elsewhere stands what is older than what is here; all of it, when nothing is here.
  if (!place_.far || lowest == number + 1 || (any && lowest == 0)) return lowest;
  const auto elsewhere = place_.far->file_after(number);
  return elsewhere && *elsewhere != 0 && (lowest == 0 || *elsewhere < lowest) ? *elsewhere : lowest;
}

void JournalFiles::open_file(std::uint64_t number) {
  const std::uint64_t before = file_number_;
  Fd file(::open((place_.folder / journal_file_name(number)).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  is_far_ = !file && errno == ENOENT && place_.far != nullptr;
  struct stat status {};
  if (file && (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))) file.reset();
  file_number_ = number;
  file_ = std::move(file);
  begin_ = end_ = 0;
  buffer_offset_ = 0;
  header_done_ = false;
  if (before != 0 && number != before + 1)
    report(FileDamage::Kind::file_missing, 0, 0, "files " + std::to_string(before + 1) + " to " + std::to_string(number - 1) + " are missing");
}

/// As pread(2).
std::int64_t JournalFiles::read_at(std::span<std::byte> into, std::uint64_t offset, std::string& trouble) {
  if (is_far_) {
    const auto got = place_.far->read(file_number_, offset, into.size());
    if (!got) {
      trouble = got.error().detail;
      return -1;
    }
    std::copy_n(got->begin(), std::min(got->size(), into.size()), into.begin());
    return static_cast<std::int64_t>(std::min(got->size(), into.size()));
  }
  for (;;) {
    const ssize_t got = pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) trouble = std::strerror(errno);
    return got;
  }
}

/// Makes at least `bytes` bytes available in ahead(), if the file has them.
bool JournalFiles::need(std::size_t bytes) {
  if (end_ - begin_ >= bytes) return true;
  if (!has_file()) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    buffer_offset_ += begin_;
    end_ -= begin_;
    begin_ = 0;
  }
  const std::size_t wanted = std::max(bytes, k_read_size);
  if (buffer_.size() < wanted) buffer_.resize(wanted);
  while (end_ < bytes) {
    std::string trouble;
    const std::int64_t got = read_at(std::span(buffer_).subspan(end_), buffer_offset_ + end_, trouble);
    if (got < 0) {
      report(FileDamage::Kind::file_unreadable, offset(), 0, trouble);
      file_.reset();
      is_far_ = false;
      return false;
    }
    if (got == 0) return false;
    end_ += static_cast<std::size_t>(got);
    bytes_read_ += static_cast<std::uint64_t>(got);
  }
  return true;
}

/// Goes on to the next place at which a frame with a right checksum begins, or to the end of what is there: then false.
bool JournalFiles::skip_damage(FileDamage::Kind kind_at_end) {
  const std::uint64_t start = offset();
  const std::size_t left_at_start = end_ - begin_;
  bool found = false;
  begin_ += std::min<std::size_t>(1, left_at_start);
  while (need(k_frame_header_bytes)) {
    const auto header = parse_frame_header(ahead());
    if (header && resync_budget_ >= header->size && need(k_frame_header_bytes + header->size)) {
      const ByteView frame = ahead();
      resync_budget_ -= header->size;
      found = frame_crc(frame, frame.subspan(k_frame_header_bytes, header->size)) == header->crc;
      if (found) break;
    }
    // The next byte with which the magic could begin.
    const ByteView rest = ahead().subspan(1);
    begin_ += 1 + static_cast<std::size_t>(std::find(rest.begin(), rest.end(), std::byte{0x53}) - rest.begin());
  }
  if (!found) begin_ = end_;
  report(found ? FileDamage::Kind::bytes_unreadable : kind_at_end, start, next_frame_, std::to_string(offset() - start) + " bytes are no frame");
  return found;
}

/// The file's first 64 bytes: what they say must fit what came before.
void JournalFiles::check_file_header() {
  header_done_ = true;
  if (file_number_ != 1 && next_frame_ == 0)
    report(FileDamage::Kind::file_missing, 0, 0, "files 1 to " + std::to_string(file_number_ - 1) + " are missing");
  if (!has_file()) {
    report(FileDamage::Kind::file_unreadable, 0, 0, "cannot be opened");
    return;
  }
  const auto header = parse_file_header(ahead());
  const std::uint64_t due = next_frame_ != 0 ? next_frame_ : file_number_ == 1 ? 1 : 0;
  if (!header) {
    report(FileDamage::Kind::file_header, 0, 0, "its first 64 bytes are damaged");
  } else if (header->number != file_number_) {
    report(FileDamage::Kind::file_header, 0, 0, "the file says it is number " + std::to_string(header->number));
  } else if (due != 0 && header->first_frame != due) {
    report(FileDamage::Kind::file_header, 0, header->first_frame,
           "the file says it begins with frame " + std::to_string(header->first_frame) + ", but " + std::to_string(due) + " comes next");
  }
  next_frame_ = due != 0 || !header ? due : header->first_frame;
  begin_ += std::min(k_file_header_bytes, end_ - begin_);
}

/// The frame that ahead() begins with and wholly holds; nothing when it turned out to be damage that was passed over.
std::optional<Frame> JournalFiles::take_frame(const FrameHeader& header) {
  const std::size_t size = k_frame_header_bytes + header.size;
  Frame frame{header, file_number_, offset(), ahead().subspan(k_frame_header_bytes, header.size), true};
  if (checks_.crc) frame.crc_right = frame_crc(ahead(), frame.payload) == header.crc;
  if (!frame.crc_right) {
    report(FileDamage::Kind::frame_checksum, frame.offset, header.number, "the frame's checksum is wrong");
    // Its size may be what is wrong: trusted only when a frame, or the end, follows.
    const bool more = need(size + k_frame_header_bytes);
    if (more ? !parse_frame_header(ahead().subspan(size)) : end_ - begin_ != size) {
      skip_damage(FileDamage::Kind::bytes_unreadable);
      return std::nullopt;
    }
    frame.payload = ahead().subspan(k_frame_header_bytes, header.size);
  }
  if (next_frame_ != 0 && header.number != next_frame_)
    report(FileDamage::Kind::frame_order, frame.offset, header.number,
           "frame " + std::to_string(header.number) + " stands where " + std::to_string(next_frame_) + " belongs");
  next_frame_ = frame.crc_right || next_frame_ == 0 ? header.number + 1 : next_frame_ + 1;
  begin_ += size;
  return frame;
}

std::optional<Frame> JournalFiles::next() {
  for (;;) {
    if (!header_done_ && (need(k_file_header_bytes) || !has_file())) check_file_header();
    if (header_done_ && need(k_frame_header_bytes)) {
      const auto header = parse_frame_header(ahead());
      if (!header) {
        skip_damage(FileDamage::Kind::bytes_unreadable);
        continue;
      }
      if (need(k_frame_header_bytes + header->size)) {
        if (auto frame = take_frame(*header)) return frame;
        continue;
      }
    }
    // Nothing whole is left here: the end for now, unless there is a next file; then this one does not grow any more.
    const std::size_t left = end_ - begin_;
    const std::uint64_t following = file_after(file_number_);
    if (has_file() && need(left + 1)) continue;  // grew between the last read and the appearance of its successor
    if (following == 0 && !checks_.at_rest) return std::nullopt;
    const auto kind = following == 0 ? FileDamage::Kind::tail_unfinished : FileDamage::Kind::bytes_unreadable;
    if (header_done_ && left > 0) {
      skip_damage(kind);
      continue;
    }
    if (!header_done_) {
      header_done_ = true;
      begin_ = end_;
      report(kind, 0, next_frame_, "the file ends within its first 64 bytes");
    }
    if (following == 0) return std::nullopt;
    open_file(following);
  }
}

}  // namespace sallyport::replay
