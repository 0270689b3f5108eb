// vault/totp.h -- one-time codes, RFC 6238.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "platform/model/result.h"
#include "platform/model/secret.h"

namespace sallyport::vault {

/// SHA-1, 30 s, 6 digits, unless an otpauth:// URI says otherwise.
class Totp {
 public:
  /// The shared secret as base32 (spaces and lower case allowed) or as an otpauth://totp/ URI with secret, and optionally digits
  /// (6 to 8), period (15 to 120 s) and algorithm (SHA1, SHA256, SHA512). Errc::invalid: neither, or below 80 bits.
  [[nodiscard]] static Result<Totp> parse(const Secret& text);

  /// The step in {now-1, now, now+1} that is above `after` and whose code this is. Takes the same time for every wrong code.
  [[nodiscard]] std::optional<std::int64_t> matching_step(std::string_view code, std::int64_t now_seconds, std::int64_t after) const;
  [[nodiscard]] std::int64_t step_of(std::int64_t seconds) const noexcept { return seconds / period_; }

 private:
  Secret key_;
  unsigned digits_ = 6;
  std::int64_t period_ = 30;
  int flags_ = 0;
};

}  // namespace sallyport::vault
