// gateway/listener/warm_up.h -- makes the fork server's memory ready, once, so that sessions share it.
#pragma once

#include "platform/model/result.h"

namespace sallyport::gateway {

/// Runs complete SSH connections in memory, a server and a client session of ours against each other with throw-away
/// keys: one for each key exchange and each cipher that we offer. OpenSSL's algorithms, libssh's tables and the
/// allocator are then in the parent's pages: a session that is forked touches fewer of its own and opens no file. No
/// socket, no thread. Errc::internal: libssh refused.
[[nodiscard]] Result<void> warm_up();

}  // namespace sallyport::gateway
