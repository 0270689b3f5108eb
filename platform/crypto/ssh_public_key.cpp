#include "platform/crypto/ssh_public_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>

#include "platform/crypto/base64.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/openssl_handles.h"

namespace sallyport::crypto {
namespace {

using Number = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, FreeWith<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, FreeWith<OSSL_PARAM_free>>;
using EcSignature = std::unique_ptr<ECDSA_SIG, FreeWith<ECDSA_SIG_free>>;

const unsigned char* raw(std::span<const std::byte> bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
int length(std::span<const std::byte> bytes) { return static_cast<int>(bytes.size()); }

constexpr unsigned k_min_rsa_bits = 2048;
constexpr unsigned k_max_rsa_bits = 16384;
constexpr std::size_t k_max_exponent_bytes = 8;

std::shared_ptr<evp_pkey_st> from_params(const char* algorithm, OSSL_PARAM_BLD* builder) {
  Params params(OSSL_PARAM_BLD_to_param(builder));
  PkeyContextHandle context(EVP_PKEY_CTX_new_from_name(nullptr, algorithm, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1)
    return nullptr;
  return {key, EVP_PKEY_free};
}

std::shared_ptr<evp_pkey_st> ed25519_key(std::span<const std::byte> point) {
  if (point.size() != 32) return nullptr;
  return {EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw(point), point.size()), EVP_PKEY_free};
}

std::shared_ptr<evp_pkey_st> ecdsa_key(const char* group, std::span<const std::byte> point) {
  // Uncompressed points only, as RFC 5656 section 3.1 lets everybody expect.
  if (point.empty() || point[0] != std::byte{4}) return nullptr;
  ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, group, 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1)
    return nullptr;
  return from_params("EC", builder.get());
}

std::shared_ptr<evp_pkey_st> rsa_key(std::span<const std::byte> exponent, std::span<const std::byte> modulus) {
  Number e(BN_bin2bn(raw(exponent), length(exponent), nullptr));
  Number n(BN_bin2bn(raw(modulus), length(modulus), nullptr));
  ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!e || !n || !builder || BN_is_odd(e.get()) == 0 || BN_is_one(e.get()) == 1 || BN_is_odd(n.get()) == 0 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1)
    return nullptr;
  return from_params("RSA", builder.get());
}

struct CurveNames {
  SshKeyType type;
  const char* ssh;
  const char* group;
  unsigned bits;
};
constexpr std::array k_curves{
    CurveNames{SshKeyType::ecdsa_p256, "nistp256", "P-256", 256},
    CurveNames{SshKeyType::ecdsa_p384, "nistp384", "P-384", 384},
    CurveNames{SshKeyType::ecdsa_p521, "nistp521", "P-521", 521},
};

bool verify_with(evp_pkey_st* key, const EVP_MD* digest, std::span<const std::byte> signature,
                 std::span<const std::byte> data) {
  DigestContextHandle context(EVP_MD_CTX_new());
  return context && EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), raw(signature), signature.size(), raw(data), data.size()) == 1;
}

bool verify_ecdsa(evp_pkey_st* key, const EVP_MD* digest, std::span<const std::byte> signature,
                  std::span<const std::byte> data) {
  SshReader reader(signature);
  const auto r = reader.mpint();
  const auto s = reader.mpint();
  if (!reader.finished() || r.size() > 66 || s.size() > 66) return false;
  EcSignature numbers(ECDSA_SIG_new());
  Number r_number(BN_bin2bn(raw(r), length(r), nullptr));
  Number s_number(BN_bin2bn(raw(s), length(s), nullptr));
  if (!numbers || !r_number || !s_number ||
      ECDSA_SIG_set0(numbers.get(), r_number.release(), s_number.release()) != 1)
    return false;
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(numbers.get(), &der);
  if (size <= 0) return false;
  const bool right = verify_with(key, digest, std::as_bytes(std::span(der, static_cast<std::size_t>(size))), data);
  OPENSSL_free(der);
  return right;
}

bool verify_rsa(evp_pkey_st* key, const EVP_MD* digest, std::span<const std::byte> signature,
                std::span<const std::byte> data) {
  // Some signers drop leading zeros (RFC 8332 section 3 says a receiver should accept that).
  const auto size = static_cast<std::size_t>(EVP_PKEY_get_size(key));
  if (signature.size() > size || signature.empty()) return false;
  Bytes padded(size, std::byte{0});
  std::copy(signature.begin(), signature.end(), padded.end() - static_cast<std::ptrdiff_t>(signature.size()));
  return verify_with(key, digest, padded, data);
}

constexpr std::array<std::string_view, 8> k_modern{
    "ssh-ed25519",         "rsa-sha2-512",        "rsa-sha2-256",
    "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"};

}  // namespace

std::string_view name_of(SshKeyType type) noexcept {
  switch (type) {
    case SshKeyType::ed25519: return "ssh-ed25519";
    case SshKeyType::rsa: return "ssh-rsa";
    case SshKeyType::ecdsa_p256: return "ecdsa-sha2-nistp256";
    case SshKeyType::ecdsa_p384: return "ecdsa-sha2-nistp384";
    case SshKeyType::ecdsa_p521: return "ecdsa-sha2-nistp521";
    case SshKeyType::sk_ed25519: return "sk-ssh-ed25519@openssh.com";
    case SshKeyType::sk_ecdsa_p256: return "sk-ecdsa-sha2-nistp256@openssh.com";
  }
  return {};
}

std::span<const std::string_view> modern_signature_algorithms() noexcept { return k_modern; }

Result<SshPublicKey> SshPublicKey::parse_blob(std::span<const std::byte> blob) {
  SshReader reader(blob);
  const std::string_view name = reader.text();
  SshPublicKey key;
  if (name == name_of(SshKeyType::ed25519) || name == name_of(SshKeyType::sk_ed25519)) {
    key.type_ = name == name_of(SshKeyType::ed25519) ? SshKeyType::ed25519 : SshKeyType::sk_ed25519;
    key.bits_ = 256;
    key.key_ = ed25519_key(reader.string());
  } else if (name == name_of(SshKeyType::rsa)) {
    const auto exponent = reader.mpint();
    const auto modulus = reader.mpint();
    if (!reader.finished() || modulus.empty() || exponent.empty()) return fail(Errc::invalid, "not an RSA public key");
    unsigned bits = static_cast<unsigned>(modulus.size()) * 8;
    for (auto top = std::to_integer<unsigned>(modulus[0]); top < 0x80; top <<= 1) --bits;
    if (bits < k_min_rsa_bits || bits > k_max_rsa_bits)
      return fail(Errc::invalid, "RSA key of " + std::to_string(bits) + " bits: at least 2048 and at most 16384 are taken");
    if (exponent.size() > k_max_exponent_bytes) return fail(Errc::invalid, "RSA key with an exponent above 64 bits");
    key.type_ = SshKeyType::rsa;
    key.bits_ = bits;
    key.key_ = rsa_key(exponent, modulus);
  } else if (name == name_of(SshKeyType::sk_ecdsa_p256)) {
    const std::string_view curve = reader.text();
    key.type_ = SshKeyType::sk_ecdsa_p256;
    key.bits_ = 256;
    const auto point = reader.string();
    if (curve == "nistp256") key.key_ = ecdsa_key("P-256", point);
  } else if (name.starts_with("ecdsa-sha2-nistp")) {
    const auto curve = std::find_if(k_curves.begin(), k_curves.end(),
                                    [&](const CurveNames& names) { return name == name_of(names.type); });
    if (curve == k_curves.end()) return fail(Errc::invalid, "unknown ECDSA curve in key type");
    if (reader.text() != curve->ssh) return fail(Errc::invalid, "ECDSA key type and curve differ");
    key.type_ = curve->type;
    key.bits_ = curve->bits;
    key.key_ = ecdsa_key(curve->group, reader.string());
  } else if (name.find("-cert-v0") != std::string_view::npos) {
    return fail(Errc::invalid, "a certificate stands where a plain key is needed");
  } else {
    return fail(Errc::invalid, "unknown or unsupported key type");
  }
  if (is_security_key(key.type_)) {
    key.application_ = std::string(reader.text());
    if (key.application_.empty()) return fail(Errc::invalid, "security key without an application");
  }
  if (!reader.finished()) return fail(Errc::invalid, "public key is cut short or has bytes left over");
  if (!key.key_) return fail(Errc::invalid, "public key holds no valid key of its type");
  key.blob_.assign(blob.begin(), blob.end());
  return key;
}

Result<SshPublicKey> SshPublicKey::parse_line(std::string_view line) {
  auto parsed = parse_authorized_key(line);
  if (!parsed) return tl::unexpected(parsed.error());
  if (!parsed->options.empty()) return fail(Errc::invalid, "options stand where a plain key line is needed");
  if (!parsed->key) return fail(Errc::invalid, "a certificate stands where a plain key is needed");
  return std::move(*parsed->key);
}

std::string SshPublicKey::fingerprint() const { return ssh_fingerprint(blob_); }

std::string SshPublicKey::line() const { return std::string(name()) + " " + to_base64(blob_); }

Result<SshSignatureFacts> SshPublicKey::verify(std::span<const std::byte> signature, std::span<const std::byte> data,
                                               std::span<const std::string_view> allowed) const {
  SshReader reader(signature);
  const std::string_view algorithm = reader.text();
  const auto bytes = reader.string();
  SshSignatureFacts facts;
  std::uint8_t flags = 0;
  if (is_security_key(type_)) {
    facts.security_key = true;
    flags = reader.u8();
    facts.counter = reader.u32();
    facts.user_present = (flags & 0x01) != 0;
    facts.user_verified = (flags & 0x04) != 0;
  }
  if (!reader.finished()) return fail(Errc::invalid, "not an SSH signature of this key type");
  facts.algorithm = std::string(algorithm);
  if (std::find(allowed.begin(), allowed.end(), algorithm) == allowed.end())
    return fail(Errc::denied, "signature algorithm is not allowed");
  const bool belongs = type_ == SshKeyType::rsa ? algorithm == "rsa-sha2-256" || algorithm == "rsa-sha2-512"
                                                : algorithm == name();
  if (!belongs) return fail(Errc::denied, "signature algorithm does not belong to the key");

  bool right = false;
  switch (type_) {
    case SshKeyType::ed25519: right = bytes.size() == 64 && verify_with(key_.get(), nullptr, bytes, data); break;
    case SshKeyType::rsa:
      right = verify_rsa(key_.get(), algorithm == "rsa-sha2-256" ? EVP_sha256() : EVP_sha512(), bytes, data);
      break;
    case SshKeyType::ecdsa_p256: right = verify_ecdsa(key_.get(), EVP_sha256(), bytes, data); break;
    case SshKeyType::ecdsa_p384: right = verify_ecdsa(key_.get(), EVP_sha384(), bytes, data); break;
    case SshKeyType::ecdsa_p521: right = verify_ecdsa(key_.get(), EVP_sha512(), bytes, data); break;
    case SshKeyType::sk_ed25519:
    case SshKeyType::sk_ecdsa_p256: {
      // PROTOCOL.u2f: sha256(application) || flags || counter || sha256(message)
      SshWriter signed_bytes;
      signed_bytes.raw(sha256(application_)).u8(flags).u32(facts.counter).raw(sha256(data));
      right = type_ == SshKeyType::sk_ed25519
                  ? bytes.size() == 64 && verify_with(key_.get(), nullptr, bytes, signed_bytes.view())
                  : verify_ecdsa(key_.get(), EVP_sha256(), bytes, signed_bytes.view());
      break;
    }
  }
  if (!right) return fail(Errc::denied, "signature does not verify");
  return facts;
}

std::string ssh_fingerprint(std::span<const std::byte> blob) { return "SHA256:" + to_base64_unpadded(sha256(blob)); }

}  // namespace sallyport::crypto
