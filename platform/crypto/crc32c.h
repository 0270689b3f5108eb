// platform/crypto/crc32c.h -- CRC-32C (Castagnoli): tells a torn entry from a whole one. Not against attackers.
#pragma once

#include <cstdint>

#include "platform/model/bytes.h"

namespace sallyport::crypto {

/// Goes on from `crc`, the result for the bytes before; 0 at the start. Uses the processor's instruction if it has one.
[[nodiscard]] std::uint32_t crc32c(ByteView bytes, std::uint32_t crc = 0) noexcept;
/// The same without it; for tests.
[[nodiscard]] std::uint32_t crc32c_portable(ByteView bytes, std::uint32_t crc = 0) noexcept;

}  // namespace sallyport::crypto
