// app/keeper/published_keys.h -- our public keys as files below run_dir/keys, for people, `target setup` and the offline verifier.
#pragma once

#include <filesystem>
#include <string>

#include "platform/control/control.pb.h"
#include "platform/model/result.h"

namespace sallyport::app {

/// Writes user_ca.pub, host_ca.pub, host_keys.pub (one line per key, OpenSSH format) and checkpoint.vkey, world-readable.
[[nodiscard]] Result<void> publish_keys(const std::filesystem::path& directory, const control::PublicKeySet& keys);

/// What listener and sessions show of our host keys.
struct ShownHostKeys {
  std::string keys;          ///< blobs in base64, comma separated, as the listener takes them
  std::string certificates;
};
/// Those that the vault left in its public folder when it was last open; empty when there are none. Enough to tell a client
/// that the vault is sealed: nothing is signed with them.
[[nodiscard]] ShownHostKeys last_host_keys(const std::filesystem::path& public_folder);

}  // namespace sallyport::app
