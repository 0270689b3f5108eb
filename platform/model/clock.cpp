#include "platform/model/clock.h"

#include <ctime>

namespace sallyport {
namespace {

std::int64_t microseconds_of(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1'000;
}

class SystemClock final : public Clock {
 public:
  WallTime wall() const override { return WallTime(std::chrono::microseconds(microseconds_of(CLOCK_REALTIME))); }
  BootTime boot() const override { return BootTime(microseconds_of(CLOCK_BOOTTIME)); }
};

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

}  // namespace sallyport
