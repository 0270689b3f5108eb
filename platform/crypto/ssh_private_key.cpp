// The file format is OpenSSH's PROTOCOL.key: "openssh-key-v1\0", cipher, kdf, kdf options, number of keys, public keys,
// and one padded block with two equal check numbers in front of the private keys.
#include "platform/crypto/ssh_private_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>

#include "platform/crypto/base64.h"
#include "platform/crypto/openssl_handles.h"
#include "platform/crypto/random.h"

namespace sallyport::crypto {
namespace {

using Number = std::unique_ptr<BIGNUM, FreeWith<BN_clear_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, FreeWith<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, FreeWith<OSSL_PARAM_free>>;
using EcSignature = std::unique_ptr<ECDSA_SIG, FreeWith<ECDSA_SIG_free>>;
using BnContext = std::unique_ptr<BN_CTX, FreeWith<BN_CTX_free>>;

constexpr std::string_view k_begin = "-----BEGIN OPENSSH PRIVATE KEY-----";
constexpr std::string_view k_end = "-----END OPENSSH PRIVATE KEY-----";
constexpr std::string_view k_magic{"openssh-key-v1\0", 15};
constexpr std::size_t k_max_text = 64 * 1024;
constexpr std::size_t k_capacity = 32 * 1024;  // more than any key takes: writers of secrets must not grow

const unsigned char* raw(std::span<const std::byte> bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
int length(std::span<const std::byte> bytes) { return static_cast<int>(bytes.size()); }

struct CurveNames {
  SshKeyType type;
  std::string_view ssh;
  const char* group;
  std::size_t field;
};
constexpr std::array k_curves{
    CurveNames{SshKeyType::ecdsa_p256, "nistp256", "P-256", 32},
    CurveNames{SshKeyType::ecdsa_p384, "nistp384", "P-384", 48},
    CurveNames{SshKeyType::ecdsa_p521, "nistp521", "P-521", 66},
};

const CurveNames* curve_of(SshKeyType type) {
  for (const CurveNames& curve : k_curves)
    if (curve.type == type) return &curve;
  return nullptr;
}

Number number_param(EVP_PKEY* key, const char* name) {
  BIGNUM* value = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &value) != 1) return nullptr;
  return Number(value);
}

/// Wiped when it goes.
struct Scratch {
  Bytes bytes;
  explicit Scratch(std::size_t size) : bytes(size) {}
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    if (!bytes.empty()) OPENSSL_cleanse(bytes.data(), bytes.size());
  }
  [[nodiscard]] unsigned char* data() { return reinterpret_cast<unsigned char*>(bytes.data()); }
};

bool write_number(SshWriter& writer, const BIGNUM* number) {
  if (number == nullptr) return false;
  Scratch bytes(static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, bytes.data());
  writer.mpint(bytes.bytes);
  return true;
}

std::shared_ptr<evp_pkey_st> pair_from_params(const char* algorithm, OSSL_PARAM_BLD* builder) {
  Params params(OSSL_PARAM_BLD_to_param(builder));
  PkeyContextHandle context(EVP_PKEY_CTX_new_from_name(nullptr, algorithm, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, params.get()) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return {key, EVP_PKEY_free};
}

std::shared_ptr<evp_pkey_st> read_rsa(SshReader& reader) {
  const auto number = [&] {
    const auto bytes = reader.mpint();
    return Number(BN_bin2bn(raw(bytes), length(bytes), nullptr));
  };
  const Number n = number(), e = number(), d = number(), iqmp = number(), p = number(), q = number();
  const Number p1(BN_new()), q1(BN_new()), dmp1(BN_secure_new()), dmq1(BN_secure_new());
  const BnContext context(BN_CTX_secure_new());
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!reader.ok() || !n || !e || !d || !iqmp || !p || !q || !p1 || !q1 || !dmp1 || !dmq1 || !context || !builder) return nullptr;
  if (BN_is_zero(p.get()) || BN_is_one(p.get()) || BN_is_zero(q.get()) || BN_is_one(q.get()) ||
      BN_sub(p1.get(), p.get(), BN_value_one()) != 1 || BN_sub(q1.get(), q.get(), BN_value_one()) != 1 ||
      BN_mod(dmp1.get(), d.get(), p1.get(), context.get()) != 1 || BN_mod(dmq1.get(), d.get(), q1.get(), context.get()) != 1)
    return nullptr;
  const std::array<std::pair<const char*, const BIGNUM*>, 8> parts{{{OSSL_PKEY_PARAM_RSA_N, n.get()},
                                                                    {OSSL_PKEY_PARAM_RSA_E, e.get()},
                                                                    {OSSL_PKEY_PARAM_RSA_D, d.get()},
                                                                    {OSSL_PKEY_PARAM_RSA_FACTOR1, p.get()},
                                                                    {OSSL_PKEY_PARAM_RSA_FACTOR2, q.get()},
                                                                    {OSSL_PKEY_PARAM_RSA_EXPONENT1, dmp1.get()},
                                                                    {OSSL_PKEY_PARAM_RSA_EXPONENT2, dmq1.get()},
                                                                    {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, iqmp.get()}}};
  for (const auto& [name, value] : parts)
    if (OSSL_PARAM_BLD_push_BN(builder.get(), name, value) != 1) return nullptr;
  return pair_from_params("RSA", builder.get());
}

std::shared_ptr<evp_pkey_st> read_ecdsa(SshReader& reader, const CurveNames& curve) {
  const std::string_view name = reader.text();
  const auto point = reader.string();
  const auto scalar = reader.mpint();
  if (!reader.ok() || name != curve.ssh || point.empty()) return nullptr;
  const Number secret(BN_bin2bn(raw(scalar), length(scalar), nullptr));
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!secret || !builder ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.group, 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, secret.get()) != 1)
    return nullptr;
  return pair_from_params("EC", builder.get());
}

std::shared_ptr<evp_pkey_st> read_ed25519(SshReader& reader) {
  const auto point = reader.string();
  const auto both = reader.string();
  if (!reader.ok() || point.size() != 32 || both.size() != 64) return nullptr;
  std::shared_ptr<evp_pkey_st> key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, raw(both), 32), EVP_PKEY_free);
  return key;
}

/// The public blob that belongs to a private key; empty when the type is none of ours.
Bytes public_blob_of(EVP_PKEY* key) {
  SshWriter writer;
  if (EVP_PKEY_is_a(key, "ED25519") == 1) {
    std::array<std::byte, 32> point{};
    std::size_t size = point.size();
    if (EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(point.data()), &size) != 1) return {};
    writer.string("ssh-ed25519").string(point);
  } else if (EVP_PKEY_is_a(key, "RSA") == 1) {
    const Number n = number_param(key, OSSL_PKEY_PARAM_RSA_N), e = number_param(key, OSSL_PKEY_PARAM_RSA_E);
    writer.string("ssh-rsa");
    if (!write_number(writer, e.get()) || !write_number(writer, n.get())) return {};
  } else if (EVP_PKEY_is_a(key, "EC") == 1) {
    const Number x = number_param(key, OSSL_PKEY_PARAM_EC_PUB_X), y = number_param(key, OSSL_PKEY_PARAM_EC_PUB_Y);
    std::array<char, 64> group{};
    std::size_t size = 0;
    if (!x || !y || EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group.data(), group.size(), &size) != 1) return {};
    const std::string_view name(group.data(), size);
    for (const CurveNames& curve : k_curves) {
      const bool same = name == curve.group || (curve.field == 32 && name == "prime256v1") ||
                        (curve.field == 48 && name == "secp384r1") || (curve.field == 66 && name == "secp521r1");
      if (!same) continue;
      Bytes point(1 + 2 * curve.field, std::byte{4});
      auto* at = reinterpret_cast<unsigned char*>(point.data());
      if (BN_bn2binpad(x.get(), at + 1, static_cast<int>(curve.field)) < 0 ||
          BN_bn2binpad(y.get(), at + 1 + curve.field, static_cast<int>(curve.field)) < 0)
        return {};
      writer.string(name_of(curve.type)).string(curve.ssh).string(point);
    }
  }
  return writer.take();
}

int refuse_passphrase(char*, int, int, void*) { return -1; }

Result<Bytes> raw_signature(EVP_PKEY* key, const EVP_MD* digest, std::span<const std::byte> data) {
  DigestContextHandle context(EVP_MD_CTX_new());
  std::array<std::byte, 2048> room;  // the largest RSA key we take gives 2048 bytes
  std::size_t size = room.size();
  if (!context || EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(room.data()), &size, raw(data), data.size()) != 1)
    return fail(Errc::internal, "signing: " + take_openssl_error());
  return Bytes(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(size));
}

Result<Bytes> ecdsa_wire(std::span<const std::byte> der) {
  const unsigned char* at = raw(der);
  const EcSignature numbers(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  SshWriter writer;
  if (!numbers || !write_number(writer, ECDSA_SIG_get0_r(numbers.get())) || !write_number(writer, ECDSA_SIG_get0_s(numbers.get())))
    return fail(Errc::internal, "signing: not an ECDSA signature");
  return writer.take();
}

}  // namespace

Result<SshPrivateKey> SshPrivateKey::from_openssl(std::shared_ptr<evp_pkey_st> key) {
  const Bytes blob = key ? public_blob_of(key.get()) : Bytes();
  if (blob.empty()) {
    ERR_clear_error();
    return fail(Errc::invalid, "private key of an unknown or unsupported type");
  }
  auto public_key = SshPublicKey::parse_blob(blob);
  if (!public_key) return tl::unexpected(public_key.error());
  return SshPrivateKey(std::move(*public_key), std::move(key));
}

Result<SshPrivateKey> SshPrivateKey::parse(std::span<const std::byte> bytes) {
  if (bytes.size() > k_max_text) return fail(Errc::invalid, "private key above 64 KiB");
  const std::string_view text = text_of(bytes);
  const std::size_t begin = text.find(k_begin);
  if (begin == std::string_view::npos) {
    const BioHandle bio(BIO_new_mem_buf(bytes.data(), length(bytes)));
    std::shared_ptr<evp_pkey_st> key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, nullptr) : nullptr, EVP_PKEY_free);
    if (!key) {
      ERR_clear_error();
      return fail(Errc::invalid, "not a private key, or one with a passphrase");
    }
    return from_openssl(std::move(key));
  }
  const std::size_t end = text.find(k_end, begin);
  if (end == std::string_view::npos) return fail(Errc::invalid, "private key without its END line");
  Scratch joined(0);
  joined.bytes.reserve(end - begin);
  for (const char c : text.substr(begin + k_begin.size(), end - begin - k_begin.size()))
    if (c != '\n' && c != '\r' && c != ' ' && c != '\t') joined.bytes.push_back(static_cast<std::byte>(c));
  auto decoded = from_base64(text_of(joined.bytes));
  if (!decoded) return fail(Errc::invalid, "private key is not base64");
  auto key = parse_openssh(*decoded);
  if (!decoded->empty()) OPENSSL_cleanse(decoded->data(), decoded->size());
  return key;
}

Result<SshPrivateKey> SshPrivateKey::parse_openssh(std::span<const std::byte> container) {
  SshReader reader(container);
  if (text_of(reader.raw(k_magic.size())) != k_magic) return fail(Errc::invalid, "not an OpenSSH private key");
  const std::string_view cipher = reader.text();
  const std::string_view kdf = reader.text();
  reader.string();
  const std::uint32_t count = reader.u32();
  const auto public_blob = reader.string();
  const auto block = reader.string();
  if (!reader.finished() || count != 1) return fail(Errc::invalid, "OpenSSH private key is cut short or holds several keys");
  if (cipher != "none" || kdf != "none") return fail(Errc::invalid, "the private key has a passphrase; remove it first (ssh-keygen -p)");
  SshReader inner(block);
  const std::uint32_t check = inner.u32();
  if (inner.u32() != check) return fail(Errc::invalid, "OpenSSH private key is broken");
  const std::string_view type = inner.text();
  std::shared_ptr<evp_pkey_st> key;
  if (type == "ssh-ed25519") {
    key = read_ed25519(inner);
  } else if (type == "ssh-rsa") {
    key = read_rsa(inner);
  } else {
    for (const CurveNames& curve : k_curves)
      if (type == name_of(curve.type)) key = read_ecdsa(inner, curve);
  }
  inner.string();  // comment
  std::byte expected{1};
  for (const std::byte padding : inner.rest()) {
    if (padding != expected) return fail(Errc::invalid, "OpenSSH private key has wrong padding");
    expected = static_cast<std::byte>(std::to_integer<unsigned>(expected) + 1);
  }
  if (!inner.ok() || !key) {
    ERR_clear_error();
    return fail(Errc::invalid, "OpenSSH private key is broken or of an unsupported type");
  }
  auto made = from_openssl(std::move(key));
  if (!made) return made;
  if (!std::equal(public_blob.begin(), public_blob.end(), made->public_key_.blob().begin(), made->public_key_.blob().end()))
    return fail(Errc::invalid, "private and public half of the key differ");
  return made;
}

Result<SshPrivateKey> SshPrivateKey::generate(SshKeyType type, unsigned bits) {
  EVP_PKEY* key = nullptr;
  if (type == SshKeyType::ed25519) {
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  } else if (type == SshKeyType::rsa) {
    if (bits < 2048 || bits > 16384) return fail(Errc::invalid, "RSA keys have 2048 to 16384 bits");
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<std::size_t>(bits));
  } else if (const CurveNames* curve = curve_of(type)) {
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve->group);
  } else {
    return fail(Errc::invalid, "security keys are made by their device");
  }
  if (key == nullptr) return fail(Errc::internal, "making a key: " + take_openssl_error());
  return from_openssl({key, EVP_PKEY_free});
}

Result<Bytes> SshPrivateKey::sign(std::span<const std::byte> data, std::string_view algorithm) const {
  const SshKeyType type = public_key_.type();
  const bool rsa = type == SshKeyType::rsa;
  if (algorithm.empty()) algorithm = rsa ? "rsa-sha2-512" : public_key_.name();
  const EVP_MD* digest = nullptr;
  if (rsa) {
    if (algorithm != "rsa-sha2-256" && algorithm != "rsa-sha2-512") return fail(Errc::invalid, "signature algorithm does not belong to the key");
    digest = algorithm == "rsa-sha2-256" ? EVP_sha256() : EVP_sha512();
  } else if (algorithm != public_key_.name()) {
    return fail(Errc::invalid, "signature algorithm does not belong to the key");
  } else if (type == SshKeyType::ecdsa_p256) {
    digest = EVP_sha256();
  } else if (type == SshKeyType::ecdsa_p384) {
    digest = EVP_sha384();
  } else if (type == SshKeyType::ecdsa_p521) {
    digest = EVP_sha512();
  }
  auto bytes = raw_signature(key_.get(), digest, data);
  if (bytes && curve_of(type) != nullptr) bytes = ecdsa_wire(*bytes);
  if (!bytes) return bytes;
  return SshWriter().string(algorithm).string(*bytes).take();
}

Result<Secret> SshPrivateKey::openssh_text(std::string_view comment) const {
  SshWriter block(k_capacity);
  const std::uint32_t check = SshReader(random_bytes(system_random(), 4)).u32();
  block.u32(check).u32(check).string(public_key_.name());
  if (public_key_.type() == SshKeyType::ed25519) {
    Scratch both(64);
    std::size_t secret_size = 32, public_size = 32;
    if (EVP_PKEY_get_raw_private_key(key_.get(), both.data(), &secret_size) != 1 ||
        EVP_PKEY_get_raw_public_key(key_.get(), both.data() + 32, &public_size) != 1)
      return fail(Errc::internal, "writing a key: " + take_openssl_error());
    block.string(std::span<const std::byte>(both.bytes).subspan(32)).string(both.bytes);
  } else if (public_key_.type() == SshKeyType::rsa) {
    for (const char* part : {OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
                             OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2})
      if (!write_number(block, number_param(key_.get(), part).get())) return fail(Errc::internal, "writing a key: " + take_openssl_error());
  } else {
    SshReader reader(public_key_.blob());
    reader.string();
    const auto curve = reader.string();
    const auto point = reader.string();
    block.string(curve).string(point);
    if (!write_number(block, number_param(key_.get(), OSSL_PKEY_PARAM_PRIV_KEY).get()))
      return fail(Errc::internal, "writing a key: " + take_openssl_error());
  }
  block.string(comment);
  for (std::uint8_t padding = 1; block.size() % 8 != 0; ++padding) block.u8(padding);
  SshWriter container(k_capacity);
  container.raw(bytes_of(k_magic)).string("none").string("none").string("").u32(1).string(public_key_.blob()).string(block);

  std::string encoded = to_base64(container.view());
  SshWriter text(2 * k_capacity);
  text.raw(bytes_of(k_begin)).raw(bytes_of("\n"));
  for (std::size_t at = 0; at < encoded.size(); at += 70)
    text.raw(bytes_of(std::string_view(encoded).substr(at, 70))).raw(bytes_of("\n"));
  text.raw(bytes_of(k_end)).raw(bytes_of("\n"));
  OPENSSL_cleanse(encoded.data(), encoded.size());
  return Secret(text.view());
}

}  // namespace sallyport::crypto
