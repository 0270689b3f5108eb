// platform/crypto/hex.h -- bytes as lower-case hexadecimal digits.
#pragma once

#include <string>
#include <string_view>

#include "platform/model/bytes.h"
#include "platform/model/result.h"

namespace sallyport::crypto {

[[nodiscard]] std::string to_hex(ByteView bytes);
/// Both cases are read. Errc::invalid for anything else and for an odd number of digits.
[[nodiscard]] Result<Bytes> from_hex(std::string_view text);

}  // namespace sallyport::crypto
