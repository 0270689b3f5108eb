// platform/crypto/ssh_certificate.h -- OpenSSH certificates (PROTOCOL.certkeys): parse, verify, judge, build.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "platform/crypto/ssh_public_key.h"

namespace sallyport::crypto {

enum class SshCertificateType : std::uint32_t { user = 1, host = 2 };
constexpr std::uint64_t k_ssh_forever = ~std::uint64_t{0};

/// What a certificate says, signed or about to be.
struct SshCertificateFields {
  std::uint64_t serial = 0;
  SshCertificateType type = SshCertificateType::user;
  std::string key_id;
  std::vector<std::string> principals;
  std::uint64_t valid_after = 0;   ///< seconds since the epoch, inclusive
  std::uint64_t valid_before = 0;  ///< exclusive; k_ssh_forever: no end
  /// Values are the inner text: force-command's command, source-address's list; flags have an empty one.
  std::vector<std::pair<std::string, std::string>> critical_options;
  std::vector<std::pair<std::string, std::string>> extensions;
};

/// What the holder of a certificate is about to do.
struct SshCertificateUse {
  SshCertificateType type = SshCertificateType::user;
  std::int64_t now = 0;                         ///< seconds since the epoch
  std::string_view principal;                   ///< must be among the principals, exactly; a certificate without any is refused
  std::optional<std::string_view> source;       ///< numeric address of the client; absent: a certificate with source-address is refused
};

class SshCertificate {
 public:
  /// Errc::invalid: not a certificate, an unknown type, a signature key that is a certificate itself, bytes left over,
  /// more than 256 principals or options, an option twice.
  [[nodiscard]] static Result<SshCertificate> parse_blob(std::span<const std::byte> blob);
  [[nodiscard]] static Result<SshCertificate> parse_line(std::string_view line);

  [[nodiscard]] const SshPublicKey& key() const noexcept { return key_; }            ///< that is certified
  [[nodiscard]] const SshPublicKey& signature_key() const noexcept { return ca_; }   ///< of the CA
  [[nodiscard]] const SshCertificateFields& fields() const noexcept { return fields_; }
  [[nodiscard]] const Bytes& blob() const noexcept { return blob_; }
  [[nodiscard]] std::string_view name() const noexcept { return name_; }  ///< "ssh-ed25519-cert-v01@openssh.com"

  [[nodiscard]] std::optional<std::string_view> critical_option(std::string_view name) const;
  [[nodiscard]] bool has_extension(std::string_view name) const;

  /// The CA's signature over the certificate. Errc::denied when wrong. Whether the CA is trusted is the caller's question.
  [[nodiscard]] Result<void> verify_signature() const;
  /// Signature, type, time, principal, critical options: everything but trust in the CA and revocation (see krl.h).
  /// Understood critical options: force-command and source-address (checked here), verify-required (the caller must then
  /// demand SshSignatureFacts::user_verified). Any other is refused. Errc::denied with the reason.
  [[nodiscard]] Result<void> check(const SshCertificateUse& use) const;

 private:
  SshCertificate(SshPublicKey key, SshPublicKey ca) : key_(std::move(key)), ca_(std::move(ca)) {}
  std::string name_;
  SshPublicKey key_;
  SshPublicKey ca_;
  SshCertificateFields fields_;
  Bytes blob_;
  std::size_t signed_size_ = 0;
  Bytes signature_;
};

/// Signs `data` with the CA's key: the SSH wire form of the signature.
using SshSigner = std::function<Result<Bytes>(std::span<const std::byte> data)>;

/// The blob of a certificate for `key`, with a fresh nonce. Options and extensions are sorted by name, as the format asks.
/// Errc::invalid: more than 256 principals or options, valid_before not after valid_after, or what the signer says.
[[nodiscard]] Result<Bytes> build_ssh_certificate(const SshPublicKey& key, SshCertificateFields fields, const SshPublicKey& ca,
                                                  const SshSigner& signer);

}  // namespace sallyport::crypto
