#include "policy/identity/oidc_token.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "platform/model/json_text.h"

namespace sallyport::policy {
namespace {

namespace json = boost::json;

constexpr std::size_t k_longest_text = 255;

tl::unexpected<Error> wrong(std::string what) { return fail(Errc::denied, "the ID token: " + std::move(what)); }

std::optional<std::string> text_claim(const json::object& claims, std::string_view name) {
  const json::value* value = claims.if_contains(name);
  if (value == nullptr || !value->is_string() || value->get_string().size() > k_longest_text) return std::nullopt;
  return std::string(std::string_view(value->get_string()));
}

/// NumericDate (RFC 7519 section 2): seconds, with a fraction where somebody likes one.
std::optional<std::int64_t> time_claim(const json::object& claims, std::string_view name) {
  const json::value* value = claims.if_contains(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_int64()) return value->get_int64();
  if (value->is_double() && std::abs(value->get_double()) < 1e15) return static_cast<std::int64_t>(value->get_double());
  return std::nullopt;
}

/// A text or a list of texts; nothing for anything else.
std::optional<std::vector<std::string>> list_claim(const json::object& claims, std::string_view name, std::size_t most) {
  const json::value* value = claims.if_contains(name);
  if (value == nullptr) return std::nullopt;
  std::vector<std::string> items;
  if (value->is_string()) {
    items.emplace_back(std::string_view(value->get_string()));
    return items;
  }
  if (!value->is_array() || value->get_array().size() > most) return std::nullopt;
  for (const json::value& one : value->get_array()) {
    if (!one.is_string() || one.get_string().size() > k_longest_text) return std::nullopt;
    items.emplace_back(std::string_view(one.get_string()));
  }
  return items;
}

bool same(std::string_view a, std::string_view b) { return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

Result<void> check_times(const json::object& claims, const OidcExpected& expected) {
  const auto expires = time_claim(claims, "exp");
  const auto issued = time_claim(claims, "iat");
  if (!expires || !issued) return wrong("it has no `exp` or no `iat`");
  if (*expires <= expected.now - k_token_skew_s) return wrong("it expired " + std::to_string(expected.now - *expires) + " s ago");
  if (*issued > expected.now + k_token_skew_s) return wrong("it was issued in the future");
  if (*issued < expected.now - k_token_oldest_s - k_token_skew_s) return wrong("it was issued " + std::to_string(expected.now - *issued) + " s ago");
  if (claims.contains("nbf")) {
    const auto begins = time_claim(claims, "nbf");
    if (!begins || *begins > expected.now + k_token_skew_s) return wrong("it is not valid yet");
  }
  return {};
}

Result<void> check_audience(const json::object& claims, const OidcExpected& expected) {
  const auto audience = list_claim(claims, "aud", 16);
  if (!audience || std::find(audience->begin(), audience->end(), expected.client) == audience->end()) return wrong("it is for somebody else (`aud`)");
  const auto party = text_claim(claims, "azp");
  if (claims.contains("azp") && party != expected.client) return wrong("it was given to somebody else (`azp`)");
  if (audience->size() > 1 && !party) return wrong("it is for several, and does not say to whom it was given (`azp`)");
  return {};
}

}  // namespace

Result<OidcIdentity> check_id_token(const crypto::VerifiedToken& token, const OidcExpected& expected) {
  json::error_code error;
  const json::value parsed = json::parse(token.claims, error);
  if (error || !parsed.is_object()) return wrong("no claims");
  const json::object& claims = parsed.get_object();
  const auto issuer = text_claim(claims, "iss");
  if (!issuer || *issuer != expected.issuer) return wrong("it is of another issuer: " + printable(issuer.value_or("none")));
  if (auto fit = check_audience(claims, expected); !fit) return tl::unexpected(fit.error());
  if (auto fit = check_times(claims, expected); !fit) return tl::unexpected(fit.error());
  if (!expected.nonce.empty()) {
    const auto nonce = text_claim(claims, "nonce");
    if (!nonce || !same(*nonce, expected.nonce)) return wrong("it answers another sign-on (`nonce`)");
  }
  if (claims.contains("at_hash")) {
    const auto hash = text_claim(claims, "at_hash");
    if (!hash || *hash != crypto::token_half_hash(token.algorithm, expected.access_token)) return wrong("it came with another access token (`at_hash`)");
  }
  OidcIdentity identity;
  identity.subject = text_claim(claims, "sub").value_or("");
  if (identity.subject.empty()) return wrong("it names no subject");
  const auto shown = time_claim(claims, "auth_time");
  if (claims.contains("auth_time") && (!shown || *shown > expected.now + k_token_skew_s)) return wrong("its `auth_time` is in the future");
  if (expected.max_age) {
    if (!shown) return wrong("it does not say when the person showed herself (`auth_time`)");
    if (*shown < expected.now - *expected.max_age - k_token_skew_s) return wrong("the person showed herself too long ago (`auth_time`)");
  }
  identity.authenticated = std::min(shown.value_or(*time_claim(claims, "iat")), expected.now);
  const auto name = text_claim(claims, expected.name_claim);
  if (!name || name->empty()) return wrong("it has no `" + expected.name_claim + "`");
  identity.name = *name;
  const json::value* verified = claims.if_contains("email_verified");
  identity.email_verified = verified != nullptr && verified->is_bool() && verified->get_bool();
  if (!expected.groups_claim.empty() && claims.contains(expected.groups_claim)) {
    const auto groups = list_claim(claims, expected.groups_claim, k_most_claimed_groups);
    if (!groups) return wrong("its `" + expected.groups_claim + "` is no list of at most 500 names");
    identity.has_groups = true;
    identity.groups = *groups;
  }
  identity.acr = text_claim(claims, "acr").value_or("");
  identity.amr = list_claim(claims, "amr", 32).value_or(std::vector<std::string>());
  return identity;
}

}  // namespace sallyport::policy
