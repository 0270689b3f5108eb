// What ends by itself is noticed in the second in which it ends.
#include "policy/access/moments.h"
#include "policy_fixture.h"

using namespace sallyport;
using namespace sallyport::policy;
using namespace sallyport::policy::test;

namespace {

std::shared_ptr<const Snapshot> with_binding(const std::string& expires) {
  return must_load(fleet_with("roles:\n  - {name: r, allow: [{channels: [shell], targets: all, accounts: [\"*\"]}]}\nbindings:\n  - {role: r, principals: [engineer]" + expires + "}\n"));
}

}  // namespace

TEST_CASE("a moment is where a binding, a principal, a lock or a minute ends") {
  const auto at = [](std::chrono::seconds after_noon) { return k_noon + after_noon; };
  const auto plain = with_binding("");
  CHECK_FALSE(has_moment_between(*plain, {}, at(1s), at(2s)));
  CHECK(has_moment_between(*plain, {}, at(59s), at(60s)));
  CHECK(has_moment_between(*plain, {}, at(2s), at(1s)));

  const auto bound = with_binding(", expires: 2026-11-18T12:00:30Z");
  CHECK_FALSE(has_moment_between(*bound, {}, at(28s), at(29s)));
  CHECK(has_moment_between(*bound, {}, at(29s), at(30s)));
  CHECK_FALSE(has_moment_between(*bound, {}, at(30s), at(31s)));

  // The principal `gone` of the fleet ended at midnight of the first of November.
  const WallTime midnight = k_noon - 17 * 24h - 12h;
  CHECK(has_moment_between(*plain, {}, midnight - 1s, midnight));

  Lock lock;
  lock.principal = "engineer";
  lock.expires = at(30s);
  const Locks locks(std::vector<Lock>{lock});
  CHECK(has_moment_between(*plain, locks, at(29s), at(30s)));
  CHECK_FALSE(has_moment_between(*plain, locks, at(30s), at(31s)));

  const auto key = must_load("principals:\n  - {name: engineer, keys: ['expiry-time=\"20261118120030Z\" " + k_key_a + "']}\n");
  CHECK(has_moment_between(*key, {}, at(29s), at(30s)));
  CHECK_FALSE(has_moment_between(*key, {}, at(30s), at(31s)));
}
