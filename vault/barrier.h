// vault/barrier.h -- the only code that turns vault bytes into plaintext.
//
//   master key material (seal source)
//     -> sealing key: HKDF-SHA-256 with the header's salt; for a passphrase Argon2id
//        -> key-encryption key: 32 random bytes, AES-256-GCM under the sealing key, in the seal header file
//           -> data key: 32 fresh random bytes for each secret version, AES-256-GCM under the key-encryption key
//              -> the value: AES-256-GCM under its data key
// The additional data of both seals of a value bind its name, version and kind: values cannot be swapped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "platform/crypto/aead.h"
#include "platform/crypto/random.h"
#include "platform/model/bytes.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"
#include "vault/seal/seal_source.h"

namespace sallyport::vault {

/// What a sealed value belongs to.
struct Binding {
  std::string_view name;
  std::uint32_t version = 0;
  std::string_view kind;
};

/// Both as nonce || ciphertext || tag.
struct SealedValue {
  Bytes data_key;
  Bytes value;
};

/// Owns the key-encryption key while unsealed. One thread.
class Barrier {
 public:
  /// Makes a new key-encryption key and writes the header file (temporary file, fsync, rename). The barrier is unsealed.
  /// Errc::conflict when the file exists.
  [[nodiscard]] static Result<Barrier> create(const std::filesystem::path& header, SealKind kind, const Secret& material, crypto::Random& random);
  /// Reads the header; the barrier is sealed. Errc::not_found, Errc::corrupt.
  [[nodiscard]] static Result<Barrier> open(const std::filesystem::path& header, crypto::Random& random);

  /// Errc::denied: not the master key of this vault. Nothing is written in any case.
  Result<void> unseal(const Secret& material);
  void seal() noexcept { key_.reset(); }
  [[nodiscard]] bool is_sealed() const noexcept { return !key_.has_value(); }
  [[nodiscard]] SealKind kind() const noexcept { return kind_; }
  /// Counts key-encryption keys; 1 until there is rotation. Stored with each value.
  [[nodiscard]] std::uint32_t generation() const noexcept { return generation_; }

  /// Errc::sealed.
  [[nodiscard]] Result<SealedValue> protect(const Binding& binding, const Secret& plain);
  /// Errc::sealed; Errc::corrupt: not a value of this name, version and kind, or changed.
  [[nodiscard]] Result<Secret> reveal(const Binding& binding, const SealedValue& sealed);

 private:
  explicit Barrier(crypto::Random& random) : random_(&random) {}
  [[nodiscard]] Result<Secret> sealing_key(const Secret& material) const;
  [[nodiscard]] std::string header_text() const;
  [[nodiscard]] Result<void> read_header(std::string_view text);

  crypto::Random* random_;
  SealKind kind_ = SealKind::file;
  std::uint32_t generation_ = 1;
  std::uint32_t memory_kib_ = 0;
  std::uint32_t passes_ = 0;
  std::uint32_t lanes_ = 0;
  Bytes salt_;
  Bytes sealed_key_;  ///< nonce || ciphertext || tag
  std::optional<crypto::Aes256Gcm> key_;
};

/// Writes `content` beside `file`, syncs it, renames it over, syncs the folder. Mode 0600.
[[nodiscard]] Result<void> write_file_durably(const std::filesystem::path& file, std::string_view content);

}  // namespace sallyport::vault
