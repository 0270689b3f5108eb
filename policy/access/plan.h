// policy/access/plan.h -- what would change if one policy took another's place.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "policy/access/engine.h"
#include "policy/access/policy_tests.h"

namespace sallyport::policy {

/// Something that is open now.
struct LiveUse {
  std::string session;
  AccessRequest request;  ///< with `opened` set
};

struct PlanChange {
  enum class Verb { added, removed, changed };
  Verb verb = Verb::changed;
  std::string kind;  ///< principal group target role binding trusted_user_ca
  std::string name;
  std::vector<std::string> fields;  ///< what changed
  Place place;
};

struct AccessChange {
  PrincipalId principal;
  TargetId target;
  AccountName account;
  KindSet gains;
  KindSet loses;
  bool conditions_changed = false;  ///< same channels, other conditions or limits
};

struct SessionEffect {
  std::string session;
  PrincipalId principal;
  TargetId target;
  AccountName account;
  Decision decision;  ///< why it would end
};

struct AdminChange {
  PrincipalId principal;
  std::vector<AdminRight> gains;
  std::vector<AdminRight> loses;
};

struct Plan {
  bool no_changes = false;  ///< the two mean the same
  std::vector<PlanChange> changes;
  std::vector<AccessChange> access;   ///< at most k_max_plan_rows
  std::vector<AdminChange> admin;
  std::size_t access_in_all = 0;      ///< rows there would be without the limit
  std::vector<SessionEffect> ending;
  std::vector<IdleRule> idle;         ///< of the draft
  std::size_t tests = 0;              ///< of the draft; all of them hold
  Coverage coverage;
  [[nodiscard]] std::string text() const;  ///< for a terminal
};
constexpr std::size_t k_max_plan_rows = 2'000;

[[nodiscard]] Plan make_plan(const Snapshot& before, const Snapshot& after, const Locks& locks, std::span<const LiveUse> live,
                             WallTime now);

}  // namespace sallyport::policy
