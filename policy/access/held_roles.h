// policy/access/held_roles.h -- which roles somebody has at a target, for the record: retention goes by them.
#pragma once

#include <string>
#include <vector>

#include "policy/access/request.h"
#include "policy/access/snapshot.h"

namespace sallyport::policy {

/// Names, in their order, of the roles that the request's principal has now and that allow something at the request's target as
/// its account; without a target or an account: anywhere, as anybody. Conditions of rules (times, sources, factors) are not looked at.
[[nodiscard]] std::vector<std::string> roles_at(const Snapshot& snapshot, const AccessRequest& request);

}  // namespace sallyport::policy
