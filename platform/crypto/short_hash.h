// platform/crypto/short_hash.h -- SHA-256 of a few bytes, often.
#pragma once

#include "platform/crypto/hash.h"

namespace sallyport::crypto {

/// The same as sha256(), by OpenSSL's code too, but past the dispatch that costs as much as hashing a hundred bytes: for the millions
/// of short leaves and nodes of a Merkle tree.
[[nodiscard]] Hash256 short_sha256(ByteView bytes) noexcept;

}  // namespace sallyport::crypto
