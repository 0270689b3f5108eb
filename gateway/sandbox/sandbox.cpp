#include "gateway/sandbox/sandbox.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <string>

#include "gateway/sandbox/layers.h"
#include "platform/os/fd.h"
#include "platform/os/log.h"

// Debian 12's kernel headers are older than the kernels we run on.
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

namespace sallyport::sandbox {
namespace {

tl::unexpected<Error> refused(const char* layer) {
  return fail(Errc::unavailable, std::string("sandbox: ") + layer + ": " + std::strerror(errno));
}

Result<void> set_process_flags() {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return refused("not dumpable");
  if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0 && errno != EINVAL)
    return refused("writable-executable memory");
  return {};
}

/// struct landlock_ruleset_attr of ABI 6; an older kernel takes the prefix it knows.
struct RulesetAttributes {
  std::uint64_t files = 0;
  std::uint64_t network = 0;
  std::uint64_t scopes = 0;
};

struct HandledRights {
  RulesetAttributes attributes;
  std::size_t size = 0;
};

/// Everything that ABI can handle: a right that is not handled is not restricted.
HandledRights handled_rights(int abi) {
  HandledRights rights;
  const unsigned file_rights = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
  rights.attributes.files = (1ULL << file_rights) - 1;
  rights.size = sizeof(std::uint64_t);
  if (abi >= 4) {
    rights.attributes.network = 0b11;  // bind and connect of TCP
    rights.size = 2 * sizeof(std::uint64_t);
  }
  if (abi >= 6) {
    rights.attributes.scopes = 0b11;  // abstract unix sockets and signals of others
    rights.size = 3 * sizeof(std::uint64_t);
  }
  return rights;
}

Result<void> enter_landlock() {
  const int abi = landlock_abi();
  if (abi <= 0) return {};
  const HandledRights rights = handled_rights(abi);
  const Fd ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &rights.attributes, rights.size, 0)));
  if (!ruleset) return refused("landlock ruleset");
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return refused("landlock");
  return {};
}

Result<void> limit(__rlimit_resource resource, std::uint64_t value) {
  const rlimit both{value, value};
  if (setrlimit(resource, &both) != 0) return refused("resource limit");
  return {};
}

Result<void> set_limits(const Limits& limits) {
  const struct {
    __rlimit_resource resource;
    std::uint64_t value;
  } wanted[] = {{RLIMIT_FSIZE, 0},   {RLIMIT_NPROC, 0},    {RLIMIT_CORE, 0},
                {RLIMIT_MEMLOCK, 0}, {RLIMIT_MSGQUEUE, 0}, {RLIMIT_NOFILE, limits.descriptors}};
  for (const auto& one : wanted) {
    auto set = limit(one.resource, one.value);
    if (!set) return set;
  }
  if (limits.address_space > 0) return limit(RLIMIT_AS, limits.address_space);
  return {};
}

extern "C" void on_forbidden_call(int, siginfo_t* info, void*) {
  std::array<char, 256> room{};
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::string_view line = os::render_forbidden_call(room, static_cast<unsigned>(info->si_syscall), now.tv_sec * 1'000'000 + now.tv_nsec / 1000);
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) _exit(158);
  _exit(159);
}

}  // namespace

Result<void> give_up_privileges() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> none{};
  if (syscall(SYS_capset, &header, none.data()) != 0) return refused("capset");
  // Without this an exec as root would give the capabilities back.
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return refused("no_new_privs");
  return {};
}

Result<void> enter(const Program& program, const Limits& limits) {
  for (auto step : {give_up_privileges, set_process_flags, enter_landlock}) {
    auto done = step();
    if (!done) return done;
  }
  auto limited = set_limits(limits);
  if (!limited) return limited;
  return program.install();
}

void report_forbidden_calls() {
  struct sigaction action {};
  action.sa_sigaction = on_forbidden_call;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSYS, &action, nullptr);
}

}  // namespace sallyport::sandbox
