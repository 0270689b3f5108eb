// gateway/ssh/session_handover.h -- everything a session process owns when it starts to serve.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gateway/sandbox/program.h"
#include "platform/model/bytes.h"
#include "platform/model/bytes.h"
#include "platform/model/ids.h"
#include "platform/model/settings.h"
#include "platform/os/fd.h"

namespace sallyport::gateway {

struct PreparedSessions;

/// What every session of this listener is served with. Made from the keeper's settings, never changed after the fork.
struct SessionOptions {
  std::vector<Bytes> host_keys;          ///< public key blobs (RFC 4253 section 6.6); the vault holds the private halves
  std::vector<Bytes> host_certificates;  ///< OpenSSH host certificates for some of these keys, may be empty
  Settings settings;                     ///< everything else: compat, keepalive_ms, hold_ms, ...
  std::shared_ptr<PreparedSessions> prepared = nullptr;  ///< may be null; the process that serves takes from its own copy
};

/// Descriptors 0-2 are /dev/null; the four here are 3, 4, 5 and 6; there is no other. The ring's file is mapped and closed.
/// The process is single-threaded, SIGPIPE is ignored, other signals have their default and none is blocked. OpenSSL and
/// libssh are warm. Not yet in the sandbox: serve_session calls sandbox::enter(*program) before it reads the first byte.
struct SessionHandover {
  Fd client;     ///< 3, non-blocking; a TCP socket, or for a jump an AF_UNIX stream socket
  Fd authority;  ///< 4, control::Link
  Fd vault;      ///< 5, control::Link
  Fd recorder;   ///< 6, control::Link
  std::span<std::byte> ring;  ///< MAP_SHARED, page aligned, fully allocated by the keeper
  SessionId session;          ///< the keeper's label
  std::string peer_address;   ///< numeric; IPv4-mapped IPv6 is written as IPv4; behind a listed proxy: the real client's
  std::uint16_t peer_port = 0;
  std::string local_address;
  std::uint16_t local_port = 0;
  std::string outer_session;  ///< of a jump: the session that asked for it
  std::string inner_target;   ///< of a jump: the host the outer session asked for
  std::uint16_t inner_port = 0;
  std::vector<Bytes> inner_host_certificates;  ///< of a jump: certificates that name inner_target
  const sandbox::Program* program = nullptr;   ///< never null
  const SessionOptions* options = nullptr;     ///< never null; lives as long as the process
};

}  // namespace sallyport::gateway
