// app/keeper/kits.h -- session kits: everything one session process gets from the keeper, made before the connection comes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "platform/model/result.h"
#include "platform/os/fd.h"

namespace sallyport::app {

/// The services' ends of one session's links and its ring. The keeper holds them as long as the session's side is open, so that a service
/// that was started anew can be given them again.
struct ServiceEnds {
  Fd authority;
  Fd vault;
  Fd recorder;
  Fd ring;
};

/// What the session process itself will hold.
struct SessionEndsOfKit {
  Fd authority;
  Fd vault;
  Fd recorder;
};

struct Kit {
  std::string session;  ///< label, a ULID: made here, never taken from a peer
  ServiceEnds service;
  SessionEndsOfKit client;
};

struct RingPlace {
  std::filesystem::path directory;
  std::uint64_t bytes = 256 * 1024;  ///< data; a header page comes on top
  unsigned owner_uid = ~0U;          ///< the recorder's user, who may unlink the file; ~0: leave
  unsigned owner_gid = ~0U;
};

/// Makes the ring file (fully allocated: a sparse one on a full file system kills its writer) and three socketpairs.
/// Errc::unavailable: no room or no descriptors; nothing is left behind.
[[nodiscard]] Result<Kit> make_kit(const RingPlace& place);

[[nodiscard]] std::filesystem::path ring_path(const RingPlace& place, const std::string& session);

}  // namespace sallyport::app
