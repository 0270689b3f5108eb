// A clock that stands until a test lets time pass.
#pragma once

#include "platform/model/clock.h"

namespace sallyport::test {

class StepClock final : public Clock {
 public:
  WallTime wall() const override { return WallTime(std::chrono::microseconds(1'700'000'000'000'000) + boot_); }
  BootTime boot() const override { return boot_; }
  void pass(BootTime by) { boot_ += by; }

 private:
  BootTime boot_{1'000'000};
};

}  // namespace sallyport::test
