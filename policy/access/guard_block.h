// policy/access/guard_block.h -- a role's rules for the command guard, and where they hold.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policy/access/role.h"
#include "policy/guard/rules.h"

namespace sallyport::policy {

struct Target;

/// One entry of a role's `guard:` list. `where` uses targets, accounts and hours only.
struct GuardBlock {
  Rule where;
  guard::RuleDocument document;
  std::shared_ptr<const std::vector<std::byte>> bytes;  ///< encode(document), once at load
};

/// Does the block hold for this target and account at this moment?
[[nodiscard]] bool holds(const GuardBlock& block, const Target& target, std::string_view account, WallTime now);

/// All blocks together: every rule of each, the strictest verdict for what is opaque; where several have an allow-list, a command must
/// stand in all of them. Null when there is no block.
[[nodiscard]] std::shared_ptr<const std::vector<std::byte>> combined(const std::vector<const GuardBlock*>& blocks);

}  // namespace sallyport::policy
