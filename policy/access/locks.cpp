#include "policy/access/locks.h"

namespace sallyport::policy {

const Lock* Locks::find(std::string_view principal, std::string_view target, std::string_view account, WallTime now) const {
  for (const Lock& lock : locks_) {
    if (lock.expires && *lock.expires <= now) continue;
    if (!lock.names_something()) continue;
    if (!lock.principal.empty() && lock.principal != principal) continue;
    if (!lock.target.empty() && lock.target != target) continue;
    if (!lock.account.empty() && lock.account != account) continue;
    return &lock;
  }
  return nullptr;
}

}  // namespace sallyport::policy
