#include "platform/os/step_back.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sallyport::os {
namespace {

// linux/ioprio.h does not come with every C library.
constexpr int k_who_process = 1;
constexpr int k_best_effort_lowest = (2 << 13) | 7;

}  // namespace

void step_back(int nice) noexcept {
  ::setpriority(PRIO_PROCESS, 0, nice);
  ::syscall(SYS_ioprio_set, k_who_process, 0, k_best_effort_lowest);
}

}  // namespace sallyport::os
