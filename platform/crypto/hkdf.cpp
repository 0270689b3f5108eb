#include "platform/crypto/hkdf.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "platform/crypto/hmac.h"
#include "platform/crypto/openssl_handles.h"

namespace sallyport::crypto {

Secret hkdf_sha256(ByteView input_key, ByteView salt, ByteView info, std::size_t length) {
  if (length > 255 * sizeof(Hash256)) openssl_is_broken("HKDF: more output than RFC 5869 allows");
  Hash256 pseudo_random_key = hmac_sha256(salt, input_key);
  Bytes output(length);
  Bytes round;  // T(n-1) || info || n
  round.reserve(sizeof(Hash256) + info.size() + 1);
  Hash256 block{};
  for (std::size_t done = 0, counter = 1; done < length; ++counter) {
    OPENSSL_cleanse(round.data(), round.size());
    round.clear();
    if (counter > 1) round.insert(round.end(), block.begin(), block.end());
    round.insert(round.end(), info.begin(), info.end());
    round.push_back(static_cast<std::byte>(counter));
    block = hmac_sha256(pseudo_random_key, round);
    const std::size_t part = std::min(block.size(), length - done);
    std::copy_n(block.begin(), part, output.begin() + static_cast<std::ptrdiff_t>(done));
    done += part;
  }
  Secret result{ByteView(output)};
  OPENSSL_cleanse(pseudo_random_key.data(), pseudo_random_key.size());
  OPENSSL_cleanse(block.data(), block.size());
  OPENSSL_cleanse(round.data(), round.size());
  OPENSSL_cleanse(output.data(), output.size());
  return result;
}

}  // namespace sallyport::crypto
