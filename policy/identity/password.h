// policy/identity/password.h -- Argon2id password hashes.
#pragma once

#include <string>
#include <string_view>

#include "platform/model/result.h"
#include "platform/model/secret.h"

namespace sallyport::policy {

/// Blocks for tens of milliseconds and tens of MiB: call on a worker, at most k_max_password_checks_at_once together.
/// False for input over k_max_password_bytes (before any hashing) and for a hash that is not Argon2id.
[[nodiscard]] bool verify_password(std::string_view hash, const Secret& password);

/// "$argon2id$v=19$m=19456,t=2,p=1$..." with a salt of 16 random bytes, given by the caller.
[[nodiscard]] Result<std::string> make_password_hash(const Secret& password, std::string_view salt);

/// Is this a well-formed Argon2id hash whose cost we accept (memory 8 MiB to 1 GiB, 1 to 10 passes, 1 to 4 lanes)?
[[nodiscard]] Result<void> check_password_hash(std::string_view hash);

/// "m=19456,t=2,p=1" out of a hash.
[[nodiscard]] std::string_view password_cost(std::string_view hash);

/// A hash that no password opens, of the given cost (empty: the usual one).
[[nodiscard]] std::string make_dummy_password_hash(std::string_view cost);

}  // namespace sallyport::policy
