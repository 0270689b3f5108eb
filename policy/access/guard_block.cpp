#include "policy/access/guard_block.h"

#include <algorithm>

#include "policy/fleet/target.h"

namespace sallyport::policy {

bool holds(const GuardBlock& block, const Target& target, std::string_view account, WallTime now) {
  const Rule& where = block.where;
  if (!where.accounts.empty() && std::find(where.accounts.begin(), where.accounts.end(), account) == where.accounts.end()) return false;
  if (!where.hours.empty() && std::none_of(where.hours.begin(), where.hours.end(), [&](const Hours& h) { return h.covers(now); })) return false;
  if (where.every_target) return true;
  if (std::find(where.target_names.begin(), where.target_names.end(), target.name.view()) != where.target_names.end()) return true;
  if (where.target_labels.empty()) return false;
  return std::all_of(where.target_labels.begin(), where.target_labels.end(), [&](const auto& wanted) {
    const auto found = target.labels.find(wanted.first);
    return found != target.labels.end() && std::find(wanted.second.begin(), wanted.second.end(), found->second) != wanted.second.end();
  });
}

std::shared_ptr<const std::vector<std::byte>> combined(const std::vector<const GuardBlock*>& blocks) {
  if (blocks.empty()) return nullptr;
  if (blocks.size() == 1) return blocks.front()->bytes;
  guard::RuleDocument all = blocks.front()->document;
  for (std::size_t i = 1; i < blocks.size(); ++i) {
    const guard::RuleDocument& more = blocks[i]->document;
    for (const guard::Rule& rule : more.rules) {
      const auto same = std::find_if(all.rules.begin(), all.rules.end(), [&](const guard::Rule& r) { return r.id == rule.id; });
      if (same == all.rules.end()) {
        all.rules.push_back(rule);
      } else {
        same->verdict = std::max(same->verdict, rule.verdict);
      }
    }
    for (std::size_t kind = 0; kind < all.opaque.size(); ++kind) all.opaque[kind] = std::max(all.opaque[kind], more.opaque[kind]);
    all.denied.insert(all.denied.end(), more.denied.begin(), more.denied.end());
    all.marks = all.marks || more.marks;
    if (!more.allow_list_only) continue;
    if (!all.allow_list_only) {
      all.allowed = more.allowed;
      all.features = more.features;
    } else {
      std::erase_if(all.allowed, [&](const std::string& pattern) { return std::find(more.allowed.begin(), more.allowed.end(), pattern) == more.allowed.end(); });
      all.features = static_cast<std::uint8_t>(all.features & more.features);
    }
    all.allow_list_only = true;
  }
  return std::make_shared<const std::vector<std::byte>>(guard::encode(all));
}

}  // namespace sallyport::policy
