// platform/crypto/aead.h -- AES-256-GCM under one key, without an allocation per message.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "platform/model/bytes.h"

struct evp_cipher_ctx_st;

namespace sallyport::crypto {

constexpr std::size_t k_aead_key_size = 32;
constexpr std::size_t k_aead_nonce_size = 12;
constexpr std::size_t k_aead_tag_size = 16;

using Nonce = std::array<std::byte, k_aead_nonce_size>;
using Tag = std::array<std::byte, k_aead_tag_size>;

/// The nonce of message `sequence` under one key: the number, little-endian, then four zero bytes.
[[nodiscard]] Nonce nonce_of(std::uint64_t sequence) noexcept;

/// Holds the expanded key; a nonce must never be used twice with it. Not thread-safe. The key is wiped with the object.
class Aes256Gcm {
 public:
  /// `key` must have 32 bytes, else the process ends.
  explicit Aes256Gcm(ByteView key);
  Aes256Gcm(Aes256Gcm&&) noexcept = default;
  Aes256Gcm& operator=(Aes256Gcm&&) noexcept = default;
  ~Aes256Gcm() = default;

  /// Writes exactly plain.size() bytes to `sealed` (which may be `plain` itself) and the tag behind them or elsewhere.
  void seal(const Nonce& nonce, ByteView additional, ByteView plain, std::byte* sealed, std::span<std::byte, k_aead_tag_size> tag) noexcept;

  /// Writes exactly sealed.size() bytes to `plain` (which may be `sealed` itself). False: the tag is wrong, and what
  /// stands in `plain` has been overwritten with zeros.
  [[nodiscard]] bool open(const Nonce& nonce, ByteView additional, ByteView sealed, std::span<const std::byte, k_aead_tag_size> tag,
                          std::byte* plain) noexcept;

 private:
  struct Free {
    void operator()(evp_cipher_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_cipher_ctx_st, Free> sealing_;
  std::unique_ptr<evp_cipher_ctx_st, Free> opening_;
};

}  // namespace sallyport::crypto
