// gateway/ssh/prepared_sessions.h -- libssh's sessions as far as they are the same for everybody, made before the fork.
#pragma once

#include <memory>
#include <vector>

#include "gateway/ssh/session_handover.h"
#include "platform/net/ssh_pump.h"

namespace sallyport::gateway {

/// Each forked process takes these two from its own copy of the memory: making them costs a tenth of a short connection.
/// They hold nothing random and nothing secret; cookies and keys come with the key exchange, after the fork.
struct PreparedSessions {
  net::SshSessionHandle client_leg;  ///< with the gateway's own host certificates: not for a jump
  net::SshSessionHandle target_leg;
};

/// A server session with our algorithms, host keys and these certificates. Errc::invalid: a host key libssh does not take.
[[nodiscard]] Result<net::SshSessionHandle> make_client_leg(const SessionOptions& options, const std::vector<Bytes>& certificates);
/// A client session that still lacks the user and the host key algorithms.
[[nodiscard]] Result<net::SshSessionHandle> make_target_leg(const SessionOptions& options);

/// Null when one cannot be made: the session then tries itself and says why.
[[nodiscard]] std::shared_ptr<PreparedSessions> prepare_sessions(const SessionOptions& options);

}  // namespace sallyport::gateway
