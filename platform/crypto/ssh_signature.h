// platform/crypto/ssh_signature.h -- signatures over files as `ssh-keygen -Y sign` makes them (OpenSSH's PROTOCOL.sshsig).
#pragma once

#include <string>
#include <string_view>

#include "platform/crypto/ssh_public_key.h"
#include "platform/model/result.h"

namespace sallyport::crypto {

constexpr std::string_view k_ssh_signature_begin = "-----BEGIN SSH SIGNATURE-----";
constexpr std::string_view k_ssh_signature_end = "-----END SSH SIGNATURE-----";

class SshFileSignature {
 public:
  /// From its first dash to its last; white space around it is allowed. For hostile input. Errc::invalid.
  [[nodiscard]] static Result<SshFileSignature> parse(std::string_view armoured);

  [[nodiscard]] const SshPublicKey& key() const noexcept { return key_; }
  /// Errc::denied: the signature is not over `message` in `name_space`, or by a security key that nobody touched.
  [[nodiscard]] Result<SshSignatureFacts> verify(std::string_view name_space, std::string_view message) const;

 private:
  explicit SshFileSignature(SshPublicKey key) : key_(std::move(key)) {}
  SshPublicKey key_;
  std::string name_space_;
  std::string hash_;
  Bytes signature_;
};

}  // namespace sallyport::crypto
