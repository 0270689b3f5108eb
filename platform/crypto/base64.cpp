#include "platform/crypto/base64.h"

#include <array>
#include <cstdint>

namespace sallyport::crypto {
namespace {

constexpr std::string_view k_standard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view k_url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array<std::int8_t, 256> values_of(std::string_view alphabet) {
  std::array<std::int8_t, 256> values{};
  for (auto& value : values) value = -1;
  for (std::size_t i = 0; i < alphabet.size(); ++i) values[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i);
  return values;
}
constexpr auto k_standard_values = values_of(k_standard);
constexpr auto k_url_values = values_of(k_url);

std::string encode(ByteView bytes, std::string_view alphabet, bool padded) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (k < have ? std::to_integer<std::uint32_t>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k <= have; ++k) text += alphabet[group >> (18 - 6 * k) & 63];
    if (padded) text.append(3 - have, '=');
  }
  return text;
}

Result<Bytes> decode(std::string_view text, const std::array<std::int8_t, 256>& values) {
  if (text.size() % 4 == 1) return fail(Errc::invalid, "base64 of an impossible length");
  Bytes bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  std::uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    const std::int8_t value = values[static_cast<unsigned char>(c)];
    if (value < 0) return fail(Errc::invalid, "not a base64 character");
    group = group << 6 | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<std::byte>(group >> bits & 0xff));
  }
  if ((group & ((1U << bits) - 1)) != 0) return fail(Errc::invalid, "base64 with bits behind its end");
  return bytes;
}

}  // namespace

std::string to_base64(ByteView bytes) { return encode(bytes, k_standard, true); }
std::string to_base64_unpadded(ByteView bytes) { return encode(bytes, k_standard, false); }
std::string to_base64url(ByteView bytes) { return encode(bytes, k_url, false); }

Result<Bytes> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return fail(Errc::invalid, "base64 without its padding");
  for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
  return decode(text, k_standard_values);
}
Result<Bytes> from_base64url(std::string_view text) { return decode(text, k_url_values); }

}  // namespace sallyport::crypto
