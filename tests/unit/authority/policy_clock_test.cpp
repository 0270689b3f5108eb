#include "policy/authority/policy_clock.h"

#include <catch2/catch.hpp>

namespace sallyport::authority::test {
namespace {

using namespace std::chrono_literals;

class ManualClock final : public Clock {
 public:
  WallTime wall() const override { return wall_; }
  BootTime boot() const override { return boot_; }
  void pass(std::chrono::microseconds time) {
    wall_ += time;
    boot_ += time;
  }
  void step(std::chrono::microseconds by) { wall_ += by; }

 private:
  WallTime wall_{std::chrono::seconds(1'790'000'000)};
  BootTime boot_{std::chrono::seconds(1000)};
};

}  // namespace

TEST_CASE("time that passes is no step", "[clock]") {
  ManualClock clock;
  PolicyClock policy(clock);
  PolicyClock::Step step;
  for (int i = 0; i < 100; ++i) {
    clock.pass(1s);
    CHECK_FALSE(policy.look(step));
    CHECK(policy.now() == clock.wall());
  }
}

TEST_CASE("a small adjustment is not reported and time still never goes back", "[clock]") {
  ManualClock clock;
  PolicyClock policy(clock);
  PolicyClock::Step step;
  clock.pass(10s);
  CHECK_FALSE(policy.look(step));
  const WallTime before = policy.now();
  clock.step(-1500ms);
  CHECK_FALSE(policy.look(step));
  CHECK(policy.now() >= before);
}

TEST_CASE("a step back is reported once and revives nothing", "[clock]") {
  ManualClock clock;
  PolicyClock policy(clock);
  PolicyClock::Step step;
  clock.pass(10s);
  CHECK_FALSE(policy.look(step));
  const WallTime before = policy.now();
  clock.step(-1h);
  CHECK(policy.now() >= before);  // also between two looks
  CHECK(policy.look(step));
  CHECK(step.by == -1h);
  clock.pass(5s);
  CHECK_FALSE(policy.look(step));
  CHECK(policy.now() == before + 5s);
  // When the clock comes back to where it was, that is a step as well, and time goes on from there.
  clock.step(1h);
  CHECK(policy.look(step));
  CHECK(policy.now() == clock.wall());
}

TEST_CASE("a step forward is followed", "[clock]") {
  ManualClock clock;
  PolicyClock policy(clock);
  PolicyClock::Step step;
  clock.step(24h);
  CHECK(policy.now() == clock.wall());
  CHECK(policy.look(step));
  CHECK(step.by == 24h);
}

TEST_CASE("what an earlier process has seen holds for the next one", "[clock]") {
  ManualClock clock;
  const WallTime seen = clock.wall() + 1h;
  PolicyClock policy(clock);
  policy.not_before(seen);
  CHECK(policy.now() == seen);
  PolicyClock::Step step;
  CHECK(policy.look(step));
  CHECK(step.by == -1h);
  CHECK(policy.now() == seen);
}

}  // namespace sallyport::authority::test
