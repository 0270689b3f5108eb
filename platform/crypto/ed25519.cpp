#include "platform/crypto/ed25519.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "platform/crypto/openssl_handles.h"

namespace sallyport::crypto {

void Ed25519PrivateKey::Free::operator()(evp_pkey_st* key) const noexcept { EVP_PKEY_free(key); }

Ed25519PrivateKey Ed25519PrivateKey::generate(Random& random) {
  const Secret seed = random_secret(random, 32);
  auto key = from_seed(seed.reveal());
  if (!key) openssl_is_broken("making an Ed25519 key");
  return std::move(*key);
}

Result<Ed25519PrivateKey> Ed25519PrivateKey::from_seed(ByteView seed) {
  if (seed.size() != 32) return fail(Errc::invalid, "an Ed25519 seed has 32 bytes");
  Ed25519PrivateKey result;
  result.key_.reset(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(seed.data()), seed.size()));
  std::size_t length = result.public_key_.size();
  if (!result.key_ ||
      EVP_PKEY_get_raw_public_key(result.key_.get(), reinterpret_cast<unsigned char*>(result.public_key_.data()), &length) != 1)
    return fail(Errc::internal, "Ed25519: " + take_openssl_error());
  return result;
}

Secret Ed25519PrivateKey::seed() const {
  std::array<std::byte, 32> raw{};
  std::size_t length = raw.size();
  if (EVP_PKEY_get_raw_private_key(key_.get(), reinterpret_cast<unsigned char*>(raw.data()), &length) != 1)
    openssl_is_broken("reading an Ed25519 key");
  Secret result{ByteView(raw)};
  OPENSSL_cleanse(raw.data(), raw.size());
  return result;
}

Ed25519Signature Ed25519PrivateKey::sign(ByteView message) const {
  Ed25519Signature signature{};
  std::size_t length = signature.size();
  DigestContextHandle context(EVP_MD_CTX_new());
  if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length,
                     reinterpret_cast<const unsigned char*>(message.data()), message.size()) != 1)
    openssl_is_broken("signing with Ed25519");
  return signature;
}

bool ed25519_verify(ByteView public_key, ByteView message, ByteView signature) noexcept {
  if (public_key.size() != 32 || signature.size() != 64) return false;
  PkeyHandle key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(public_key.data()),
                                             public_key.size()));
  DigestContextHandle context(EVP_MD_CTX_new());
  const bool right = key && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
                     EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                                      reinterpret_cast<const unsigned char*>(message.data()), message.size()) == 1;
  if (!right) ERR_clear_error();
  return right;
}

}  // namespace sallyport::crypto
