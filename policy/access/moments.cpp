#include "policy/access/moments.h"

#include <algorithm>
#include <chrono>

namespace sallyport::policy {

bool has_moment_between(const Snapshot& snapshot, const Locks& locks, WallTime before, WallTime now) {
  if (now < before) return true;
  if (std::chrono::floor<std::chrono::minutes>(before) != std::chrono::floor<std::chrono::minutes>(now)) return true;
  const auto ends = [&](const auto& thing) { return thing.expires && *thing.expires > before && *thing.expires <= now; };
  const auto& locked = locks.list();
  const auto bound = snapshot.bindings();
  const auto people = snapshot.principals();
  return std::any_of(locked.begin(), locked.end(), ends) || std::any_of(bound.begin(), bound.end(), ends) ||
         std::any_of(people.begin(), people.end(), [&](const Principal& one) {
           return ends(one) || std::any_of(one.keys.begin(), one.keys.end(), ends);
         });
}

}  // namespace sallyport::policy
