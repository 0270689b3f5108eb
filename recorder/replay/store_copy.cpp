#include "recorder/replay/store_copy.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/os/fd.h"
#include "recorder/replay/journal_files.h"
#include "recorder/shipping/parcel.h"

namespace sallyport::replay {
namespace {

namespace fs = std::filesystem;
using recorder::ParcelKey;

constexpr std::string_view k_list = "fetched";

std::set<std::string> fetched_before(const fs::path& folder) {
  std::set<std::string> keys;
  std::ifstream in(folder / k_list);
  for (std::string line; std::getline(in, line);) keys.insert(line);
  return keys;
}

Result<void> write_at(const fs::path& file, std::uint64_t offset, ByteView bytes) {
  const Fd out(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  std::size_t done = 0;
  while (out && done < bytes.size()) {
    const ssize_t n = ::pwrite(out.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  if (!out || done < bytes.size()) return fail(Errc::unavailable, file.string() + ": " + std::strerror(errno));
  return {};
}

/// What is there of each file, in order, must join.
void find_gaps(const std::vector<ParcelKey>& keys, StoreCopy& copy) {
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::pair<ParcelKey, std::set<std::uint32_t>>> spans;
  for (const auto& key : keys) {
    auto& span = spans.try_emplace({key.span.file, key.span.from}, key, std::set<std::uint32_t>()).first->second;
    if (span.first.span == key.span) span.second.insert(key.lane);
    else copy.missing.push_back("file " + std::to_string(key.span.file) + ": two parcels begin at byte " + std::to_string(key.span.from));
  }
  std::uint64_t file = 0, end = 0;
  for (const auto& [at, span] : spans) {
    if (at.first != file && file != 0 && at.first != file + 1)
      copy.missing.push_back("files " + std::to_string(file + 1) + " to " + std::to_string(at.first - 1) + " are not in the store");
    if (file == 0 && at.first != 1) copy.missing.push_back("files 1 to " + std::to_string(at.first - 1) + " are not in the store");
    if (at.first != file) end = 0;
    file = at.first;
    if (at.second != end)
      copy.missing.push_back("file " + std::to_string(file) + ": bytes " + std::to_string(std::min(end, at.second)) + " to " + std::to_string(std::max(end, at.second)) +
                             (at.second > end ? " are not in the store" : " are there twice"));
    end = std::max(end, span.first.span.to);
    if (!span.second.contains(1)) copy.missing.push_back("file " + std::to_string(file) + ": lane 1 of the parcel at byte " + std::to_string(at.second) + " is not in the store");
    else if (span.second.size() < span.first.lanes) copy.holes.push_back({file, span.first.span.from, span.first.span.to});
  }
}

}  // namespace

Result<std::vector<std::string>> nodes_in(recorder::ObjectStore& store) {
  auto keys = store.list("");
  if (!keys) return tl::unexpected(keys.error());
  std::set<std::string> nodes;
  for (const auto& key : *keys)
    if (const auto parsed = recorder::parse_parcel_key(key)) nodes.insert(parsed->node);
  return std::vector<std::string>(nodes.begin(), nodes.end());
}

fs::path usual_copy_folder(const std::string& url, const std::string& node) {
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  const char* const home = std::getenv("HOME");
  const fs::path base = cache != nullptr && cache[0] == '/' ? fs::path(cache) : home != nullptr && home[0] == '/' ? fs::path(home) / ".cache" : fs::temp_directory_path();
  return base / "sallyport" / "store" / crypto::to_hex(ByteView(crypto::sha256(url + "\n" + node)).first(16));
}

Result<StoreCopy> fetch_journal(recorder::ObjectStore& store, const std::string& node, const fs::path& folder, bool fresh) {
  StoreCopy copy;
  copy.folder = folder;
  auto listed = store.list(node + "/");
  if (!listed) return tl::unexpected(listed.error());
  std::vector<ParcelKey> parcels;
  std::vector<std::string> names, notes;
  for (const auto& key : *listed) {
    if (auto parsed = recorder::parse_parcel_key(key); parsed && parsed->node == node) {
      parcels.push_back(std::move(*parsed));
      names.push_back(key);
    } else if (key.starts_with(node + "/checkpoints/")) {
      notes.push_back(key);
    }
  }
  if (parcels.empty()) return fail(Errc::not_found, "no journal of " + node + " is in the store");
  std::error_code error;
  std::set<std::string> before = fetched_before(folder);
  const std::set<std::string> present(names.begin(), names.end());
  if (fresh || !std::includes(present.begin(), present.end(), before.begin(), before.end())) {  // something was removed: begin anew
    fs::remove_all(folder, error);
    before.clear();
  }
  fs::create_directories(folder, error);
  fs::permissions(folder, fs::perms::owner_all, error);
  std::ofstream list(folder / k_list, std::ios::app);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (before.contains(names[i])) continue;
    const auto body = store.get(names[i]);
    if (!body) return tl::unexpected(body.error());
    const auto parcel = recorder::unpack_parcel(*body);
    if (!parcel) return fail(Errc::corrupt, names[i] + ": " + parcel.error().detail);
    if (parcel->span != parcels[i].span || parcel->lane != parcels[i].lane || crypto::to_hex(crypto::sha256(*body)).substr(0, 32) != parcels[i].hash)
      return fail(Errc::corrupt, names[i] + " is not what its name says: it was changed in the store");
    for (const auto& piece : parcel->pieces)
      if (auto written = write_at(folder / journal_file_name(parcel->span.file), piece.offset, piece.bytes); !written) return tl::unexpected(written.error());
    copy.bytes += body->size();
    list << names[i] << "\n";
  }
  copy.parcels = names.size();
  find_gaps(parcels, copy);
  for (const auto& key : notes) {
    const auto body = store.get(key);
    if (!body) return tl::unexpected(body.error());
    if (auto note = crypto::parse_note(text_of(*body))) copy.checkpoints.push_back(std::move(*note));
  }
  return copy;
}

}  // namespace sallyport::replay
