#include "policy/access/request.h"

#include <algorithm>
#include <array>

namespace sallyport::policy {
namespace {

constexpr std::array<std::string_view, 6> k_factor_names{"key", "certificate", "password", "totp", "sign-on", "passkey"};

}  // namespace

std::string_view name_of(FactorKind kind) noexcept { return k_factor_names[static_cast<std::size_t>(kind)]; }

std::optional<FactorKind> parse_factor_kind(std::string_view text) noexcept {
  const auto found = std::find(k_factor_names.begin(), k_factor_names.end(), text);
  if (found == k_factor_names.end()) return std::nullopt;
  return static_cast<FactorKind>(found - k_factor_names.begin());
}

std::optional<WallTime> second_factor_time(const std::vector<ProvenFactor>& factors) {
  std::optional<WallTime> verified_key;
  std::optional<WallTime> password;
  std::optional<WallTime> code;
  std::optional<WallTime> sign_on;
  std::optional<WallTime> verified_sign_on;
  bool has_key = false;
  const auto newest = [](std::optional<WallTime>& slot, WallTime time) {
    if (!slot || time > *slot) slot = time;
  };
  for (const ProvenFactor& factor : factors) {
    switch (factor.kind) {
      case FactorKind::key:
      case FactorKind::certificate:
        has_key = true;
        if (factor.user_verified) newest(verified_key, factor.proven);
        break;
      case FactorKind::password: newest(password, factor.proven); break;
      case FactorKind::totp:
      case FactorKind::passkey: newest(code, factor.proven); break;
      case FactorKind::sign_on:
        newest(sign_on, factor.proven);
        if (factor.user_verified) newest(verified_sign_on, factor.proven);
        break;
    }
  }
  std::optional<WallTime> result = verified_key;
  if (verified_sign_on) newest(result, *verified_sign_on);
  if (code && (has_key || password || sign_on)) newest(result, *code);
  if (password && has_key) newest(result, *password);
  if (sign_on && has_key) newest(result, *sign_on);
  return result;
}

std::string RuleReference::str() const {
  if (!envelope.empty()) return "break-glass envelope " + envelope;
  if (role.empty()) return {};
  return "role " + role + (is_deny ? ", deny " : ", allow ") + std::to_string(index + 1) + (place.file ? " (" + place.str() + ")" : std::string());
}

}  // namespace sallyport::policy
