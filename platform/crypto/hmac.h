// platform/crypto/hmac.h -- HMAC-SHA-256 (RFC 2104).
#pragma once

#include "platform/crypto/hash.h"

namespace sallyport::crypto {

[[nodiscard]] Hash256 hmac_sha256(ByteView key, ByteView data) noexcept;

}  // namespace sallyport::crypto
