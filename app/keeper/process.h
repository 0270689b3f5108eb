// app/keeper/process.h -- starting a service: fork, one control link at descriptor 3, own uid, exec.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "platform/model/result.h"
#include "platform/os/fd.h"

namespace sallyport::app {

struct Command {
  std::vector<std::string> argv;  ///< argv[0] is an absolute path
  std::string user;               ///< account to run as; empty: the keeper's own. Needs root.
  std::vector<std::string> keep_environment;  ///< names handed on besides PATH, LANG, TZ and the sanitizers' options
};

struct Child {
  pid_t pid = -1;
  Fd pidfd;  ///< readable when the process has ended
};

/// Starts `command` in a session of its own with 0 = /dev/null, 1 and 2 = the keeper's stderr, 3 = `control`, nothing else; no core dumps.
/// Errc::not_found: no such user. Errc::unavailable: fork failed. A failed exec shows as exit status 127 of the child.
[[nodiscard]] Result<Child> start_process(const Command& command, Fd control);

/// A pidfd for a child that is there already (after the keeper was executed anew).
[[nodiscard]] Result<Child> adopt_process(pid_t pid);

struct Ended {
  int exit_code = -1;
  int signal = 0;
};
/// Collects the child; nothing if it still runs.
[[nodiscard]] std::optional<Ended> reap(pid_t pid);

/// Runs `program --version` for at most 5 s: is this something that can be executed at all? Errc::invalid otherwise.
[[nodiscard]] Result<void> check_program(const std::string& program);

[[nodiscard]] bool user_exists(const std::string& user);

}  // namespace sallyport::app
