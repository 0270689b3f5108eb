// policy/authority/guard_rules.h -- the command guard's rules for one channel, as they travel to its session.
#pragma once

#include <string>
#include <string_view>

#include "policy/access/request.h"

namespace sallyport::authority {

/// The compiled rules of a decision; "" when no role of the principal has a guard here.
[[nodiscard]] std::string guard_rules(const policy::Obligations& obligations);
/// Tells two sets apart; "" for no rules.
[[nodiscard]] std::string hash_of_rules(std::string_view rules);

}  // namespace sallyport::authority
