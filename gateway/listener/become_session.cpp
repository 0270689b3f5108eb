#include "gateway/listener/become_session.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <utility>

namespace sallyport::gateway {
namespace {

constexpr int k_setup_failed = 70;
constexpr int k_first_place = 3;
constexpr off_t k_max_ring = 64 * 1024 * 1024;

void require(bool done) {
  if (!done) _exit(k_setup_failed);
}

void forget_signals_of_the_parent() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

void name_process(const std::string& session) { prctl(PR_SET_NAME, process_name_of(session).c_str(), 0, 0, 0); }

std::span<std::byte> map_ring(const Fd& file) {
  struct stat facts {};
  require(fstat(file.get(), &facts) == 0 && facts.st_size > 0 && facts.st_size <= k_max_ring);
  void* start =
      mmap(nullptr, static_cast<std::size_t>(facts.st_size), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  require(start != MAP_FAILED);
  return {static_cast<std::byte*>(start), static_cast<std::size_t>(facts.st_size)};
}

/// Moves the four to 3, 4, 5 and 6, whatever number they or others have now, and closes all the rest.
void place_descriptors(std::array<int, 4> wanted, int null_device, bool keep_log) {
  const int above = k_first_place + static_cast<int>(wanted.size());
  for (int& descriptor : wanted)
    if (descriptor < above) {
      descriptor = fcntl(descriptor, F_DUPFD, above);
      require(descriptor >= above);
    }
  if (null_device < above) null_device = fcntl(null_device, F_DUPFD, above);
  for (int standard = 0; standard < (keep_log ? 2 : 3); ++standard) require(dup2(null_device, standard) == standard);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const int place = k_first_place + static_cast<int>(i);
    require(dup2(wanted[i], place) == place);
  }
  require(close_range(static_cast<unsigned>(above), ~0U, 0) == 0);
}

}  // namespace

std::string process_name_of(const std::string& session) { return "s-" + session.substr(session.size() > 13 ? session.size() - 13 : 0); }

void become_session(ChildPlan&& plan, ServeSession serve) {
  forget_signals_of_the_parent();
  name_process(plan.kit.session);
  SessionHandover& handover = plan.handover;
  handover.ring = map_ring(plan.kit.ring);
  // The numbers change hands: release the old owners, so that no destructor closes a number that means something else
  // now.
  const std::array<int, 4> wanted{handover.client.release(), plan.kit.authority.release(), plan.kit.vault.release(),
                                  plan.kit.recorder.release()};
  static_cast<void>(plan.kit.ring.release());
  place_descriptors(wanted, plan.null_device, plan.keep_log);
  handover.client = Fd(k_first_place);
  handover.authority = Fd(k_first_place + 1);
  handover.vault = Fd(k_first_place + 2);
  handover.recorder = Fd(k_first_place + 3);
  handover.session = SessionId(std::move(plan.kit.session));
  _exit(serve(std::move(handover)));
}

}  // namespace sallyport::gateway
