// Helpers that read recordings for the authority, started as the recorder's user: the folder is open to nobody else.
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "app/keeper/keeper_process.h"
#include "platform/os/log.h"

namespace sallyport::app {
namespace {

constexpr std::size_t k_most_desks = 64;  ///< the authority asks for fewer

}  // namespace

/// What it may read and where it may write is said here, on its command line: not by who speaks to it.
void KeeperProcess::on_start_desk(const std::string& verb, std::vector<Fd> descriptors) {
  const Config& config = options_.config;
  Command command{{options_.recorder.argv.at(0), verb, (config.state_of("recorder") / "journal").string()}, options_.recorder.user, {}};
  if (verb == "viewing-desk") {
    for (const auto& path : {config.ring_dir, config.run_dir / "keys" / "checkpoint.vkey", config.index_dir()}) command.argv.push_back(path.string());
    if (const std::string search = config.settings.text("search_database"); search.starts_with('/')) command.argv.push_back(search);
  } else if (verb != "decision-desk") {
    return os::log_line(os::LogEvent::service_unexpected_message, "authority: asked for a helper that there is not");
  }
  if (descriptors.size() != 1 || stopping_) return;
  // Its socket is closed when it is not started: the authority sees an end.
  if (desks_.size() >= k_most_desks) return os::log_line(os::LogEvent::service_unexpected_message, "authority: too many helpers at once");
  auto child = start_process(command, std::move(descriptors.front()));
  if (!child) return os::log_line(os::LogEvent::service_unexpected_message, "a helper for recordings: " + child.error().detail);
  const pid_t pid = child->pid;
  const auto watched = loop_.watch(child->pidfd.get(), EPOLLIN, [this, pid](std::uint32_t) { end_desk(pid); });
  desks_.emplace(pid, std::move(child->pidfd));
  if (!watched) {
    kill(pid, SIGKILL);
    end_desk(pid);
  }
}

void KeeperProcess::end_desk(pid_t pid) {
  const auto found = desks_.find(pid);
  if (found == desks_.end()) return;
  loop_.forget(found->second.get());
  desks_.erase(found);
  static_cast<void>(reap(pid));
}

/// Before this image is replaced: the next one would not know them.
void KeeperProcess::end_desks() {
  for (const auto& [pid, pidfd] : desks_) {
    kill(pid, SIGKILL);
    loop_.forget(pidfd.get());
    while (!reap(pid)) usleep(1000);
  }
  desks_.clear();
}

}  // namespace sallyport::app
