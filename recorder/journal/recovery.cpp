// How a journal comes back after a stop, a crash or a power loss: the state frame of its last file, then that file's frames.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "platform/crypto/note.h"
#include "recorder/journal/journal.h"

namespace sallyport::recorder {
namespace {

constexpr std::string_view k_suffix = ".journal";
constexpr std::size_t k_number_digits = 8;

/// A file's bytes, mapped read-only. The journal's lock keeps others from cutting it.
class FileBytes {
 public:
  explicit FileBytes(int fd) {
    struct stat facts {};
    if (::fstat(fd, &facts) != 0) return;
    readable_ = true;
    if (facts.st_size == 0) return;
    const auto size = static_cast<std::size_t>(facts.st_size);
    void* at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    readable_ = at != MAP_FAILED;
    if (readable_) bytes_ = std::span(static_cast<std::byte*>(at), size);
  }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;
  ~FileBytes() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  }
  [[nodiscard]] bool readable() const { return readable_; }
  [[nodiscard]] ByteView view() const { return bytes_; }

 private:
  bool readable_ = false;
  std::span<std::byte> bytes_;
};

Error damaged(std::string detail) { return Error{Errc::corrupt, "the journal contradicts itself: " + std::move(detail)}; }

}  // namespace

std::string journal_file_name(std::uint64_t number) {
  std::string digits = std::to_string(number);
  if (digits.size() < k_number_digits) digits.insert(0, k_number_digits - digits.size(), '0');
  return digits + std::string(k_suffix);
}

std::vector<std::uint64_t> journal_files(const std::string& directory) {
  std::vector<std::uint64_t> numbers;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(k_suffix)) continue;
    std::uint64_t number = 0;
    const char* const end = name.data() + name.size() - k_suffix.size();
    const auto parsed = std::from_chars(name.data(), end, number);
    if (parsed.ec == std::errc{} && parsed.ptr == end && journal_file_name(number) == name) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Result<std::unique_ptr<Journal>> Journal::open(JournalOptions options, Clock& clock, crypto::Random& random) {
  std::unique_ptr<Journal> journal(new Journal(std::move(options), clock, random));
  const std::string& directory = journal->options_.directory;
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return fail(Errc::unavailable, directory + ": " + std::strerror(errno));
  journal->folder_ = std::make_shared<const Fd>(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!*journal->folder_) return fail(Errc::unavailable, directory + ": " + std::strerror(errno));
  journal->lock_.reset(::open((directory + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!journal->lock_) return fail(Errc::unavailable, directory + "/lock: " + std::strerror(errno));
  if (::flock(journal->lock_.get(), LOCK_EX | LOCK_NB) != 0) return fail(Errc::conflict, "another recorder works on " + directory);
  if (auto recovered = journal->recover(); !recovered) return tl::unexpected(recovered.error());
  return journal;
}

Result<void> Journal::recover() {
  std::vector<std::uint64_t> files = journal_files(options_.directory);
  for (std::size_t i = 1; i < files.size(); ++i)
    if (files[i] != files[i - 1] + 1) return tl::unexpected(damaged("file " + journal_file_name(files[i - 1] + 1) + " is missing"));
  while (!files.empty()) {
    auto loaded = load_file(files.back());
    if (!loaded) return tl::unexpected(loaded.error());
    if (*loaded) {
      for (std::uint64_t before = files.back(); newest_checkpoint_.empty() && before > 1; --before) find_checkpoint_in(before - 1);
      return {};
    }
    files.pop_back();  // a new file that a crash left without its state: kept aside, the one before goes on
  }
  return begin_file(1);
}

/// The newest checkpoint of an earlier file, when the last one has none yet.
void Journal::find_checkpoint_in(std::uint64_t number) {
  const Fd file(::open(path_of(number).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return;
  const FileBytes bytes(file.get());
  if (bytes.view().size() < k_file_header_bytes) return;
  FrameReader reader(bytes.view().subspan(k_file_header_bytes));
  Frame frame;
  while (reader.next(frame) == FrameReader::Next::frame)
    if (frame.type == FrameType::checkpoint) static_cast<void>(replay_frame(frame));
}

// True: the journal goes on in this file. False: it never held anything, and was put aside.
Result<bool> Journal::load_file(std::uint64_t number) {
  const std::string path = path_of(number);
  auto file = std::make_shared<const Fd>(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!*file) return fail(Errc::unavailable, path + ": " + std::strerror(errno));
  const FileBytes bytes(file->get());
  if (!bytes.readable()) return fail(Errc::unavailable, path + ": " + std::strerror(errno));
  const auto header = read_file_header(bytes.view());
  Frame first;
  if (!header || FrameReader(bytes.view().subspan(k_file_header_bytes)).next(first) != FrameReader::Next::frame ||
      first.type != FrameType::state) {
    const std::string aside = path_of(number) + ".cut";
    if (::rename(path.c_str(), aside.c_str()) != 0) return fail(Errc::unavailable, path + ": " + std::strerror(errno));
    recovery_.cut_bytes += bytes.view().size();
    recovery_.cut_file = aside;
    recovery_.damaged = bytes.view().size() > k_file_header_bytes + k_frame_header_bytes && !header;
    return false;
  }
  if (header->number != number || header->first_frame != first.number) return tl::unexpected(damaged(journal_file_name(number) + " is not its name's file"));
  file_ = std::move(file);
  file_number_ = number;
  next_frame_ = first.number;
  if (auto replayed = replay(bytes.view()); !replayed) return tl::unexpected(replayed.error());
  unsynced_.push_back(file_);
  unsynced_.push_back(folder_);
  return true;
}

Result<void> Journal::replay(ByteView bytes) {
  FrameReader reader(bytes.subspan(k_file_header_bytes));
  Frame frame;
  auto next = FrameReader::Next::end;
  while ((next = reader.next(frame)) == FrameReader::Next::frame) {
    if (frame.number != next_frame_) return tl::unexpected(damaged("frame " + std::to_string(next_frame_) + " is missing"));
    if (auto replayed = replay_frame(frame); !replayed) return replayed;
    ++next_frame_;
    ++recovery_.frames;
  }
  file_bytes_ = k_file_header_bytes + reader.offset();
  if (next == FrameReader::Next::end) return {};
  const ByteView tail = bytes.subspan(file_bytes_);
  recovery_.damaged = next == FrameReader::Next::damaged;
  std::string name = journal_file_name(file_number_);
  name.resize(name.size() - k_suffix.size());
  if (auto kept = keep_cut(name + ".cut-" + std::to_string(next_frame_), tail); !kept) return kept;
  if (::ftruncate(file_->get(), static_cast<off_t>(file_bytes_)) != 0)
    return fail(Errc::unavailable, std::string("cutting the journal's tail: ") + std::strerror(errno));
  return {};
}

Result<void> Journal::keep_cut(const std::string& name, ByteView tail) {
  recovery_.cut_bytes += tail.size();
  recovery_.cut_file = options_.directory + "/" + name;
  const Fd kept(::open(recovery_.cut_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  // On a full disk the torn bytes cannot be kept; they are torn, so that must not keep the journal from going on.
  if (!kept || ::write(kept.get(), tail.data(), tail.size()) != static_cast<ssize_t>(tail.size())) recovery_.cut_file.clear();
  return {};
}

Result<void> Journal::replay_frame(const Frame& frame) {
  const std::string where = "frame " + std::to_string(frame.number);
  switch (frame.type) {
    case FrameType::state: {
      auto state = read_state(frame.payload);
      if (!state || log_.size() > 0) return tl::unexpected(damaged(where + " is no state"));
      auto log = crypto::MerkleTree::resume(state->leaves, std::move(state->frontier));
      if (!log) return tl::unexpected(damaged(where + ": " + log.error().detail));
      log_ = std::move(*log);
      for (auto& trail : state->trails) {
        std::string label(seal::text_of(trail.label));
        trails_[std::move(label)] = std::make_unique<SessionTrail>(std::move(trail));
      }
      return {};
    }
    case FrameType::entries: {
      auto entries = EntriesReader::open(frame.payload);
      if (!entries) return tl::unexpected(damaged(where + " has no entries"));
      SessionTrail& trail = trail_of(seal::text_of(entries->label()));
      while (const auto entry = entries->next())
        if (const auto wrong = trail.take(*entry)) return tl::unexpected(damaged(where + ": " + std::string(*wrong)));
      if (!entries->is_whole()) return tl::unexpected(damaged(where + " does not hold its entries"));
      trail.ring_end = entries->ring_end();
      return {};
    }
    case FrameType::event:
    case FrameType::head: {
      if (frame.payload.size() < 8 || seal::get_number<std::uint64_t>(frame.payload.data()) != log_.size() + 1)
        return tl::unexpected(damaged(where + " has another leaf number"));
      log_.append_leaf(leaf_of(frame.type, frame.payload));
      if (frame.type == FrameType::event) return {};
      const auto head = read_head(frame.payload);
      if (!head) return tl::unexpected(damaged(where + " is no session head"));
      SessionTrail& trail = trail_of(seal::text_of(head->label));
      if (head->entries != trail.tree.size() || head->root != trail.tree.root())
        return tl::unexpected(damaged(where + ": a session head does not fit its entries"));
      trail.head_entries = head->entries;
      trail.ended = trail.ended || head->why == HeadWhy::end;
      trail.truncated = trail.truncated || head->why == HeadWhy::truncated;
      return {};
    }
    case FrameType::checkpoint: {
      newest_checkpoint_ = text_of(frame.payload);
      const auto note = crypto::parse_note(newest_checkpoint_);
      const auto checkpoint = note ? crypto::parse_checkpoint(note->body) : fail(Errc::corrupt, "no note");
      if (checkpoint) checkpointed_leaves_ = checkpoint->size;
      return {};
    }
  }
  return {};  // a type of a later version
}

}  // namespace sallyport::recorder
