#include "vault/totp.h"

#include <liboath/oath.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace sallyport::vault {
namespace {

constexpr std::size_t k_min_key_bytes = 10;
constexpr std::size_t k_max_text = 1024;
constexpr std::string_view k_uri = "otpauth://totp/";

std::optional<unsigned> number_of(std::string_view text, unsigned least, unsigned most) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most) return std::nullopt;
  return value;
}

}  // namespace

Result<Totp> Totp::parse(const Secret& text) {
  const auto bad = [] { return fail(Errc::invalid, "a TOTP secret is base32 of at least 80 bits, or an otpauth://totp/ URI"); };
  if (text.size() > k_max_text) return bad();
  Totp totp;
  std::string_view base32 = text.reveal_text();
  if (base32.starts_with(k_uri)) {
    std::string_view query = base32.substr(std::min(base32.find('?'), base32.size()));
    base32 = {};
    while (!query.empty()) {
      query.remove_prefix(1);  // ? or &
      const std::string_view field = query.substr(0, query.find('&'));
      query.remove_prefix(field.size());
      const std::string_view name = field.substr(0, field.find('='));
      const std::string_view value = field.substr(std::min(name.size() + 1, field.size()));
      if (name == "secret") base32 = value;
      if (name == "digits") {
        const auto digits = number_of(value, 6, 8);
        if (!digits) return bad();
        totp.digits_ = *digits;
      }
      if (name == "period") {
        const auto period = number_of(value, 15, 120);
        if (!period) return bad();
        totp.period_ = *period;
      }
      if (name == "algorithm") {
        if (value == "SHA256") {
          totp.flags_ = OATH_TOTP_HMAC_SHA256;
        } else if (value == "SHA512") {
          totp.flags_ = OATH_TOTP_HMAC_SHA512;
        } else if (value != "SHA1") {
          return bad();
        }
      }
    }
  }
  if (base32.empty()) return bad();
  char* key = nullptr;
  std::size_t size = 0;
  const int status = oath_base32_decode(base32.data(), base32.size(), &key, &size);
  if (status != OATH_OK) return bad();
  totp.key_ = Secret(std::string_view(key, size));
  OPENSSL_cleanse(key, size);
  std::free(key);  // NOLINT: liboath allocates with malloc
  if (size < k_min_key_bytes) return bad();
  return totp;
}

std::optional<std::int64_t> Totp::matching_step(std::string_view code, std::int64_t now_seconds, std::int64_t after) const {
  const std::int64_t middle = step_of(now_seconds);
  std::optional<std::int64_t> found;
  for (std::int64_t step = middle - 1; step <= middle + 1; ++step) {
    std::array<char, 16> expected{};
    const int status = oath_totp_generate2(key_.reveal_text().data(), key_.size(), static_cast<std::time_t>(step * period_), static_cast<unsigned>(period_), 0,
                                           digits_, flags_, expected.data());
    const bool same = status == OATH_OK && code.size() == digits_ && CRYPTO_memcmp(expected.data(), code.data(), digits_) == 0;
    if (same && step > after && !found) found = step;
    OPENSSL_cleanse(expected.data(), expected.size());
  }
  return found;
}

}  // namespace sallyport::vault
