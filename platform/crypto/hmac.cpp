#include "platform/crypto/hmac.h"

#include <openssl/hmac.h>

#include <climits>

#include "platform/crypto/openssl_handles.h"

namespace sallyport::crypto {

Hash256 hmac_sha256(ByteView key, ByteView data) noexcept {
  static const unsigned char k_empty = 0;  // a null key means "the last one" to OpenSSL
  Hash256 mac{};
  unsigned length = 0;
  if (key.size() > INT_MAX ||
      HMAC(EVP_sha256(), key.empty() ? &k_empty : reinterpret_cast<const unsigned char*>(key.data()), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(data.data()), data.size(), reinterpret_cast<unsigned char*>(mac.data()),
           &length) == nullptr ||
      length != mac.size())
    openssl_is_broken("HMAC");
  return mac;
}

}  // namespace sallyport::crypto
