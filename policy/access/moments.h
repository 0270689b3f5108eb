// policy/access/moments.h -- when a policy that nobody changed may decide otherwise than before.
#pragma once

#include "policy/access/locks.h"
#include "policy/access/snapshot.h"

namespace sallyport::policy {

/// True when, after `before` and not after `now`, a principal, a key, a binding or a lock ended, or a window of hours may have:
/// those begin and end on whole minutes. Also true when the clock went back.
[[nodiscard]] bool has_moment_between(const Snapshot& snapshot, const Locks& locks, WallTime before, WallTime now);

}  // namespace sallyport::policy
