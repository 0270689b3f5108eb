#include "recorder/local_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "platform/model/json_text.h"
#include "platform/os/fd.h"
#include "recorder/journal/journal.h"

namespace sallyport::recorder {
namespace {

constexpr std::size_t k_always_kept = 2;  ///< files: recovery may have to go back by one

std::uint64_t number_in(const JsonFields& fields, std::string_view name) {
  const auto number = fields.number(name);
  return number && *number > 0 ? static_cast<std::uint64_t>(*number) : 0;
}

}  // namespace

LocalFiles::LocalFiles(std::string journal_dir, std::string holds_file) : journal_dir_(std::move(journal_dir)), holds_file_(std::move(holds_file)) {
  std::ifstream in(holds_file_);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string label;
    Range range;
    if (words >> label >> range.first >> range.last) holds_[label] = range;
  }
}

Result<void> LocalFiles::save() const {
  const std::string fresh = holds_file_ + ".new";
  std::string text;
  for (const auto& [label, range] : holds_) text += label + " " + std::to_string(range.first) + " " + std::to_string(range.last) + "\n";
  const Fd out(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!out || ::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(out.get()) != 0 ||
      std::rename(fresh.c_str(), holds_file_.c_str()) != 0)
    return fail(Errc::unavailable, holds_file_ + ": " + std::strerror(errno));
  return {};
}

Result<bool> LocalFiles::take_event(std::string_view name, std::string_view json) {
  const bool holds = name == "recording.held";
  if (!holds && name != "recording.released") return false;
  const auto fields = JsonFields::parse(json);
  const std::string label = fields ? std::string(fields->get("session")) : std::string();
  if (label.empty()) return false;
  if (holds) holds_[label] = {number_in(*fields, "first_file"), number_in(*fields, "last_file")};
  else holds_.erase(label);
  if (auto saved = save(); !saved) return tl::unexpected(saved.error());
  return true;
}

std::vector<std::string> LocalFiles::held_sessions() const {
  std::vector<std::string> labels;
  for (const auto& [label, range] : holds_) labels.push_back(label);
  return labels;
}

bool LocalFiles::is_held(std::uint64_t file) const {
  return std::any_of(holds_.begin(), holds_.end(), [&](const auto& hold) {
    return file >= hold.second.first && (hold.second.last == 0 || file <= hold.second.last);
  });
}

std::vector<LocalFiles::Doomed> LocalFiles::due(const LocalKeep& keep, std::uint64_t shipped_file, WallTime now) const {
  std::vector<Doomed> out;
  if (keep.bytes == 0 && keep.time.count() == 0) return out;
  struct File {
    std::uint64_t number = 0, bytes = 0;
    std::int64_t changed_s = 0;
  };
  std::vector<File> files;
  std::uint64_t total = 0;
  for (const std::uint64_t number : journal_files(journal_dir_)) {
    struct stat facts {};
    if (::stat((journal_dir_ + "/" + journal_file_name(number)).c_str(), &facts) != 0) continue;
    files.push_back({number, static_cast<std::uint64_t>(facts.st_size), facts.st_mtim.tv_sec});
    total += files.back().bytes;
  }
  const std::int64_t now_s = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  const std::int64_t most_s = std::chrono::duration_cast<std::chrono::seconds>(keep.time).count();
  for (std::size_t i = 0; i + k_always_kept < files.size(); ++i) {
    const File& file = files[i];
    const bool too_old = keep.time.count() != 0 && now_s - file.changed_s >= most_s;
    const bool too_much = keep.bytes != 0 && total > keep.bytes;
    // Files leave from the oldest on, so that what stays joins.
    if (file.number >= shipped_file || is_held(file.number) || (!too_old && !too_much)) break;
    out.push_back({file.number, file.bytes});
    total -= file.bytes;
  }
  return out;
}

Result<void> LocalFiles::remove(std::uint64_t file) const {
  const std::string path = journal_dir_ + "/" + journal_file_name(file);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail(Errc::unavailable, path + ": " + std::strerror(errno));
  return {};
}

}  // namespace sallyport::recorder
