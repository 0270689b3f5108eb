// platform/crypto/random.h -- unpredictable bytes, as a parameter.
#pragma once

#include <array>
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

/// Fetches many bytes at a time for names and other small things that are no secret: a call of the system's generator costs as
/// much as hashing a page. Of one thread; not to be carried over a fork, where both sides would hand out the same bytes.
class PooledRandom final : public Random {
 public:
  explicit PooledRandom(Random& source) : source_(source) {}
  void fill(std::span<std::byte> bytes) override;

 private:
  Random& source_;
  std::array<std::byte, 512> pool_{};
  std::size_t left_ = 0;
};

[[nodiscard]] Bytes random_bytes(Random& random, std::size_t count);
[[nodiscard]] Secret random_secret(Random& random, std::size_t count);

}  // namespace sallyport::crypto
