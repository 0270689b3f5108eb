// platform/model/clock.h -- time is a parameter. Wall time names moments, boot time measures durations.
#pragma once

#include <chrono>
#include <cstdint>

namespace sallyport {

using WallTime = std::chrono::sys_time<std::chrono::microseconds>;
/// Since boot, suspend included (CLOCK_BOOTTIME): never steps back, the same for every process of the machine.
using BootTime = std::chrono::duration<std::int64_t, std::micro>;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual WallTime wall() const = 0;
  [[nodiscard]] virtual BootTime boot() const = 0;
};

/// The machine's clocks. Thread-safe.
[[nodiscard]] Clock& system_clock();

}  // namespace sallyport
