#include "platform/crypto/zstd.h"

#include <zstd.h>

#include <cstdlib>

namespace sallyport::crypto {
namespace {
constexpr int k_level = 1;
constexpr int k_window_log = 17;

void need(bool right) {
  if (!right) std::abort();  // out of memory at construction, or a parameter this library does not know
}
}  // namespace

void ZstdCompressor::Free::operator()(ZSTD_CCtx_s* context) const noexcept { ZSTD_freeCCtx(context); }
void ZstdDecompressor::Free::operator()(ZSTD_DCtx_s* context) const noexcept { ZSTD_freeDCtx(context); }

ZstdCompressor::ZstdCompressor() : context_(ZSTD_createCCtx()) {
  need(context_ != nullptr && ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, k_level)) == 0 &&
       ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_windowLog, k_window_log)) == 0);
}

std::optional<std::size_t> ZstdCompressor::compress(ByteView plain, std::span<std::byte> out) noexcept {
  const std::size_t size = ZSTD_compress2(context_.get(), out.data(), out.size(), plain.data(), plain.size());
  if (ZSTD_isError(size) != 0) return std::nullopt;
  return size;
}

ZstdDecompressor::ZstdDecompressor() : context_(ZSTD_createDCtx()) {
  need(context_ != nullptr && ZSTD_isError(ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, k_window_log)) == 0);
}

Result<std::size_t> ZstdDecompressor::decompress(ByteView frame, std::span<std::byte> out) {
  const std::size_t size = ZSTD_decompressDCtx(context_.get(), out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(size) != 0) return fail(Errc::corrupt, std::string("zstd: ") + ZSTD_getErrorName(size));
  return size;
}

}  // namespace sallyport::crypto
