// These calls are called deprecated since OpenSSL 3.0 because no provider stands behind them; that is why they are fast.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "platform/crypto/short_hash.h"

#include <openssl/sha.h>

#include "platform/crypto/openssl_handles.h"

namespace sallyport::crypto {

Hash256 short_sha256(ByteView bytes) noexcept {
  SHA256_CTX context;
  Hash256 digest;
  if (SHA256_Init(&context) != 1 || SHA256_Update(&context, bytes.data(), bytes.size()) != 1 ||
      SHA256_Final(reinterpret_cast<unsigned char*>(digest.data()), &context) != 1)
    openssl_is_broken("hashing");
  return digest;
}

}  // namespace sallyport::crypto
