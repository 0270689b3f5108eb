#include "platform/crypto/random.h"

#include <openssl/rand.h>

#include <algorithm>
#include <climits>

#include "platform/crypto/openssl_handles.h"

namespace sallyport::crypto {
namespace {

class SystemRandom final : public Random {
 public:
  void fill(std::span<std::byte> bytes) override {
    if (bytes.size() > INT_MAX || RAND_priv_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size())) != 1)
      openssl_is_broken("making random bytes");
  }
};

}  // namespace

Random& system_random() {
  static SystemRandom random;
  return random;
}

void PooledRandom::fill(std::span<std::byte> bytes) {
  if (bytes.size() > pool_.size()) return source_.fill(bytes);
  if (left_ < bytes.size()) {
    source_.fill(pool_);
    left_ = pool_.size();
  }
  left_ -= bytes.size();
  const auto given = std::span(pool_).subspan(left_, bytes.size());
  std::copy(given.begin(), given.end(), bytes.begin());
  OPENSSL_cleanse(given.data(), given.size());
}

Bytes random_bytes(Random& random, std::size_t count) {
  Bytes bytes(count);
  random.fill(bytes);
  return bytes;
}

Secret random_secret(Random& random, std::size_t count) {
  Bytes bytes = random_bytes(random, count);
  Secret secret{ByteView(bytes)};
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return secret;
}

}  // namespace sallyport::crypto
