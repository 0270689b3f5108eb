#include "platform/crypto/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "platform/crypto/openssl_handles.h"

namespace sallyport::crypto {
namespace {

// Fetched once: looking an algorithm up costs more than hashing a short text. Never freed: used until the process ends.
const EVP_MD* sha256_method() {
  static const EVP_MD* method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return method;
}
const EVP_MD* sha512_method() {
  static const EVP_MD* method = EVP_MD_fetch(nullptr, "SHA512", nullptr);
  return method;
}

detail::DigestContext make_context(const EVP_MD* method) {
  detail::DigestContext context(EVP_MD_CTX_new());
  if (!context || method == nullptr || EVP_DigestInit_ex2(context.get(), method, nullptr) != 1) openssl_is_broken("starting a digest");
  return context;
}

void feed(EVP_MD_CTX* context, ByteView bytes) {
  if (EVP_DigestUpdate(context, bytes.data(), bytes.size()) != 1) openssl_is_broken("hashing");
}

template <std::size_t Size>
std::array<std::byte, Size> take(EVP_MD_CTX* context) {
  std::array<std::byte, Size> digest{};
  unsigned length = 0;
  if (EVP_DigestFinal_ex(context, reinterpret_cast<unsigned char*>(digest.data()), &length) != 1 || length != Size ||
      EVP_DigestInit_ex2(context, nullptr, nullptr) != 1)
    openssl_is_broken("finishing a digest");
  return digest;
}

}  // namespace

void detail::DigestContextFree::operator()(evp_md_ctx_st* context) const noexcept { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(make_context(sha256_method())) {}
Sha256::Sha256(const Sha256& other) : context_(EVP_MD_CTX_new()) {
  if (!context_ || EVP_MD_CTX_copy_ex(context_.get(), other.context_.get()) != 1) openssl_is_broken("copying a digest");
}
Sha256& Sha256::operator=(const Sha256& other) {
  if (this != &other && EVP_MD_CTX_copy_ex(context_.get(), other.context_.get()) != 1) openssl_is_broken("copying a digest");
  return *this;
}
Sha256& Sha256::update(ByteView bytes) noexcept {
  feed(context_.get(), bytes);
  return *this;
}
Hash256 Sha256::finish() noexcept { return take<32>(context_.get()); }

Sha512::Sha512() : context_(make_context(sha512_method())) {}
Sha512& Sha512::update(ByteView bytes) noexcept {
  feed(context_.get(), bytes);
  return *this;
}
Hash512 Sha512::finish() noexcept { return take<64>(context_.get()); }

Hash256 sha256(ByteView bytes) noexcept {
  thread_local Sha256 digest;
  return digest.update(bytes).finish();
}
Hash256 sha256(std::string_view text) noexcept { return sha256(bytes_of(text)); }
Hash512 sha512(ByteView bytes) noexcept {
  thread_local Sha512 digest;
  return digest.update(bytes).finish();
}

bool equal_constant_time(ByteView left, ByteView right) noexcept {
  return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

}  // namespace sallyport::crypto
