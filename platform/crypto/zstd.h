// platform/crypto/zstd.h -- one short message compressed on its own, before it is sealed.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "platform/model/bytes.h"
#include "platform/model/result.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace sallyport::crypto {

/// Level 1 with a window of 128 KiB. Allocates once, at construction. Not thread-safe.
class ZstdCompressor {
 public:
  ZstdCompressor();
  /// The number of bytes written to `out`; nothing when the result does not fit there (it would not shrink enough).
  [[nodiscard]] std::optional<std::size_t> compress(ByteView plain, std::span<std::byte> out) noexcept;

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const noexcept;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
};

/// For hostile input: never writes beyond `out`, never allocates for a window above 128 KiB.
class ZstdDecompressor {
 public:
  ZstdDecompressor();
  /// The number of bytes written. Errc::corrupt when it is not one frame that fits.
  [[nodiscard]] Result<std::size_t> decompress(ByteView frame, std::span<std::byte> out);

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const noexcept;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
};

}  // namespace sallyport::crypto
