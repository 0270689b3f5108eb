// platform/model/moment.h -- both clocks at one moment.
#pragma once

#include "platform/model/clock.h"

namespace sallyport {

struct Moment {
  WallTime wall{};
  BootTime boot{};
};

/// Who is put aside between the two readings reads again: the difference of the clocks tells whether one of them was set.
[[nodiscard]] inline Moment moment_of(const Clock& clock) {
  constexpr BootTime k_apart = std::chrono::milliseconds(50);
  Moment now;
  for (int tries = 0; tries < 5; ++tries) {
    const BootTime before = clock.boot();
    now.wall = clock.wall();
    now.boot = clock.boot();
    if (now.boot - before < k_apart) break;
  }
  return now;
}

}  // namespace sallyport
