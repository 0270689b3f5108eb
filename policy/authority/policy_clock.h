// policy/authority/policy_clock.h -- the wall clock as decisions see it: it never goes back.
#pragma once

#include <functional>

#include "platform/model/clock.h"

namespace sallyport::authority {

/// When the machine's wall clock is set back, what had expired stays expired: this clock goes on from the latest moment it
/// has seen, by the boot clock. A step forward is followed. Both are reported when they are, or add up to, more than two seconds.
class PolicyClock {
 public:
  struct Step {
    std::chrono::microseconds by{0};  ///< negative: back
    WallTime wall{};                  ///< the machine's clock now
    WallTime used{};                  ///< what decisions are made by
  };
  static constexpr std::chrono::seconds k_tolerance{2};

  explicit PolicyClock(const Clock& clock);

  [[nodiscard]] WallTime now() const;
  /// At start: the latest moment that the authority before this one has seen. A wall clock behind it by more than the
  /// tolerance is a step back.
  void not_before(WallTime moment);
  /// Call every second or so. True when there was a step; `step` tells it.
  [[nodiscard]] bool look(Step& step);

 private:
  const Clock& clock_;
  WallTime wall_;       ///< at the last step that was reported: small steps add up
  BootTime boot_;
  WallTime used_;       ///< what now() was at the last look
  BootTime used_boot_;
};

}  // namespace sallyport::authority
