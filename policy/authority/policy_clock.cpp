#include "policy/authority/policy_clock.h"

#include <algorithm>

namespace sallyport::authority {

PolicyClock::PolicyClock(const Clock& clock) : clock_(clock), wall_(clock.wall()), boot_(clock.boot()), used_(wall_), used_boot_(boot_) {}

WallTime PolicyClock::now() const {
  // Never behind the last look plus the time that went by since.
  return std::max(clock_.wall(), used_ + (clock_.boot() - used_boot_));
}

void PolicyClock::not_before(WallTime moment) {
  const BootTime boot = clock_.boot();
  if (moment <= used_ + (boot - used_boot_)) return;
  used_ = moment;
  used_boot_ = boot;
  if (moment - clock_.wall() <= k_tolerance) return;
  wall_ = moment;  // the next look() reports it
  boot_ = boot;
}

bool PolicyClock::look(Step& step) {
  const WallTime wall = clock_.wall();
  const BootTime boot = clock_.boot();
  const WallTime expected = wall_ + (boot - boot_);
  const auto by = wall - expected;
  const bool stepped = by > k_tolerance || by < -k_tolerance;
  used_ = std::max(wall, used_ + (boot - used_boot_));
  used_boot_ = boot;
  if (!stepped) return false;
  wall_ = wall;
  boot_ = boot;
  step = Step{by, wall, used_};
  return true;
}

}  // namespace sallyport::authority
