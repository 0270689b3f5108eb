// policy/access/policy_tests.h -- `tests:` of a policy: who, what, when -> verdict; and what stands in it for nothing.
#pragma once

#include <string>
#include <vector>

#include "policy/access/engine.h"

namespace sallyport::policy {

/// A complaint for each test that does not hold; a policy whose own tests fail is refused.
[[nodiscard]] std::vector<Diagnostic> run_tests(const Snapshot& snapshot, const std::vector<PolicyTest>& tests);

/// How much of the rules the tests have decided by.
struct Coverage {
  std::size_t rules = 0;
  std::size_t covered = 0;
  std::vector<RuleReference> uncovered;
};
[[nodiscard]] Coverage coverage_of(const Snapshot& snapshot, const std::vector<PolicyTest>& tests);

/// A rule that can be taken away without a change: it reaches nobody and nothing (dead), or another rule of its role says all of it (shadowed).
struct IdleRule {
  RuleReference rule;
  std::string why;
};
[[nodiscard]] std::vector<IdleRule> find_idle_rules(const Snapshot& snapshot);

}  // namespace sallyport::policy
