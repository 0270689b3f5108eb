// policy/identity/oidc_token.h -- what an ID token (OpenID Connect Core 1.0) says, once its signature is right. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/json_web_token.h"
#include "platform/model/result.h"

namespace sallyport::policy {

constexpr std::int64_t k_token_skew_s = 60;      ///< how far the clocks of the two may be apart
constexpr std::int64_t k_token_oldest_s = 600;   ///< an answer to a question of now was not issued long ago
constexpr std::size_t k_most_claimed_groups = 500;

/// What this sign-on expects of the token.
struct OidcExpected {
  std::string issuer;
  std::string client;
  std::string nonce;           ///< empty: none was sent (device flow)
  std::string access_token;    ///< for at_hash
  std::string name_claim;      ///< whose value names the principal
  std::string groups_claim;    ///< empty: groups are not asked for
  std::int64_t now = 0;        ///< seconds
  std::optional<std::int64_t> max_age;  ///< then `auth_time` must be there and not be older
};

struct OidcIdentity {
  std::string subject;
  std::string name;            ///< value of the name claim
  bool email_verified = false;
  bool has_groups = false;     ///< the claim was there
  std::vector<std::string> groups;
  std::string acr;
  std::vector<std::string> amr;
  std::int64_t authenticated = 0;  ///< auth_time, or iat where the provider does not say
};

/// Errc::denied names the claim that is wrong.
[[nodiscard]] Result<OidcIdentity> check_id_token(const crypto::VerifiedToken& token, const OidcExpected& expected);

}  // namespace sallyport::policy
