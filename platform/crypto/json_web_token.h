// platform/crypto/json_web_token.h -- JSON Web Keys (RFC 7517) and signatures over JSON Web Tokens (RFC 7515, 7519), for reading only.
//
// For hostile input. RS256, PS256, ES256 and EdDSA (Ed25519) count, each with a key that is made for it; there is no `none` and no
// shared secret. Keys that a token brings along (`jwk`, `jku`, `x5u`) are never looked at, and an unknown `crit` is a refusal.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/bytes.h"
#include "platform/model/result.h"

struct evp_pkey_st;

namespace sallyport::crypto {

constexpr std::size_t k_most_token_bytes = 32 * 1024;
constexpr std::size_t k_most_key_set_bytes = 256 * 1024;
constexpr std::size_t k_most_token_keys = 64;

struct VerifiedToken {
  std::string algorithm;  ///< "ES256"
  std::string claims;     ///< one JSON object, without a name given twice
};

/// What an issuer publishes as its keys. A value; thread-safe once made.
class TokenKeys {
 public:
  /// Keys of other kinds or for other uses are passed over. Errc::invalid: no key set, or none that could be used.
  [[nodiscard]] static Result<TokenKeys> parse(std::string_view json);

  /// Errc::not_found: no key of that id, a newer set may have it. Errc::denied: wrong in any other way.
  [[nodiscard]] Result<VerifiedToken> verify(std::string_view token) const;
  [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }

 private:
  enum class Kind { rsa, p256, ed25519 };
  struct Key {
    std::string id;
    std::string algorithm;  ///< that it names itself; empty: any of its kind
    Kind kind = Kind::rsa;
    std::shared_ptr<evp_pkey_st> key;
  };
  [[nodiscard]] static std::optional<Key> read_key(std::string_view json);
  [[nodiscard]] static bool fits(const Key& key, std::string_view algorithm);
  [[nodiscard]] static bool is_right(const Key& key, std::string_view algorithm, ByteView signed_bytes, ByteView signature);

  std::vector<Key> keys_;
};

/// `at_hash` of OpenID Connect Core 3.1.3.6: the left half of the digest that goes with the algorithm.
[[nodiscard]] std::string token_half_hash(std::string_view algorithm, std::string_view access_token);

}  // namespace sallyport::crypto
