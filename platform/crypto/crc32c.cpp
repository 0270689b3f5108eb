#include "platform/crypto/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace sallyport::crypto {
namespace {

constexpr std::uint32_t k_polynomial = 0x82f63b78;  // reflected

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? k_polynomial : 0);
    table[i] = value;
  }
  return table;
}
constexpr auto k_table = make_table();

#if defined(__x86_64__)
// The instruction has a latency of three cycles and starts one per cycle: three blocks at a time are three times as fast. Their
// sums are joined by shifting one over the zeros of a block, which is linear in its 32 bits: a table for each of its bytes.
constexpr std::size_t k_block = 2048;
using Matrix = std::array<std::uint32_t, 32>;
using Shift = std::array<std::array<std::uint32_t, 256>, 4>;

constexpr std::uint32_t times(const Matrix& matrix, std::uint32_t vector) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; vector != 0; ++i, vector >>= 1)
    if ((vector & 1) != 0) sum ^= matrix[i];
  return sum;
}

constexpr Matrix square(const Matrix& matrix) {
  Matrix out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = times(matrix, matrix[i]);
  return out;
}

/// What `bytes` zero bytes (a power of two) behind a text do to its sum.
constexpr Shift make_shift(std::size_t bytes) {
  Matrix one_bit{};
  one_bit[0] = k_polynomial;
  for (std::size_t i = 1; i < one_bit.size(); ++i) one_bit[i] = 1U << (i - 1);
  Matrix all = square(square(square(one_bit)));
  for (; bytes > 1; bytes /= 2) all = square(all);
  Shift shift{};
  for (std::uint32_t i = 0; i < 256; ++i)
    for (std::size_t byte = 0; byte < shift.size(); ++byte) shift[byte][i] = times(all, i << (8 * byte));
  return shift;
}
constexpr Shift k_over_one_block = make_shift(k_block);

std::uint64_t shifted(std::uint64_t sum) noexcept {
  return k_over_one_block[0][sum & 0xff] ^ k_over_one_block[1][sum >> 8 & 0xff] ^ k_over_one_block[2][sum >> 16 & 0xff] ^
         k_over_one_block[3][sum >> 24 & 0xff];
}

std::uint64_t word_of(const std::byte* at) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(ByteView bytes, std::uint32_t crc) noexcept {
  std::uint64_t value = crc ^ 0xffffffffU;
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 3 * k_block; at += 3 * k_block, left -= 3 * k_block) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t i = 0; i < k_block; i += 8) {
      value = _mm_crc32_u64(value, word_of(at + i));
      second = _mm_crc32_u64(second, word_of(at + k_block + i));
      third = _mm_crc32_u64(third, word_of(at + 2 * k_block + i));
    }
    value = shifted(shifted(value) ^ second) ^ third;
  }
  for (; left >= 8; at += 8, left -= 8) value = _mm_crc32_u64(value, word_of(at));
  auto tail = static_cast<std::uint32_t>(value);
  for (; left > 0; ++at, --left) tail = _mm_crc32_u8(tail, std::to_integer<unsigned char>(*at));
  return tail ^ 0xffffffffU;
}
#endif

}  // namespace

std::uint32_t crc32c_portable(ByteView bytes, std::uint32_t crc) noexcept {
  crc ^= 0xffffffffU;
  for (const std::byte b : bytes) crc = k_table[(crc ^ std::to_integer<std::uint32_t>(b)) & 0xff] ^ (crc >> 8);
  return crc ^ 0xffffffffU;
}

std::uint32_t crc32c(ByteView bytes, std::uint32_t crc) noexcept {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return crc32c_sse42(bytes, crc);
#endif
  return crc32c_portable(bytes, crc);
}

}  // namespace sallyport::crypto
