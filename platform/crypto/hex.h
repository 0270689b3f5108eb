// platform/crypto/hex.h -- bytes as lower-case hexadecimal digits, and back.
#pragma once

#include <string>
#include <string_view>

#include "platform/model/bytes.h"
#include "platform/model/result.h"

namespace sallyport::crypto {

/// 0 to 15, -1 for what is no digit. Both cases.
[[nodiscard]] constexpr int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

[[nodiscard]] std::string to_hex(ByteView bytes);
/// Both cases are read. Errc::invalid for anything else and for an odd number of digits.
[[nodiscard]] Result<Bytes> from_hex(std::string_view text);

}  // namespace sallyport::crypto
