#include "app/keeper/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace sallyport::app {
namespace {

constexpr int k_control_descriptor = 3;

std::string errno_text(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

std::vector<std::string> environment_for(const Command& command) {
  std::vector<std::string> names{"PATH", "LANG", "SALLYPORT_LOG", "TZ", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"};
  names.insert(names.end(), command.keep_environment.begin(), command.keep_environment.end());
  std::vector<std::string> environment;
  for (const std::string& name : names)
    if (const char* value = std::getenv(name.c_str())) environment.push_back(name + "=" + value);
  return environment;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void die_in_child(const char* what) {
  const std::string line = "sallyport: " + errno_text(what) + "\n";
  if (::write(2, line.data(), line.size()) < 0) _exit(126);
  _exit(127);
}

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
};

Result<Account> find_account(const std::string& user) {
  errno = 0;
  const passwd* entry = getpwnam(user.c_str());
  if (entry == nullptr) return fail(Errc::not_found, "no such user: " + user);
  return Account{entry->pw_uid, entry->pw_gid};
}

}  // namespace

bool user_exists(const std::string& user) { return find_account(user).has_value(); }

Result<Child> start_process(const Command& command, Fd control) {
  Account account;
  if (!command.user.empty()) {
    auto found = find_account(command.user);
    if (!found) return tl::unexpected(found.error());
    account = *found;
  }
  std::vector<std::string> arguments = command.argv;
  std::vector<std::string> environment = environment_for(command);
  const std::vector<char*> argv = pointers_to(arguments);
  const std::vector<char*> envp = pointers_to(environment);
  const pid_t pid = fork();
  if (pid < 0) return fail(Errc::unavailable, errno_text("fork"));
  if (pid == 0) {
    setsid();  // Ctrl-C reaches the keeper alone; it ends its services in order
    const int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0) die_in_child("preparing a service's descriptors");
    if (control.get() == k_control_descriptor) {
      if (fcntl(k_control_descriptor, F_SETFD, 0) != 0) die_in_child("preparing a service's control link");
    } else if (dup2(control.get(), k_control_descriptor) < 0) {
      die_in_child("preparing a service's control link");
    }
    if (syscall(SYS_close_range, k_control_descriptor + 1, ~0U, 0) != 0) die_in_child("close_range");
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int signal : {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD}) ::signal(signal, SIG_DFL);
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    umask(077);
    if (!command.user.empty() &&
        (setgroups(0, nullptr) != 0 || setresgid(account.gid, account.gid, account.gid) != 0 ||
         setresuid(account.uid, account.uid, account.uid) != 0))
      die_in_child("changing to the service's user");
    execve(argv[0], argv.data(), envp.data());
    die_in_child(argv[0]);
  }
  return adopt_process(pid);
}

Result<Child> adopt_process(pid_t pid) {
  Child child;
  child.pid = pid;
  child.pidfd = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!child.pidfd) return fail(Errc::internal, errno_text("pidfd_open"));
  return child;
}

Result<void> check_program(const std::string& program) {
  const pid_t pid = fork();
  if (pid < 0) return fail(Errc::unavailable, errno_text("fork"));
  if (pid == 0) {
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) _exit(126);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    alarm(5);
    execl(program.c_str(), program.c_str(), "--version", nullptr);
    _exit(127);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(Errc::invalid, program + " --version does not run");
}

std::optional<Ended> reap(pid_t pid) {
  int status = 0;
  pid_t result = 0;
  do {
    result = waitpid(pid, &status, WNOHANG);
  } while (result < 0 && errno == EINTR);
  if (result == 0) return std::nullopt;
  if (result < 0) return Ended{-1, 0};  // not our child any more: gone all the same
  if (WIFSIGNALED(status)) return Ended{-1, WTERMSIG(status)};
  return Ended{WEXITSTATUS(status), 0};
}

}  // namespace sallyport::app
