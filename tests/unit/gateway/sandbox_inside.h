// tests/unit/gateway/sandbox_inside.h -- runs a piece of code inside the sandbox and says how its process ended.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "gateway/sandbox/sandbox.h"

namespace sallyport::tests {

constexpr int k_could_not_enter = 99;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr sandbox::Limits k_test_limits{0, 256};  // the sanitizer's shadow is far above 1 GiB
#else
constexpr sandbox::Limits k_test_limits{};
#endif

struct Fate {
  int exit_code = -1;
  int signal = 0;
};

inline Fate fate_of(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) return Fate{-1, WTERMSIG(status)};
  return Fate{WEXITSTATUS(status), 0};
}

/// `body` gives the exit status; it runs after sandbox::enter, in a process of its own.
template <class Body>
Fate inside(const sandbox::Program& program, Body body) {
  const pid_t child = fork();
  if (child == 0) {
    for (const int signal_number : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTERM})
      signal(signal_number, SIG_DFL);  // Catch's handlers
    if (!sandbox::enter(program, k_test_limits)) _exit(k_could_not_enter);
    _exit(body());
  }
  return fate_of(child);
}

}  // namespace sallyport::tests
