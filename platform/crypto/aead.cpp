#include "platform/crypto/aead.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
#include <climits>

#include "platform/crypto/openssl_handles.h"

namespace sallyport::crypto {
namespace {

const EVP_CIPHER* gcm_method() {
  static const EVP_CIPHER* method = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  return method;
}

const unsigned char* raw(ByteView bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

int length_of(ByteView bytes) {
  if (bytes.size() > INT_MAX) openssl_is_broken("AES-GCM: a message over 2 GiB");
  return static_cast<int>(bytes.size());
}

}  // namespace

Nonce nonce_of(std::uint64_t sequence) noexcept {
  Nonce nonce{};
  for (std::size_t i = 0; i < 8; ++i) nonce[i] = static_cast<std::byte>(sequence >> (8 * i));
  return nonce;
}

void Aes256Gcm::Free::operator()(evp_cipher_ctx_st* context) const noexcept { EVP_CIPHER_CTX_free(context); }

Aes256Gcm::Aes256Gcm(ByteView key) : sealing_(EVP_CIPHER_CTX_new()), opening_(EVP_CIPHER_CTX_new()) {
  if (key.size() != k_aead_key_size || !sealing_ || !opening_ || gcm_method() == nullptr ||
      EVP_EncryptInit_ex2(sealing_.get(), gcm_method(), raw(key), nullptr, nullptr) != 1 ||
      EVP_DecryptInit_ex2(opening_.get(), gcm_method(), raw(key), nullptr, nullptr) != 1)
    openssl_is_broken("setting an AES-256-GCM key");
}

void Aes256Gcm::seal(const Nonce& nonce, ByteView additional, ByteView plain, std::byte* sealed,
                     std::span<std::byte, k_aead_tag_size> tag) noexcept {
  EVP_CIPHER_CTX* context = sealing_.get();
  int written = 0;
  bool right = EVP_EncryptInit_ex2(context, nullptr, nullptr, raw(nonce), nullptr) == 1;
  if (right && !additional.empty()) right = EVP_EncryptUpdate(context, nullptr, &written, raw(additional), length_of(additional)) == 1;
  if (right && !plain.empty()) right = EVP_EncryptUpdate(context, raw(sealed), &written, raw(plain), length_of(plain)) == 1;
  unsigned char rest[EVP_MAX_BLOCK_LENGTH];  // GCM leaves nothing for the end
  if (!right || EVP_EncryptFinal_ex(context, rest, &written) != 1 ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(k_aead_tag_size), tag.data()) != 1)
    openssl_is_broken("sealing");
}

bool Aes256Gcm::open(const Nonce& nonce, ByteView additional, ByteView sealed, std::span<const std::byte, k_aead_tag_size> tag,
                     std::byte* plain) noexcept {
  EVP_CIPHER_CTX* context = opening_.get();
  int written = 0;
  Tag wanted;
  std::copy(tag.begin(), tag.end(), wanted.begin());
  bool right = EVP_DecryptInit_ex2(context, nullptr, nullptr, raw(nonce), nullptr) == 1 &&
               EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(k_aead_tag_size), wanted.data()) == 1;
  if (right && !additional.empty()) right = EVP_DecryptUpdate(context, nullptr, &written, raw(additional), length_of(additional)) == 1;
  if (right && !sealed.empty()) right = EVP_DecryptUpdate(context, raw(plain), &written, raw(sealed), length_of(sealed)) == 1;
  unsigned char rest[EVP_MAX_BLOCK_LENGTH];
  if (right && EVP_DecryptFinal_ex(context, rest, &written) == 1) return true;
  ERR_clear_error();
  if (!sealed.empty()) OPENSSL_cleanse(plain, sealed.size());
  return false;
}

}  // namespace sallyport::crypto
