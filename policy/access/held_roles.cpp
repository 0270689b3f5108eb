#include "policy/access/held_roles.h"

#include <algorithm>

#include "policy/access/compiled.h"

namespace sallyport::policy {

std::vector<std::string> roles_at(const Snapshot& snapshot, const AccessRequest& request) {
  const Compiled& compiled = snapshot.compiled();
  const auto principal = compiled.principal_ids.find(request.principal.view());
  if (principal == compiled.principal_ids.end()) return {};
  const auto target = compiled.target_ids.find(request.target.view());
  const auto account = compiled.account_ids.find(request.account.view());
  const auto is_here = [&](const CompiledRule& rule) {
    const bool at_target = request.target.empty() || (target != compiled.target_ids.end() && rule.targets.has(target->second));
    const bool as_account = request.account.empty() || rule.accounts.is_all() || (account != compiled.account_ids.end() && rule.accounts.has(account->second));
    return at_target && as_account;
  };
  std::vector<Grant> room;
  std::vector<std::uint32_t> held;
  for (const Grant& grant : grants_of(compiled, principal->second, request.groups, room)) {
    if (grant.expires && *grant.expires <= request.now) continue;
    const auto& allow = compiled.roles[grant.role].allow;
    if (std::any_of(allow.begin(), allow.end(), is_here)) held.push_back(grant.role);
  }
  std::sort(held.begin(), held.end());
  std::vector<std::string> names;
  for (const std::uint32_t role : held) names.push_back(snapshot.roles()[role].name);
  return names;
}

}  // namespace sallyport::policy
