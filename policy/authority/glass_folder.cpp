#include "policy/authority/glass_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "platform/crypto/base64.h"
#include "platform/crypto/ulid.h"
#include "platform/model/bytes.h"
#include "platform/os/fd.h"
#include "policy/authority/event_json.h"
#include "policy/identity/envelope.h"

namespace sallyport::authority {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view k_suffix = ".envelope";
constexpr std::size_t k_most_envelopes = 1000;
constexpr std::size_t k_max_mark = 4096;
constexpr std::size_t k_max_copy = 256 * 1024 * 1024;
constexpr std::string_view k_policy_head = "sallyport-policy-copy 1 ";
constexpr std::string_view k_locks_head = "sallyport-locks-copy 1";

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

}  // namespace

Result<void> GlassFolder::write(const std::string& name, std::string_view text) const {
  const std::string file = path_ + "/" + name;
  const std::string fresh = file + ".new";
  if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) return fail(Errc::unavailable, path_ + ": " + std::strerror(errno));
  const Fd out(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!out || !write_all(out.get(), text) || ::fsync(out.get()) != 0 || std::rename(fresh.c_str(), file.c_str()) != 0)
    return fail(Errc::unavailable, file + ": " + std::strerror(errno));
  const Fd folder(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return fail(Errc::unavailable, path_ + ": " + std::strerror(errno));
  return {};
}

Result<std::string> GlassFolder::read(const std::string& name, std::size_t most) const {
  const std::string file = path_ + "/" + name;
  std::error_code error;
  const auto size = fs::file_size(file, error);
  if (error) return fail(Errc::not_found, file + ": " + error.message());
  if (size > most) return fail(Errc::corrupt, file + " is too large");
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return fail(Errc::unavailable, file + " cannot be read");
  return text.str();
}

std::map<std::string, std::string> GlassFolder::envelopes() const {
  std::map<std::string, std::string> found;
  std::error_code error;
  for (fs::directory_iterator at(path_, error), end; !error && at != end && found.size() < k_most_envelopes; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!name.ends_with(k_suffix)) continue;
    const std::string id = name.substr(0, name.size() - k_suffix.size());
    if (!crypto::is_ulid(id)) continue;
    if (auto text = read(name, policy::k_max_envelope)) found.emplace(id, std::move(*text));
  }
  return found;
}

Result<void> GlassFolder::put(const std::string& id, std::string_view text) const { return write(id + std::string(k_suffix), text); }

std::optional<GlassMark> GlassFolder::mark(const std::string& id, std::string_view kind) const {
  const std::string name = id + "." + std::string(kind);
  auto text = read(name, k_max_mark);
  if (!text && text.error().code == Errc::not_found) return std::nullopt;
  GlassMark mark;
  if (!text) return mark;  // it is there: the envelope is spent, whatever it says
  std::istringstream words(*text);
  words >> mark.at_us >> mark.until_us >> mark.by;
  return mark;
}

Result<void> GlassFolder::put_mark(const std::string& id, std::string_view kind, const GlassMark& mark) const {
  return write(id + "." + std::string(kind), std::to_string(mark.at_us) + " " + std::to_string(mark.until_us) + " " + mark.by + "\n");
}

Result<void> GlassFolder::keep_policy(const PolicyVersion& version) const {
  std::string text = std::string(k_policy_head) + std::to_string(version.version) + "\n";
  for (const PolicyFile& file : version.files) text += file.name + " " + crypto::to_base64(bytes_of(file.content)) + "\n";
  return write("policy.copy", text);
}

Result<PolicyVersion> GlassFolder::policy() const {
  auto text = read("policy.copy", k_max_copy);
  if (!text) return tl::unexpected(text.error());
  std::istringstream lines(*text);
  std::string line;
  PolicyVersion version;
  if (!std::getline(lines, line) || !line.starts_with(k_policy_head)) return fail(Errc::corrupt, "the copy of the policy does not begin as one");
  std::from_chars(line.data() + k_policy_head.size(), line.data() + line.size(), version.version);
  while (std::getline(lines, line)) {
    const auto space = line.rfind(' ');
    if (space == std::string::npos) return fail(Errc::corrupt, "the copy of the policy is damaged");
    const auto content = crypto::from_base64(std::string_view(line).substr(space + 1));
    if (!content) return fail(Errc::corrupt, "the copy of the policy is damaged");
    version.files.push_back({line.substr(0, space), std::string(text_of(*content))});
  }
  return version;
}

Result<void> GlassFolder::keep_locks(const std::vector<policy::Lock>& locks) const {
  std::string text = std::string(k_locks_head) + "\n";
  for (const policy::Lock& lock : locks) {
    EventJson json;
    json.text("id", lock.id).text("principal", lock.principal).text("target", lock.target).text("account", lock.account).text("reason", lock.reason);
    json.text("created_by", lock.created_by).number("created", lock.created.time_since_epoch().count());
    if (lock.expires) json.number("expires", lock.expires->time_since_epoch().count());
    text += json.str() + "\n";
  }
  return write("locks.copy", text);
}

Result<std::vector<policy::Lock>> GlassFolder::locks() const {
  auto text = read("locks.copy", k_max_copy);
  if (!text) return tl::unexpected(text.error());
  std::istringstream lines(*text);
  std::string line;
  if (!std::getline(lines, line) || line != k_locks_head) return fail(Errc::corrupt, "the copy of the locks does not begin as one");
  std::vector<policy::Lock> locks;
  while (std::getline(lines, line)) {
    const auto fields = JsonFields::parse(line);
    if (!fields) return fail(Errc::corrupt, "the copy of the locks is damaged");
    policy::Lock lock;
    lock.id = fields->get("id");
    lock.principal = fields->get("principal");
    lock.target = fields->get("target");
    lock.account = fields->get("account");
    lock.reason = fields->get("reason");
    lock.created_by = fields->get("created_by");
    lock.created = WallTime(std::chrono::microseconds(fields->number("created").value_or(0)));
    if (const auto expires = fields->number("expires")) lock.expires = WallTime(std::chrono::microseconds(*expires));
    locks.push_back(std::move(lock));
  }
  return locks;
}

}  // namespace sallyport::authority
