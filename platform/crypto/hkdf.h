// platform/crypto/hkdf.h -- HKDF-SHA-256 (RFC 5869): keys from a key.
#pragma once

#include <cstddef>
#include <string_view>

#include "platform/model/bytes.h"
#include "platform/model/secret.h"

namespace sallyport::crypto {

/// Extract and expand. An empty salt is 32 zero bytes (RFC 5869 section 2.2). `length` at most 255 * 32, else the
/// process ends: the length is always a constant of ours.
[[nodiscard]] Secret hkdf_sha256(ByteView input_key, ByteView salt, ByteView info, std::size_t length);
[[nodiscard]] inline Secret hkdf_sha256(ByteView input_key, ByteView salt, std::string_view info, std::size_t length) {
  return hkdf_sha256(input_key, salt, bytes_of(info), length);
}

}  // namespace sallyport::crypto
