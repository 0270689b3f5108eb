// policy/guard/packs/packs.h -- rule packs and the guard's rules out of YAML.
//
// The shipped packs stand beside this file as YAML and are embedded in the binary. Each rule carries its own tests; a unit test runs
// them all, and a role's own rules are tested when the policy is loaded: a rule that fails its tests is refused.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policy/access/snapshot.h"
#include "policy/guard/rules.h"

namespace sallyport::policy {
class Spot;
}

namespace sallyport::guard {

struct RuleTest {
  std::string command;
  bool fires = true;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};
struct PackRule {
  Rule rule;
  std::vector<RuleTest> tests;
};
/// Names for lists of paths, used as `@name`.
struct PathClass {
  std::string name;
  std::vector<std::string> patterns;
};
struct Pack {
  std::string name;
  std::uint32_t version = 0;
  std::string about;
  std::vector<PathClass> paths;
  std::vector<PackRule> rules;
};

/// One pack out of YAML text; problems are added, with line and column.
[[nodiscard]] Pack read_pack(const std::string& file, std::string_view text, const std::vector<PathClass>& shared, std::vector<policy::Diagnostic>& problems);
/// One rule; its id gets `prefix` and a slash in front. Complains at the spot.
[[nodiscard]] PackRule read_rule(const policy::Spot& spot, std::string_view prefix, const std::vector<PathClass>& classes);

/// The packs in the binary, in order of their names. Read once.
[[nodiscard]] const std::vector<Pack>& shipped_packs();
/// Path classes of the shipped packs, for a role's own rules.
[[nodiscard]] const std::vector<PathClass>& shipped_paths();
[[nodiscard]] const Pack* find_pack(std::string_view name);

/// Verdicts for what cannot be seen, when a policy says nothing: see docs/guard.md.
[[nodiscard]] std::array<Verdict, k_opaque_kinds> default_opaque();
/// Every shipped pack with the default verdicts: what `sallyport guard score` judges with.
[[nodiscard]] RuleDocument full_document();

/// What is wrong with a rule's tests, judged with that rule alone; empty: nothing.
struct TestFailure {
  std::string rule;
  std::string message;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};
[[nodiscard]] std::vector<TestFailure> run_tests(const std::vector<PackRule>& rules);

}  // namespace sallyport::guard
