// platform/crypto/random.h -- unpredictable bytes, as a parameter.
#pragma once

#include <cstddef>
#include <span>

#include "platform/model/bytes.h"
#include "platform/model/secret.h"

namespace sallyport::crypto {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<std::byte> bytes) = 0;
};

/// OpenSSL's generator: reseeds itself after a fork. Thread-safe. Ends the process when it cannot deliver.
[[nodiscard]] Random& system_random();

[[nodiscard]] Bytes random_bytes(Random& random, std::size_t count);
[[nodiscard]] Secret random_secret(Random& random, std::size_t count);

}  // namespace sallyport::crypto
