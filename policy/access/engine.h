// policy/access/engine.h -- the one place where access is decided. Pure: no clock, no I/O, no state.
//
// Default deny; a matching deny rule wins over every allow, whatever the order; locks come before both.
#pragma once

#include <string>
#include <vector>

#include "policy/access/locks.h"
#include "policy/access/request.h"
#include "policy/access/snapshot.h"

namespace sallyport::policy {

[[nodiscard]] Decision decide(const Snapshot& snapshot, const Locks& locks, const AccessRequest& request);

/// One rule that was looked at.
struct TraceStep {
  RuleReference rule;
  Place binding;         ///< how the principal came to the role
  bool matched = false;
  std::string why_not;   ///< the first condition that failed, with both sides: "source 10.9.9.9 is not in 127.0.0.0/8"
};

struct Explanation {
  Decision decision;
  std::vector<std::string> facts;  ///< what was looked at before any rule: principal, groups, locks, target
  std::vector<TraceStep> steps;    ///< in the order of evaluation
  [[nodiscard]] std::string text() const;  ///< for a terminal
};

/// The decision by the same code as decide(), with the trace of every rule of the principal.
[[nodiscard]] Explanation explain(const Snapshot& snapshot, const Locks& locks, const AccessRequest& request);

/// May this principal do something on the admin side? Machines and locked or expired principals may not.
struct AdminRequest {
  PrincipalId principal;
  AdminRight right = AdminRight::audit;
  WallTime now{};
  bool by_token = false;  ///< a machine has rights only by a token that was made for it, and never the one to approve
  std::vector<std::string> groups{};  ///< as in AccessRequest
};
[[nodiscard]] Decision decide_admin(const Snapshot& snapshot, const Locks& locks, const AdminRequest& request);

/// Where the principal of `request` could go now (its target, account and kind are not looked at), for menus and lists;
/// at most `limit` rows, in the order of the target names. `denied` rows are left out.
struct Reachable {
  const Target* target = nullptr;
  const Account* account = nullptr;
  bool needs_second_factor = false;
  bool needs_approval = false;
};
[[nodiscard]] std::vector<Reachable> list_reachable(const Snapshot& snapshot, const Locks& locks,
                                                    const AccessRequest& request, std::size_t limit = 10'000);

/// Is there anything at the request's target (and account, when it names one) that only a fresh second factor would open?
/// A login asks for the second factor then, even where one factor opens something else. The channel kind is not looked at.
[[nodiscard]] bool wants_second_factor(const Snapshot& snapshot, const Locks& locks, const AccessRequest& request);

/// The accounts of the request's target that the principal may use now or with a second factor.
[[nodiscard]] std::vector<Reachable> list_accounts(const Snapshot& snapshot, const Locks& locks, const AccessRequest& request);

}  // namespace sallyport::policy
