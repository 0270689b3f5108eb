#include "app/keeper/directories.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "app/keeper/process.h"
#include "platform/os/log.h"

namespace sallyport::app {
namespace {

Result<void> make_directory(const std::filesystem::path& path, mode_t mode, const std::string& owner) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    return fail(Errc::unavailable, "directory " + path.string() + ": " + std::strerror(errno));
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    return fail(Errc::unavailable, "directory " + path.string() + ": is not a directory");
  if (geteuid() != 0 && status.st_uid != geteuid())
    return fail(Errc::unavailable, "directory " + path.string() + ": belongs to another user; start the gateway as that user, or as root");
  if ((status.st_mode & 07777) != mode && chmod(path.c_str(), mode) != 0)
    return fail(Errc::unavailable, "directory " + path.string() + ": " + std::strerror(errno));
  if (owner.empty()) return {};
  const passwd* entry = getpwnam(owner.c_str());
  if (entry == nullptr) return fail(Errc::not_found, "no such user: " + owner);
  if ((status.st_uid != entry->pw_uid || status.st_gid != entry->pw_gid) && lchown(path.c_str(), entry->pw_uid, entry->pw_gid) != 0)
    return fail(Errc::unavailable, "directory " + path.string() + ": " + std::strerror(errno));
  return {};
}

/// A service that has a user of its own must be able to walk to its directory.
Result<void> check_reachable(const std::filesystem::path& path, const std::string& owner) {
  const passwd* entry = owner.empty() ? nullptr : getpwnam(owner.c_str());
  if (entry == nullptr) return {};
  std::error_code ignored;
  for (auto above = std::filesystem::absolute(path, ignored).parent_path(); above.has_relative_path(); above = above.parent_path()) {
    struct stat status {};
    if (stat(above.c_str(), &status) != 0) continue;
    const mode_t wanted = status.st_uid == entry->pw_uid ? S_IXUSR : status.st_gid == entry->pw_gid ? S_IXGRP : S_IXOTH;
    if ((status.st_mode & wanted) == 0)
      return fail(Errc::unavailable, "directory " + path.string() + ": user " + owner + " cannot reach it: " + above.string() + " does not let others pass (chmod o+x " +
                                         above.string() + ")");
  }
  return {};
}

/// What an older version, or root by hand, left there. The folder's owner may change it meanwhile: nothing is named twice, no link is followed, and what has
/// a second name somewhere else, or belongs to another already, is left alone.
void give_below(Fd folder, const passwd& owner, int depth) {
  constexpr int k_deepest = 4;
  DIR* entries = fdopendir(dup(folder.get()));
  if (entries == nullptr) return;
  while (const dirent* entry = readdir(entries)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const Fd seen(openat(folder.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status {};
    if (!seen || fstat(seen.get(), &status) != 0) continue;
    const bool is_folder = S_ISDIR(status.st_mode);
    if (status.st_uid == 0 && (is_folder || (S_ISREG(status.st_mode) && status.st_nlink == 1)) && fchownat(seen.get(), "", owner.pw_uid, owner.pw_gid, AT_EMPTY_PATH) != 0)
      os::log_line(os::LogEvent::keeper_failed, "index/" + name + ": " + std::strerror(errno));
    if (!is_folder || depth >= k_deepest) continue;
    Fd below(openat(seen.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (below) give_below(std::move(below), owner, depth + 1);
  }
  closedir(entries);
}

void give_index(const std::filesystem::path& folder, const std::string& owner) {
  const passwd* entry = owner.empty() ? nullptr : getpwnam(owner.c_str());
  if (entry == nullptr) return;
  Fd top(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (top) give_below(std::move(top), *entry, 0);
}

std::filesystem::path running_file(const Config& config) { return config.state_dir / "running"; }

Result<void> replace_file(const std::filesystem::path& path, const std::string& text) {
  const auto fresh = path.string() + ".new";
  std::ofstream out(fresh, std::ios::trunc);
  out << text;
  out.close();
  if (!out || rename(fresh.c_str(), path.c_str()) != 0) return fail(Errc::unavailable, path.string() + ": cannot be written");
  return {};
}

/// Field 22 of /proc/PID/stat: tells a process from a later one with the same number. Empty: no such process.
std::string start_time_of(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(in, text)) return {};
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream rest(text.substr(name_end + 1));
  std::string field;
  std::string process_state;
  rest >> process_state;
  if (process_state == "Z" || process_state == "X") return {};
  for (int number = 4; number <= 22; ++number) rest >> field;
  return field;
}

}  // namespace

ServiceUsers find_service_users() {
  const ServiceUsers users{"sallyport-vault", "sallyport-authority", "sallyport-recorder", "sallyport-listener"};
  const bool all = geteuid() == 0 && user_exists(users.vault) && user_exists(users.authority) && user_exists(users.recorder) &&
                   user_exists(users.listener);
  return all ? users : ServiceUsers{};
}

Result<void> make_directories(const Config& config, const ServiceUsers& users) {
  struct Wanted {
    std::filesystem::path path;
    mode_t mode;
    std::string owner;
  };
  const mode_t run_mode = geteuid() == 0 ? 0755 : 0700;
  for (const Wanted& wanted : {Wanted{config.state_dir, static_cast<mode_t>(users.separate() ? 0711 : 0700), ""},
                               Wanted{config.state_of("vault"), 0700, users.vault},
                               Wanted{config.state_of("authority"), 0700, users.authority},
                               Wanted{config.state_of("recorder"), 0700, users.recorder},
                               Wanted{config.index_dir(), 0700, users.recorder},
                               Wanted{config.run_dir, run_mode, users.authority},
                               Wanted{config.ring_dir, 0700, users.recorder}}) {
    auto made = make_directory(wanted.path, wanted.mode, wanted.owner);
    if (!made) return made;
    if (auto reachable = check_reachable(wanted.path, wanted.owner); !reachable) return reachable;
  }
  give_index(config.index_dir(), users.recorder);
  return {};
}

Result<Fd> lock_state(const Config& config) {
  const auto path = config.state_dir / "keeper.lock";
  Fd lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return fail(Errc::unavailable, path.string() + ": " + std::strerror(errno));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return fail(Errc::conflict, "another sallyport serves with " + config.state_dir.string() + " (" + path.string() + " is locked)");
  return lock;
}

std::string running_line(const std::string& name, int pid) { return name + " " + std::to_string(pid) + " " + start_time_of(pid) + "\n"; }

Result<void> write_pid_file(const Config& config) {
  return replace_file(config.run_dir / "keeper.pid", std::to_string(getpid()) + "\n");
}

Result<void> write_running(const Config& config, const std::string& lines) { return replace_file(running_file(config), lines); }

Result<void> wait_for_leftover_services(const Config& config, std::chrono::milliseconds limit) {
  std::ifstream in(running_file(config));
  const auto until = std::chrono::steady_clock::now() + limit;
  std::string name;
  std::string start_time;
  int pid = 0;
  while (in >> name >> pid >> start_time) {
    bool told = false;
    while (start_time_of(pid) == start_time) {
      if (!told) os::log_line(os::LogEvent::service_leftover, name + " of an earlier keeper still runs (process " + std::to_string(pid) + "), waiting for its end");
      told = true;
      if (std::chrono::steady_clock::now() >= until) {
        os::log_line(os::LogEvent::service_leftover, name + " of an earlier keeper did not end, killed");
        kill(pid, SIGKILL);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  return {};
}

}  // namespace sallyport::app
