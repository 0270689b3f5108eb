#include "policy/authority/policy_clock.h"

#include <algorithm>

namespace sallyport::authority {

PolicyClock::PolicyClock(const Clock& clock) : clock_(clock), wall_(clock.wall()), boot_(clock.boot()), used_(wall_) {}

WallTime PolicyClock::now() const {
  // Never behind the last look plus the time that went by since.
  return std::max(clock_.wall(), used_ + (clock_.boot() - boot_));
}

void PolicyClock::not_before(WallTime moment) {
  if (moment <= used_) return;
  used_ = moment;
  if (moment - wall_ > k_tolerance) wall_ = moment;  // the next look() reports it
}

bool PolicyClock::look(Step& step) {
  const WallTime wall = clock_.wall();
  const BootTime boot = clock_.boot();
  const WallTime expected = wall_ + (boot - boot_);
  const auto by = wall - expected;
  const bool stepped = by > k_tolerance || by < -k_tolerance;
  used_ = std::max(wall, used_ + (boot - boot_));
  wall_ = wall;
  boot_ = boot;
  if (stepped) step = Step{by, wall, used_};
  return stepped;
}

}  // namespace sallyport::authority
