// ID tokens: signatures by every accepted algorithm, and everything that must not pass.
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <boost/json.hpp>
#include <catch2/catch.hpp>

#include "platform/crypto/base64.h"
#include "platform/crypto/json_web_token.h"
#include "platform/crypto/openssl_handles.h"
#include "policy/identity/oidc_token.h"

namespace json = boost::json;
using namespace sallyport;

namespace {

constexpr std::int64_t k_now = 1'790'000'000;

std::string b64(std::string_view text) { return crypto::to_base64url(bytes_of(text)); }

struct Signer {
  std::string algorithm;
  std::string id;
  crypto::PkeyHandle key;

  [[nodiscard]] std::string number(const char* name) const {
    BIGNUM* value = nullptr;
    REQUIRE(EVP_PKEY_get_bn_param(key.get(), name, &value) == 1);
    Bytes bytes(static_cast<std::size_t>(BN_num_bytes(value)));
    if (algorithm == "ES256") bytes.resize(32);
    BN_bn2binpad(value, reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    BN_free(value);
    return crypto::to_base64url(bytes);
  }

  [[nodiscard]] json::object jwk() const {
    json::object out{{"kid", id}, {"use", "sig"}};
    if (algorithm == "ES256") {
      out["kty"] = "EC";
      out["crv"] = "P-256";
      out["x"] = number("qx");
      out["y"] = number("qy");
    } else if (algorithm == "EdDSA") {
      std::array<unsigned char, 32> raw{};
      std::size_t size = raw.size();
      REQUIRE(EVP_PKEY_get_raw_public_key(key.get(), raw.data(), &size) == 1);
      out["kty"] = "OKP";
      out["crv"] = "Ed25519";
      out["x"] = crypto::to_base64url(std::as_bytes(std::span(raw)));
    } else {
      out["kty"] = "RSA";
      out["n"] = number("n");
      out["e"] = number("e");
    }
    return out;
  }

  [[nodiscard]] std::string sign(std::string_view header, std::string_view claims) const {
    const std::string data = b64(header) + "." + b64(claims);
    const crypto::DigestContextHandle context(EVP_MD_CTX_new());
    EVP_PKEY_CTX* padding = nullptr;
    REQUIRE(EVP_DigestSignInit(context.get(), &padding, algorithm == "EdDSA" ? nullptr : EVP_sha256(), nullptr, key.get()) == 1);
    if (algorithm == "PS256") {
      REQUIRE(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1);
      REQUIRE(EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) == 1);
    }
    std::array<unsigned char, 512> out{};
    std::size_t size = out.size();
    REQUIRE(EVP_DigestSign(context.get(), out.data(), &size, reinterpret_cast<const unsigned char*>(data.data()), data.size()) == 1);
    Bytes signature;
    const auto view = std::as_bytes(std::span(out).first(size));
    if (algorithm == "ES256") {
      const unsigned char* from = out.data();
      ECDSA_SIG* numbers = d2i_ECDSA_SIG(nullptr, &from, static_cast<long>(size));
      REQUIRE(numbers != nullptr);
      signature.resize(64);
      BN_bn2binpad(ECDSA_SIG_get0_r(numbers), reinterpret_cast<unsigned char*>(signature.data()), 32);
      BN_bn2binpad(ECDSA_SIG_get0_s(numbers), reinterpret_cast<unsigned char*>(signature.data()) + 32, 32);
      ECDSA_SIG_free(numbers);
    } else {
      signature.assign(view.begin(), view.end());
    }
    return data + "." + crypto::to_base64url(signature);
  }
  [[nodiscard]] std::string header() const { return R"({"alg":")" + algorithm + R"(","kid":")" + id + R"("})"; }
};

const std::vector<Signer>& signers() {
  static const std::vector<Signer> all = [] {
    std::vector<Signer> out;
    out.push_back({"ES256", "ec", crypto::PkeyHandle(EVP_EC_gen("P-256"))});
    out.push_back({"EdDSA", "ed", crypto::PkeyHandle(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"))});
    out.push_back({"RS256", "rsa", crypto::PkeyHandle(EVP_RSA_gen(2048))});
    out.push_back({"PS256", "rsa-pss", crypto::PkeyHandle(EVP_RSA_gen(2048))});
    return out;
  }();
  return all;
}

std::string key_set() {
  json::array keys;
  for (const Signer& one : signers()) keys.push_back(one.jwk());
  return json::serialize(json::object{{"keys", keys}});
}

json::object right_claims() {
  return {{"iss", "https://op.example"}, {"aud", "gateway"}, {"sub", "s-1"}, {"exp", k_now + 300}, {"iat", k_now}, {"nonce", "n-1"}, {"preferred_username", "engineer"}, {"groups", {"ops", "all"}}};
}

policy::OidcExpected expected() { return {"https://op.example", "gateway", "n-1", "access", "preferred_username", "groups", k_now, {}}; }

Result<policy::OidcIdentity> check(const json::object& claims, const policy::OidcExpected& wanted = expected()) {
  return policy::check_id_token({"ES256", json::serialize(claims)}, wanted);
}

}  // namespace

TEST_CASE("a token that its key signed is taken, by each accepted algorithm", "[oidc]") {
  const auto keys = crypto::TokenKeys::parse(key_set());
  REQUIRE(keys);
  CHECK(keys->size() == 4);
  for (const Signer& one : signers()) {
    CAPTURE(one.algorithm);
    const std::string token = one.sign(one.header(), R"({"a":1})");
    const auto right = keys->verify(token);
    REQUIRE(right);
    CHECK(right->claims == R"({"a":1})");
    std::string changed = token;
    changed[changed.find('.') + 2] ^= 1;
    CHECK_FALSE(keys->verify(changed));
    CHECK_FALSE(keys->verify(token.substr(0, token.size() - 4)));
    CHECK_FALSE(keys->verify(token + ".x"));
    // The same signature under the name of another key, or of another algorithm.
    for (const Signer& other : signers())
      if (other.id != one.id) CHECK_FALSE(keys->verify(one.sign(other.header(), R"({"a":1})")));
  }
}

TEST_CASE("the example of RFC 8037 has a right signature; what is signed there is no JSON", "[oidc]") {
  const auto keys = crypto::TokenKeys::parse(R"({"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})");
  REQUIRE(keys);
  const auto read = keys->verify("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
  REQUIRE_FALSE(read);
  CHECK(read.error().detail.find("claims") != std::string::npos);
}

TEST_CASE("headers that would have us believe something else are refused", "[oidc]") {
  const auto keys = crypto::TokenKeys::parse(key_set());
  REQUIRE(keys);
  const Signer& ec = signers().front();
  const auto errc = [&](const std::string& header) { return keys->verify(ec.sign(header, "{}")).error().code; };
  CHECK(keys->verify(ec.sign(R"({"alg":"ES256"})", "{}")));  // the only key of its kind needs no name
  CHECK(errc(R"({"alg":"none"})") == Errc::denied);
  CHECK(errc(R"({"alg":"HS256","kid":"ec"})") == Errc::denied);
  CHECK(errc(R"({"alg":"ES256","kid":"ec","crit":["x"]})") == Errc::denied);
  CHECK(errc(R"({"alg":"ES256","alg":"ES256","kid":"ec"})") == Errc::denied);
  CHECK(errc(R"({"alg":"ES256","kid":7})") == Errc::denied);
  CHECK(errc(R"({"alg":"ES256","kid":"newer"})") == Errc::not_found);
  CHECK(errc(R"({"alg":"RS256","kid":"ec"})") == Errc::not_found);
  CHECK(errc("[]") == Errc::denied);
  CHECK_FALSE(keys->verify(ec.sign(ec.header(), R"({"sub":"a","sub":"b"})")));
  CHECK_FALSE(keys->verify(std::string(40'000, 'a')));
  const std::string unsigned_token = b64(R"({"alg":"none"})") + "." + b64("{}") + ".";
  CHECK(keys->verify(unsigned_token).error().code == Errc::denied);
}

TEST_CASE("key sets are bounded, and weak or foreign keys are passed over", "[oidc]") {
  CHECK_FALSE(crypto::TokenKeys::parse("{}"));
  CHECK_FALSE(crypto::TokenKeys::parse("[]"));
  CHECK_FALSE(crypto::TokenKeys::parse(R"({"keys":[{"kty":"oct","k":"c2VjcmV0"}]})"));
  CHECK_FALSE(crypto::TokenKeys::parse(std::string(300'000, ' ')));
  json::object small = Signer{"RS256", "small", crypto::PkeyHandle(EVP_RSA_gen(1024))}.jwk();
  json::object for_encryption = signers().front().jwk();
  for_encryption["use"] = "enc";
  json::object off_curve = signers().front().jwk();
  off_curve["y"] = off_curve["x"];
  CHECK_FALSE(crypto::TokenKeys::parse(json::serialize(json::object{{"keys", {small, for_encryption, off_curve, 7}}})));
  json::array many;
  for (int i = 0; i < 65; ++i) many.push_back(signers().front().jwk());
  CHECK_FALSE(crypto::TokenKeys::parse(json::serialize(json::object{{"keys", many}})));
}

TEST_CASE("a right token names somebody", "[oidc]") {
  const auto identity = check(right_claims());
  REQUIRE(identity);
  CHECK(identity->name == "engineer");
  CHECK(identity->groups == std::vector<std::string>{"ops", "all"});
  CHECK(identity->authenticated == k_now);
}

TEST_CASE("each wrong claim is a refusal that names it", "[oidc]") {
  struct Row {
    const char* claim;
    json::value value;
    bool is_right;
  };
  const std::vector<Row> rows{
      {"iss", "https://op.example/", false}, {"iss", "https://evil.example", false}, {"iss", 7, false},
      {"aud", "other", false}, {"aud", json::array{"gateway"}, true}, {"aud", json::array{"gateway", "other"}, false}, {"aud", json::array(), false}, {"aud", nullptr, false},
      {"azp", "gateway", true}, {"azp", "other", false}, {"azp", 7, false},
      {"exp", k_now - 59, true}, {"exp", k_now - 60, false}, {"exp", "never", false}, {"exp", nullptr, false},
      {"iat", k_now + 60, true}, {"iat", k_now + 61, false}, {"iat", k_now - 661, false}, {"iat", nullptr, false},
      {"nbf", k_now + 60, true}, {"nbf", k_now + 61, false}, {"nbf", "x", false},
      {"nonce", "n-2", false}, {"nonce", nullptr, false}, {"nonce", "", false},
      {"sub", "", false}, {"sub", 7, false}, {"sub", json::string(256, 's'), false},
      {"at_hash", json::string(crypto::token_half_hash("ES256", "access")), true}, {"at_hash", json::string(crypto::token_half_hash("ES256", "other")), false}, {"at_hash", 7, false},
      {"preferred_username", "", false}, {"preferred_username", json::array{"engineer"}, false},
      {"groups", "one", true}, {"groups", json::array{7}, false}, {"groups", json::array(501, json::value("g")), false}, {"groups", json::object(), false},
      {"auth_time", k_now - 10, true}, {"auth_time", k_now + 61, false}, {"auth_time", "x", false},
  };
  for (const Row& row : rows) {
    json::object claims = right_claims();
    claims[row.claim] = row.value;
    CAPTURE(row.claim, json::serialize(row.value));
    CHECK(check(claims).has_value() == row.is_right);
  }
  json::object two = right_claims();
  two["aud"] = {"gateway", "other"};
  two["azp"] = "gateway";
  CHECK(check(two));
  for (const char* claim : {"iss", "aud", "sub", "exp", "iat", "nonce", "preferred_username"}) {
    json::object claims = right_claims();
    claims.erase(claim);
    CAPTURE(claim);
    CHECK_FALSE(check(claims));
  }
}

TEST_CASE("who showed herself too long ago, or nobody says when, is asked again", "[oidc]") {
  policy::OidcExpected wanted = expected();
  wanted.max_age = 100;
  json::object claims = right_claims();
  CHECK_FALSE(check(claims, wanted));
  claims["auth_time"] = k_now - 160;
  REQUIRE(check(claims, wanted));
  CHECK(check(claims, wanted)->authenticated == k_now - 160);
  claims["auth_time"] = k_now - 161;
  CHECK_FALSE(check(claims, wanted));
}
