// vault/service.h -- the vault as a process: one thread, control links, no network.
#pragma once

#include <chrono>
#include <string>

#include "platform/crypto/random.h"
#include "platform/model/clock.h"
#include "platform/os/fd.h"

namespace sallyport::vault {

struct VaultOptions {
  /// $CREDENTIALS_DIRECTORY of the process.
  std::string credentials_directory;
  /// Forbid core dumps and tracing, lock memory where the limit allows it. Off only in tests that share their process.
  bool harden = true;
  /// After a restart: how long a lease waits for its session to be attached again.
  std::chrono::milliseconds orphan_grace{30'000};
  const Clock* clock = &system_clock();
  crypto::Random* random = &crypto::system_random();
};

/// Serves until the keeper says Shutdown or is gone for 25 s; call it in a process of its own. `keeper` is the inherited control link:
/// first Reload (state_dir, seal_*, node, compat), then Attach messages for authority, recorder and sessions.
/// Who may ask for what: table in service.cpp; any other message ends that peer's link.
/// The process's exit code: 0, 2 (settings cannot be used), 7 (no vault, or its files cannot be opened).
[[nodiscard]] int run_service(Fd keeper, const VaultOptions& options = {});

}  // namespace sallyport::vault
