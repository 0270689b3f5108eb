#include "app/demo/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

#include "platform/os/fd.h"

namespace sallyport::app {
namespace {

std::string tail_of(const std::filesystem::path& log) {
  std::ifstream in(log);
  std::ostringstream text;
  text << in.rdbuf();
  const std::string all = text.str();
  return all.size() > 400 ? all.substr(all.size() - 400) : all;
}

}  // namespace

bool ChildProgram::lives() const { return pid > 0 && kill(pid, 0) == 0 && waitpid(pid, nullptr, WNOHANG) == 0; }

Result<ChildProgram> start_program(const std::vector<std::string>& argv, const std::filesystem::path& log,
                                   const std::vector<std::string>& extra_environment) {
  std::vector<std::string> texts = argv;
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  const pid_t parent = getpid();
  ChildProgram program{fork()};
  if (program.pid < 0) return fail(Errc::unavailable, std::string("fork: ") + std::strerror(errno));
  if (program.pid > 0) return program;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(126);
  setpgid(0, 0);  // Ctrl-C is for the demo alone
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = open("/dev/null", O_RDWR);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) _exit(126);
  if (syscall(SYS_close_range, 3U, ~0U, 0) != 0) _exit(126);
  for (const std::string& variable : extra_environment) {
    const std::size_t equals = variable.find('=');
    setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
  }
  execv(pointers[0], pointers.data());
  _exit(127);
}

Result<void> run_program(const std::vector<std::string>& argv, const std::filesystem::path& log) {
  auto program = start_program(argv, log);
  if (!program) return tl::unexpected(program.error());
  int status = 0;
  while (waitpid(program->pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(Errc::unavailable, argv.front() + " failed: " + tail_of(log));
}

void end_program(ChildProgram& program, int grace_ms) {
  if (program.pid <= 0) return;
  kill(-program.pid, SIGTERM);  // the whole group: an sshd has a process for each connection
  for (int waited = 0; waited < grace_ms; waited += 20) {
    if (waitpid(program.pid, nullptr, WNOHANG) != 0) {
      program.pid = -1;
      return;
    }
    poll(nullptr, 0, 20);
  }
  kill(-program.pid, SIGKILL);
  waitpid(program.pid, nullptr, 0);
  program.pid = -1;
}

}  // namespace sallyport::app
