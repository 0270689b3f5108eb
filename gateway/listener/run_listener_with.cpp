#include <malloc.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "gateway/listener/fork_server.h"
#include "gateway/listener/large_pages.h"
#include "gateway/listener/run_state.h"
#include "gateway/sandbox/sandbox.h"
#include "platform/os/log.h"

namespace sallyport::gateway {
namespace {

constexpr int k_cannot_serve = 1;

int give_up(const std::string& why) {
  os::log_line(os::LogEvent::listener_failed, why);
  return k_cannot_serve;
}

/// As the kernel has them: the door is called without them.
std::vector<std::string> own_arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::vector<std::string> arguments;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\0', at), text.size());
    arguments.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return arguments;
}

/// Asks for short turns: a keystroke then overtakes the long turns of whoever moves bulk, for the same share of the processor.
/// Known since Linux 6.12; elsewhere the wish has no effect, and nothing depends on it.
void wish_for_short_turns() {
  struct {  // of sched_setattr(2), which the C library does not declare
    std::uint32_t size = 48;
    std::uint32_t policy = SCHED_OTHER;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t runtime_ns = 100'000;
    std::uint64_t deadline_ns = 0;
    std::uint64_t period_ns = 0;
  } wish;
  wish.nice = getpriority(PRIO_PROCESS, 0);
  static_cast<void>(syscall(SYS_sched_setattr, 0, &wish, 0U));
}

/// Sessions inherit what is set here: little and predictable memory, no cores, enough descriptors for the kits.
void set_up_process() {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_TRIM_THRESHOLD, 4 * 1024 * 1024);  // a session gives memory back when it rests, not with each packet of bulk
  mallopt(M_MMAP_THRESHOLD, 1024 * 1024);      // setting the one stops the library from adapting the other
  prctl(PR_SET_NAME, "sp-listener", 0, 0, 0);  // after an exec of /proc/self/exe it would be "exe"
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  wish_for_short_turns();
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
  }
}

/// The descriptor that an earlier execution left, or none.
Fd inherited_state() {
  const char* text = std::getenv(k_state_variable);
  if (text == nullptr) return Fd();
  int number = -1;
  std::from_chars(text, text + std::string_view(text).size(), number);
  unsetenv(k_state_variable);
  return Fd(number);
}

}  // namespace

int run_listener_with(Fd keeper_link, const ListenerHooks& hooks) {
  os::name_log_process("listener");
  set_up_process();
  use_large_pages_for_code();
  auto humble = sandbox::give_up_privileges();
  if (!humble) return give_up(humble.error().detail);
  auto program = sandbox::build_program(hooks.on_forbidden);
  if (!program) return give_up(program.error().detail);
  ForkServer server(std::move(keeper_link), hooks, std::move(*program), system_clock(), own_arguments());
  auto prepared = server.prepare();
  if (!prepared) return give_up(prepared.error().detail);
  if (Fd saved = inherited_state()) {
    auto state = read_state(saved);
    saved.reset();
    if (!state) return give_up(state.error().detail);
    auto adopted = server.adopt(std::move(*state));
    if (!adopted) return give_up(adopted.error().detail);
  }
  if (hooks.warm_up != nullptr) {
    auto warm = hooks.warm_up();
    if (!warm) return give_up("warm-up: " + warm.error().detail);
  }
  return server.run();
}

}  // namespace sallyport::gateway
