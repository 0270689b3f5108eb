// platform/crypto/base64.h -- RFC 4648, strict.
#pragma once

#include <string>
#include <string_view>

#include "platform/model/bytes.h"
#include "platform/model/result.h"

namespace sallyport::crypto {

[[nodiscard]] std::string to_base64(ByteView bytes);            ///< with padding
[[nodiscard]] std::string to_base64_unpadded(ByteView bytes);   ///< as in SHA256:... fingerprints
[[nodiscard]] std::string to_base64url(ByteView bytes);         ///< no padding

/// Padding is needed; white space, other characters and set bits behind the last byte are Errc::invalid: one text for
/// each sequence of bytes.
[[nodiscard]] Result<Bytes> from_base64(std::string_view text);
[[nodiscard]] Result<Bytes> from_base64url(std::string_view text);  ///< without padding

}  // namespace sallyport::crypto
