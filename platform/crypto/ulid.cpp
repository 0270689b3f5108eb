#include "platform/crypto/ulid.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

namespace sallyport::crypto {
namespace {
constexpr std::string_view k_alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::size_t k_length = 26;
}  // namespace

std::string make_ulid(const Clock& clock, Random& random) {
  std::array<std::byte, 16> bytes{};
  random.fill(std::span(bytes).subspan(6));
  const auto milliseconds =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall().time_since_epoch()).count());
  for (std::size_t i = 0; i < 6; ++i) bytes[i] = static_cast<std::byte>(milliseconds >> (40 - 8 * i));
  std::string text(k_length, '0');
  unsigned carry = 0;  // 130 bits of text for 128 bits: two zero bits lead
  int bits = 2;
  std::size_t at = 0;
  for (const std::byte b : bytes) {
    carry = carry << 8 | std::to_integer<unsigned>(b);
    for (bits += 8; bits >= 5; bits -= 5) text[at++] = k_alphabet[carry >> (bits - 5) & 31];
  }
  return text;
}

bool is_ulid(std::string_view text) noexcept {
  return text.size() == k_length && text.front() <= '7' &&
         std::all_of(text.begin(), text.end(), [](char c) { return k_alphabet.find(c) != std::string_view::npos; });
}

WallTime ulid_time(std::string_view ulid) noexcept {
  std::uint64_t milliseconds = 0;
  for (const char c : ulid.substr(0, 10)) milliseconds = milliseconds << 5 | (k_alphabet.find(c) & 31);
  return WallTime(std::chrono::milliseconds(static_cast<std::int64_t>(milliseconds)));
}

}  // namespace sallyport::crypto
