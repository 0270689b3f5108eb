// app/verbs/guard_sources.h -- which rules `sallyport guard check` judges by.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/verbs/console.h"
#include "policy/guard/guard.h"

namespace sallyport::app {

struct GuardSubject {
  std::string principal;
  std::string target;
  std::string account;
};
struct GuardRules {
  std::shared_ptr<const guard::RuleSet> set;
  std::string origin;  ///< for a person: "role operator (roles.yaml:12)", "every shipped pack"
};

/// With a folder: what its policy files give the subject now. Without one but with a principal: what the running gateway gives.
/// Otherwise every shipped pack.
[[nodiscard]] Result<GuardRules> find_rules(const Common& common, const std::string& folder, const GuardSubject& subject);
/// Everything wrong with the policy files of a folder, tests of own rules included.
[[nodiscard]] Result<std::vector<std::string>> policy_problems(const std::string& folder);

}  // namespace sallyport::app
