#include "gateway/sandbox/layers.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "platform/os/fd.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

namespace sallyport::sandbox {
namespace {

constexpr unsigned k_landlock_version_flag = 1;

/// True when `attempt` succeeded in a process of its own: what it changes dies with it.
template <class Attempt>
bool works_in_a_child(Attempt attempt) {
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) _exit(attempt() ? 0 : 1);
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Layer seccomp_layer() {
  std::uint32_t action = SECCOMP_RET_KILL_PROCESS;
  const bool present = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
  return {"seccomp", present, true,
          present ? "a system call outside the allow-list kills the session process"
                  : "the kernel has no seccomp filter that kills a process: sessions will not start"};
}

Layer no_new_privs_layer() {
  const bool present = works_in_a_child([] { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0; });
  return {"no_new_privs", present, true,
          present ? "no program can give a session more rights" : "prctl refused: sessions will not start"};
}

Layer landlock_layer() {
  const int abi = landlock_abi();
  if (abi <= 0)
    return {"landlock", false, false,
            "not in this kernel, or not in its lsm= list; the system call filter alone keeps sessions from files and "
            "network"};
  std::string detail = "ABI " + std::to_string(abi);
  if (abi < 4)
    detail += "; no network rights before ABI 4 (Linux 6.7)";
  else if (abi < 6)
    detail += "; no signal and abstract socket scopes before ABI 6 (Linux 6.12)";
  return {"landlock", true, false, detail};
}

Layer mdwe_layer() {
  const bool present = works_in_a_child([] { return prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0; });
  return {"mdwe", present, false,
          present ? "the kernel refuses writable-executable memory"
                  : "before Linux 6.3; the filter on mmap and mprotect refuses executable memory instead"};
}

Layer not_dumpable_layer() {
  const bool present = works_in_a_child(
      [] { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0; });
  return {"not_dumpable", present, true,
          present ? "no core file, no ptrace by the same user" : "prctl refused: sessions will not start"};
}

Layer close_range_layer() {
  const bool present = works_in_a_child([] { return syscall(SYS_close_range, 200U, ~0U, 0U) == 0; });
  return {"close_range", present, true,
          present ? "a session starts with exactly the descriptors it was handed"
                  : "before Linux 5.9: sessions will not start"};
}

Layer memfd_layer() {
  const Fd file(memfd_create("sallyport-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const bool present = file && fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE) == 0;
  return {"memfd", present, true,
          present ? "sealed memory files" : "no sealed memory files: control messages above 64 KiB fail"};
}

/// Not ours to set; the operator should know.
Layer ptrace_layer() {
  const Fd file(open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC));
  std::array<char, 8> text{};
  const bool found = file && read(file.get(), text.data(), text.size() - 1) > 0;
  const bool present = found && text[0] != '0';
  std::string detail = "kernel.yama.ptrace_scope is ";
  detail += found ? std::string(1, text[0]) : "not there";
  if (!present) detail += "; sessions are not dumpable, so only root can trace them anyway";
  return {"ptrace_scope", present, false, detail};
}

}  // namespace

int landlock_abi() {
  const long abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, k_landlock_version_flag);
  return abi > 0 ? static_cast<int>(abi) : 0;
}

std::vector<Layer> probe_layers() {
  return {seccomp_layer(),      no_new_privs_layer(), landlock_layer(), mdwe_layer(),
          not_dumpable_layer(), close_range_layer(),  memfd_layer(),    ptrace_layer()};
}

std::string layers_line(const std::vector<Layer>& layers) {
  std::string line;
  for (const Layer& layer : layers) {
    if (!layer.present) continue;
    if (!line.empty()) line += ", ";
    line += layer.name;
    if (layer.name == "landlock") line += " " + std::to_string(landlock_abi());
  }
  return line;
}

}  // namespace sallyport::sandbox
