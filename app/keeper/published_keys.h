// app/keeper/published_keys.h -- our public keys as files below run_dir/keys, for people, `target setup` and the offline verifier.
#pragma once

#include <filesystem>

#include "platform/control/control.pb.h"
#include "platform/model/result.h"

namespace sallyport::app {

/// Writes user_ca.pub, host_ca.pub, host_keys.pub (one line per key, OpenSSH format) and checkpoint.vkey, world-readable.
[[nodiscard]] Result<void> publish_keys(const std::filesystem::path& directory, const control::PublicKeySet& keys);

}  // namespace sallyport::app
