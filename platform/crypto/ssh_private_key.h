// platform/crypto/ssh_private_key.h -- SSH private keys: read, make, sign, write.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "platform/crypto/ssh_public_key.h"
#include "platform/model/secret.h"

namespace sallyport::crypto {

/// An ed25519, RSA or ECDSA key pair. Copies share it; OpenSSL wipes it with the last one.
class SshPrivateKey {
 public:
  /// "-----BEGIN OPENSSH PRIVATE KEY-----" or PEM (PKCS#8, PKCS#1, SEC1), without a passphrase.
  /// Errc::invalid: encrypted, broken, unknown type, RSA below 2048 bits, or the public half does not belong to it.
  [[nodiscard]] static Result<SshPrivateKey> parse(std::span<const std::byte> text);
  /// `bits` counts for RSA only. Security keys cannot be made here: Errc::invalid.
  [[nodiscard]] static Result<SshPrivateKey> generate(SshKeyType type, unsigned bits = 3072);

  [[nodiscard]] const SshPublicKey& public_key() const noexcept { return public_key_; }

  /// The SSH wire form: string algorithm, string bytes. An empty `algorithm` means the key's own (rsa-sha2-512 for RSA).
  /// Errc::invalid when it does not belong to the key; SHA-1 is never used.
  [[nodiscard]] Result<Bytes> sign(std::span<const std::byte> data, std::string_view algorithm = {}) const;

  /// The OpenSSH file format, unencrypted; `comment` stands in it in the clear.
  [[nodiscard]] Result<Secret> openssh_text(std::string_view comment = {}) const;

 private:
  SshPrivateKey(SshPublicKey public_key, std::shared_ptr<evp_pkey_st> key)
      : public_key_(std::move(public_key)), key_(std::move(key)) {}
  [[nodiscard]] static Result<SshPrivateKey> from_openssl(std::shared_ptr<evp_pkey_st> key);
  [[nodiscard]] static Result<SshPrivateKey> parse_openssh(std::span<const std::byte> container);

  SshPublicKey public_key_;
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace sallyport::crypto
