#include "platform/crypto/json_web_token.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "platform/crypto/base64.h"
#include "platform/crypto/openssl_handles.h"
#include "platform/model/json_text.h"

namespace sallyport::crypto {
namespace {

namespace json = boost::json;

using Number = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, FreeWith<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, FreeWith<OSSL_PARAM_free>>;
using EcSignature = std::unique_ptr<ECDSA_SIG, FreeWith<ECDSA_SIG_free>>;

constexpr int k_least_rsa_bits = 2048;
constexpr int k_most_rsa_bits = 8192;
constexpr std::size_t k_most_header_bytes = 4096;

const unsigned char* raw(ByteView bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }

/// One object, with no name given twice: two readers of one token must not see two different things.
std::optional<json::object> read_object(std::string_view text) {
  const auto fields = JsonFields::parse(text);
  if (!fields) return std::nullopt;
  json::error_code error;
  json::value value = json::parse(text, error);
  if (error || !value.is_object() || value.get_object().size() != fields->all().size()) return std::nullopt;
  return std::move(value.get_object());
}

std::string text_of_field(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : std::string();
}

/// A field that is there must be what it should be.
bool is_text_or_absent(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value == nullptr || value->is_string();
}

std::shared_ptr<EVP_PKEY> make_key(const char* type, OSSL_PARAM_BLD* builder) {
  Params params(OSSL_PARAM_BLD_to_param(builder));
  PkeyContextHandle context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 || EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) return nullptr;
  return {key, EVP_PKEY_free};
}

std::shared_ptr<EVP_PKEY> rsa_key(const json::object& object) {
  const auto n = from_base64url(text_of_field(object, "n"));
  const auto e = from_base64url(text_of_field(object, "e"));
  if (!n || !e || n->size() > k_most_rsa_bits / 8 + 1 || e->empty() || e->size() > 8) return nullptr;
  const Number modulus(BN_bin2bn(raw(*n), static_cast<int>(n->size()), nullptr));
  const Number exponent(BN_bin2bn(raw(*e), static_cast<int>(e->size()), nullptr));
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!modulus || !exponent || !builder || BN_num_bits(modulus.get()) < k_least_rsa_bits || BN_is_odd(exponent.get()) == 0 || BN_is_one(exponent.get()) == 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1)
    return nullptr;
  return make_key("RSA", builder.get());
}

std::shared_ptr<EVP_PKEY> p256_key(const json::object& object) {
  const auto x = from_base64url(text_of_field(object, "x"));
  const auto y = from_base64url(text_of_field(object, "y"));
  if (!x || !y || x->size() != 32 || y->size() != 32) return nullptr;
  Bytes point{std::byte{4}};
  point.insert(point.end(), x->begin(), x->end());
  point.insert(point.end(), y->begin(), y->end());
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1)
    return nullptr;
  return make_key("EC", builder.get());
}

std::shared_ptr<EVP_PKEY> ed25519_key(const json::object& object) {
  const auto x = from_base64url(text_of_field(object, "x"));
  if (!x || x->size() != 32) return nullptr;
  return {EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw(*x), x->size()), EVP_PKEY_free};
}

/// JOSE writes r and s side by side (RFC 7518 section 3.4), OpenSSL wants them in DER.
std::optional<Bytes> der_of(ByteView signature) {
  if (signature.size() != 64) return std::nullopt;
  EcSignature numbers(ECDSA_SIG_new());
  Number r(BN_bin2bn(raw(signature), 32, nullptr));
  Number s(BN_bin2bn(raw(signature.subspan(32)), 32, nullptr));
  if (!numbers || !r || !s || ECDSA_SIG_set0(numbers.get(), r.release(), s.release()) != 1) return std::nullopt;
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(numbers.get(), &der);
  if (size <= 0) return std::nullopt;
  const auto view = std::as_bytes(std::span(der, static_cast<std::size_t>(size)));
  Bytes copy(view.begin(), view.end());
  OPENSSL_free(der);
  return copy;
}

}  // namespace

std::optional<TokenKeys::Key> TokenKeys::read_key(std::string_view text) {
  const auto object = read_object(text);
  if (!object) return std::nullopt;
  for (const std::string_view name : {"kid", "alg", "use", "kty", "crv"})
    if (!is_text_or_absent(*object, name)) return std::nullopt;
  if (const std::string use = text_of_field(*object, "use"); !use.empty() && use != "sig") return std::nullopt;
  Key key;
  key.id = text_of_field(*object, "kid");
  key.algorithm = text_of_field(*object, "alg");
  if (key.id.size() > 255) return std::nullopt;
  const std::string type = text_of_field(*object, "kty");
  const std::string curve = text_of_field(*object, "crv");
  if (type == "RSA") {
    key.kind = Kind::rsa;
    key.key = rsa_key(*object);
  } else if (type == "EC" && curve == "P-256") {
    key.kind = Kind::p256;
    key.key = p256_key(*object);
  } else if (type == "OKP" && curve == "Ed25519") {
    key.kind = Kind::ed25519;
    key.key = ed25519_key(*object);
  }
  if (key.key == nullptr) {
    static_cast<void>(take_openssl_error());
    return std::nullopt;
  }
  return key;
}

Result<TokenKeys> TokenKeys::parse(std::string_view text) {
  if (text.size() > k_most_key_set_bytes) return fail(Errc::invalid, "the key set is larger than 256 KiB");
  const auto set = read_object(text);
  const json::value* list = set ? set->if_contains("keys") : nullptr;
  if (list == nullptr || !list->is_array()) return fail(Errc::invalid, "not a JSON Web Key Set");
  if (list->get_array().size() > k_most_token_keys) return fail(Errc::invalid, "the key set has more than 64 keys");
  TokenKeys keys;
  for (const json::value& one : list->get_array()) {
    // Written anew it has each name once: boost keeps the last of two, and a key set is not signed anyhow.
    if (auto key = one.is_object() ? read_key(json::serialize(one)) : std::nullopt) keys.keys_.push_back(std::move(*key));
  }
  if (keys.keys_.empty()) return fail(Errc::invalid, "no key of the set can be used (RSA of 2048 bits, P-256, Ed25519)");
  return keys;
}

bool TokenKeys::fits(const Key& key, std::string_view algorithm) {
  if (!key.algorithm.empty() && key.algorithm != algorithm) return false;
  switch (key.kind) {
    case Kind::rsa: return algorithm == "RS256" || algorithm == "PS256";
    case Kind::p256: return algorithm == "ES256";
    case Kind::ed25519: return algorithm == "EdDSA";
  }
  return false;
}

bool TokenKeys::is_right(const Key& key, std::string_view algorithm, ByteView signed_bytes, ByteView signature) {
  std::optional<Bytes> der;
  if (key.kind == Kind::p256) {
    der = der_of(signature);
    if (!der) return false;
    signature = *der;
  }
  const DigestContextHandle context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* padding = nullptr;
  const bool is_edwards = key.kind == Kind::ed25519;
  bool right = context && EVP_DigestVerifyInit(context.get(), &padding, is_edwards ? nullptr : EVP_sha256(), nullptr, key.key.get()) == 1;
  if (right && algorithm == "PS256")
    right = EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) == 1;
  right = right && EVP_DigestVerify(context.get(), raw(signature), signature.size(), raw(signed_bytes), signed_bytes.size()) == 1;
  if (!right) static_cast<void>(take_openssl_error());
  return right;
}

Result<VerifiedToken> TokenKeys::verify(std::string_view token) const {
  const auto refuse = [](std::string why) { return fail(Errc::denied, "the token: " + std::move(why)); };
  if (token.size() > k_most_token_bytes) return refuse("larger than 32 KiB");
  const auto first = token.find('.');
  const auto second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) return refuse("not three parts");
  const auto header_bytes = from_base64url(token.substr(0, first));
  const auto claims = from_base64url(token.substr(first + 1, second - first - 1));
  const auto signature = from_base64url(token.substr(second + 1));
  if (!header_bytes || !claims || !signature || header_bytes->size() > k_most_header_bytes) return refuse("its parts are not base64url");
  const auto header = read_object(text_of(ByteView(*header_bytes)));
  if (!header) return refuse("its header is no JSON object with each name once");
  if (header->contains("crit")) return refuse("its header has a critical part that is not known here");
  const std::string algorithm = text_of_field(*header, "alg");
  constexpr std::array<std::string_view, 4> k_allowed{"RS256", "PS256", "ES256", "EdDSA"};
  if (std::find(k_allowed.begin(), k_allowed.end(), algorithm) == k_allowed.end()) return refuse("the algorithm `" + printable(algorithm.substr(0, 40)) + "` is not accepted");
  if (!is_text_or_absent(*header, "kid")) return refuse("its key id is no text");
  const std::string id = text_of_field(*header, "kid");
  const Key* key = nullptr;
  std::size_t candidates = 0;
  for (const Key& one : keys_) {
    if (!fits(one, algorithm) || (!id.empty() && one.id != id)) continue;
    if (key == nullptr) key = &one;
    ++candidates;
  }
  if (key == nullptr) return fail(Errc::not_found, "the token: no key `" + printable(id.substr(0, 80)) + "` for " + algorithm);
  if (id.empty() && candidates > 1) return refuse("it names no key, and several would fit");
  if (!is_right(*key, algorithm, bytes_of(token.substr(0, second)), *signature)) return refuse("its signature is wrong");
  VerifiedToken verified{algorithm, std::string(text_of(ByteView(*claims)))};
  if (!read_object(verified.claims)) return refuse("its claims are no JSON object with each name once");
  return verified;
}

std::string token_half_hash(std::string_view algorithm, std::string_view access_token) {
  const EVP_MD* digest = algorithm == "EdDSA" ? EVP_sha512() : EVP_sha256();
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int size = 0;
  if (EVP_Digest(access_token.data(), access_token.size(), out.data(), &size, digest, nullptr) != 1) openssl_is_broken("a digest");
  return to_base64url(std::as_bytes(std::span(out).first(size / 2)));
}

}  // namespace sallyport::crypto
