// platform/crypto/ed25519.h -- signatures (RFC 8032).
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "platform/crypto/random.h"
#include "platform/model/bytes.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"

struct evp_pkey_st;

namespace sallyport::crypto {

using Ed25519PublicKey = std::array<std::byte, 32>;
using Ed25519Signature = std::array<std::byte, 64>;

class Ed25519PrivateKey {
 public:
  [[nodiscard]] static Ed25519PrivateKey generate(Random& random);
  /// Errc::invalid when `seed` is not 32 bytes.
  [[nodiscard]] static Result<Ed25519PrivateKey> from_seed(ByteView seed);

  [[nodiscard]] Secret seed() const;
  [[nodiscard]] const Ed25519PublicKey& public_key() const noexcept { return public_key_; }
  [[nodiscard]] Ed25519Signature sign(ByteView message) const;

 private:
  struct Free {
    void operator()(evp_pkey_st* key) const noexcept;
  };
  Ed25519PrivateKey() = default;
  std::unique_ptr<evp_pkey_st, Free> key_;
  Ed25519PublicKey public_key_{};
};

/// False also for keys and signatures of a wrong size.
[[nodiscard]] bool ed25519_verify(ByteView public_key, ByteView message, ByteView signature) noexcept;

}  // namespace sallyport::crypto
