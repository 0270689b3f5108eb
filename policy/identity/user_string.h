// policy/identity/user_string.h -- the user name of a login, and what a name may look like.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sallyport::policy {

constexpr std::size_t k_max_user_bytes = 255;

/// `principal+account+target`, `principal+target` or `principal`; nothing looser. Names as in the policy.
struct UserString {
  std::string principal;
  std::string account;  ///< empty: not named
  std::string target;   ///< empty: bare session
};
[[nodiscard]] std::optional<UserString> parse_user_string(std::string_view user);

/// [a-z0-9][a-z0-9_.-]{0,62}: principals, groups, targets, roles.
[[nodiscard]] bool is_name(std::string_view text) noexcept;
/// [A-Za-z0-9_][A-Za-z0-9_.@\$-]{0,63}: accounts, which other systems named.
[[nodiscard]] bool is_account_name(std::string_view text) noexcept;

}  // namespace sallyport::policy
