#include "policy/identity/user_string.h"

#include <algorithm>

namespace sallyport::policy {

bool is_name(std::string_view text) noexcept {
  const auto is_start = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= 63 && is_start(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return is_start(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_account_name(std::string_view text) noexcept {
  const auto is_start = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; };
  return !text.empty() && text.size() <= 64 && is_start(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return is_start(c) || std::string_view(".@\\$-").find(c) != std::string_view::npos; });
}

std::optional<UserString> parse_user_string(std::string_view user) {
  if (user.size() > k_max_user_bytes) return std::nullopt;
  UserString result;
  const std::size_t last = user.rfind('+');
  if (last == std::string_view::npos) {
    result.principal = std::string(user);
  } else {
    result.target = std::string(user.substr(last + 1));
    const std::string_view before = user.substr(0, last);
    const std::size_t first = before.find('+');
    result.principal = std::string(before.substr(0, first));
    if (first != std::string_view::npos) {
      result.account = std::string(before.substr(first + 1));
      if (!is_account_name(result.account)) return std::nullopt;
    }
    if (!is_name(result.target)) return std::nullopt;
  }
  if (!is_name(result.principal)) return std::nullopt;
  return result;
}

}  // namespace sallyport::policy
