#include "platform/os/port_holder.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace sallyport::os {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view k_state_listen = "0A";  // TCP_LISTEN in /proc/net/tcp

/// The "socket:[INODE]" names of what listens on the port.
std::set<std::string> listening_inodes(std::uint16_t port) {
  std::set<std::string> found;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream lines(table);
    std::string line;
    std::getline(lines, line);  // the head
    while (std::getline(lines, line)) {
      std::istringstream words(line);
      std::string slot, local, remote, state, queues, timer, retries, uid, timeout, inode;
      words >> slot >> local >> remote >> state >> queues >> timer >> retries >> uid >> timeout >> inode;
      const std::size_t colon = local.rfind(':');
      if (state != k_state_listen || colon == std::string::npos || inode.empty() || inode == "0") continue;
      unsigned here = 0;
      const auto [end, error] = std::from_chars(local.data() + colon + 1, local.data() + local.size(), here, 16);
      if (error == std::errc{} && here == port) found.insert("socket:[" + inode + "]");
    }
  }
  return found;
}

bool holds(const fs::path& process, const std::set<std::string>& sockets) {
  std::error_code error;
  for (fs::directory_iterator open(process / "fd", error), end; !error && open != end; open.increment(error)) {
    std::error_code gone;
    if (sockets.contains(fs::read_symlink(open->path(), gone).string())) return true;
  }
  return false;
}

}  // namespace

std::string who_listens_on(std::uint16_t port) {
  const auto sockets = listening_inodes(port);
  if (sockets.empty()) return {};
  std::error_code error;
  for (fs::directory_iterator process("/proc", error), end; !error && process != end; process.increment(error)) {
    const std::string pid = process->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos || !holds(process->path(), sockets)) continue;
    std::string name;
    std::getline(std::ifstream(process->path() / "comm"), name);
    for (char& c : name)
      if (c < ' ' || c > '~') c = '?';  // a process names itself
    return name + " (pid " + pid + ")";
  }
  return {};
}

std::string why_not_listening(int error, std::uint16_t port, std::string_view key) {
  const std::string setting = "`" + std::string(key) + "` in the configuration";
  std::string text = std::strerror(error);
  if (error == EADDRINUSE) {
    const std::string who = who_listens_on(port);
    return text + (who.empty() ? "; `ss -ltnp` as root shows by whom" : ": by " + who) + "; end that program, or set another port: " + setting;
  }
  if (error == EACCES) return text + "; ports below 1024 need root or CAP_NET_BIND_SERVICE; set another port: " + setting;
  if (error == EADDRNOTAVAIL) return text + "; no interface of this machine has the address (`ip addr` lists them); set another: " + setting;
  return text;
}

}  // namespace sallyport::os
