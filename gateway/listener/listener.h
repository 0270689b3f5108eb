// gateway/listener/listener.h -- accepts connections, limits what is not yet authenticated, forks a session process for
// each.
#pragma once

#include "platform/os/fd.h"

namespace sallyport::gateway {

/// Serves until the keeper says Shutdown or goes away; gives the exit status of the process. Call it first thing in a
/// single-threaded process whose only inherited link is `keeper_link` (descriptor 3); 1 and 2 are the log.
///
/// Keeper's side of the link, in this order: Reload (settings, see listener/config.h: `host_keys` is added by the
/// keeper from the vault's PublicKeySet), Attach of the authority's link, ListenSockets. Ready comes when connections
/// are served; every Ping is answered by Ready. Kits are asked for by KitRequest (each carries a call number: a Failure
/// answer means "not now", kits themselves come as SessionKit). Shutdown closes the listening sockets; sessions may go
/// on for grace_ms, then they are killed. A later Reload, ListenSockets or Attach replaces what was there; a closed
/// authority link means no accepting until the next Attach.
///
/// Authority's side: gets SessionStarted right after each fork (a session's own link may be read before it: read the
/// listener's link first) and SessionExited when the process was reaped; says SessionProven, KillSession,
/// SourcePenalty, SpawnInner. SpawnInner with a call number is answered by SessionStarted (as reply) or a Failure.
///
/// When a session dies by a signal that means "attacked or broken", and once an hour, the process executes itself anew
/// and goes on with the same sockets, links, kits and children.
int run_listener(Fd keeper_link);

}  // namespace sallyport::gateway
