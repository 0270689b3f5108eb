#include "recorder/shipping/directory_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "platform/os/fd.h"

namespace sallyport::recorder {
namespace {

constexpr std::size_t k_max_key = 512;
constexpr std::string_view k_unfinished = ".unfinished-";

tl::unexpected<Error> failed(const std::string& what) { return fail(Errc::unavailable, what + ": " + std::strerror(errno)); }

Result<void> write_whole(const std::string& path, ByteView body) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return failed(path);
  std::size_t done = 0;
  while (done < body.size()) {
    const ssize_t n = ::write(file.get(), body.data() + done, body.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return failed(path);
    done += static_cast<std::size_t>(n);
  }
  if (::fdatasync(file.get()) != 0) return failed(path);
  return {};
}

}  // namespace

bool is_object_key(std::string_view key) noexcept {
  if (key.empty() || key.size() > k_max_key) return false;
  char before = '/';
  for (const char c : key) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (!plain && c != '.' && c != '/') return false;
    if (before == '/' && !plain) return false;
    before = c;
  }
  return before != '/';
}

Result<void> DirectoryStore::put(std::string_view key, ByteView body, const ObjectKeep& keep) {
  if (!is_object_key(key)) return fail(Errc::invalid, "not an object key");
  if (keep.until || keep.legal_hold) return fail(Errc::invalid, "a folder cannot hold objects against removal: use a store with object lock");
  const std::filesystem::path place = std::filesystem::path(root_) / key;
  std::error_code error;
  std::filesystem::create_directories(place.parent_path(), error);
  if (error) return fail(Errc::unavailable, place.parent_path().string() + ": " + error.message());
  const std::string unfinished = (place.parent_path() / (std::string(k_unfinished) + place.filename().string())).string();
  auto written = write_whole(unfinished, body);
  bool was_there = false;
  if (written && ::link(unfinished.c_str(), place.c_str()) != 0) {
    was_there = errno == EEXIST;
    if (!was_there) written = failed(place.string());
  }
  ::unlink(unfinished.c_str());
  if (!written) return written;
  if (was_there) {
    const auto present = get(key);
    if (!present) return tl::unexpected(present.error());
    if (!std::equal(present->begin(), present->end(), body.begin(), body.end())) return fail(Errc::conflict, "the object exists with another content");
  }
  const Fd folder(::open(place.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return failed(place.parent_path().string());
  return {};
}

Result<Bytes> DirectoryStore::get(std::string_view key) { return get_range(key, 0, ~0ULL); }

Result<Bytes> DirectoryStore::get_range(std::string_view key, std::uint64_t offset, std::uint64_t length) {
  if (!is_object_key(key)) return fail(Errc::invalid, "not an object key");
  const std::string path = (std::filesystem::path(root_) / key).string();
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return errno == ENOENT ? fail(Errc::not_found, "no such object") : failed(path);
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return failed(path);
  const auto size = static_cast<std::uint64_t>(facts.st_size);
  Bytes body(offset >= size ? 0 : static_cast<std::size_t>(std::min(length, size - offset)));
  std::size_t done = 0;
  while (done < body.size()) {
    const ssize_t n = ::pread(file.get(), body.data() + done, body.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return failed(path);
    done += static_cast<std::size_t>(n);
  }
  return body;
}

Result<ObjectFacts> DirectoryStore::head(std::string_view key) {
  if (!is_object_key(key)) return fail(Errc::invalid, "not an object key");
  struct stat facts {};
  const std::string path = (std::filesystem::path(root_) / key).string();
  if (::lstat(path.c_str(), &facts) != 0) return errno == ENOENT ? fail(Errc::not_found, "no such object") : failed(path);
  if (!S_ISREG(facts.st_mode)) return fail(Errc::not_found, "no such object");
  ObjectFacts out;
  out.size = static_cast<std::uint64_t>(facts.st_size);
  return out;
}

Result<std::vector<std::string>> DirectoryStore::list(std::string_view prefix) {
  std::vector<std::string> keys;
  std::error_code error;
  if (!std::filesystem::exists(root_, error)) return keys;
  for (auto at = std::filesystem::recursive_directory_iterator(root_, error); !error && at != std::filesystem::recursive_directory_iterator();
       at.increment(error)) {
    if (!at->is_regular_file(error)) continue;
    std::string key = std::filesystem::relative(at->path(), root_, error).string();
    if (key.starts_with(prefix) && is_object_key(key)) keys.push_back(std::move(key));
  }
  if (error) return fail(Errc::unavailable, root_ + ": " + error.message());
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace sallyport::recorder
