// platform/crypto/ssh_public_key.h -- SSH public keys: parse, name, verify; authorized_keys lines.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "platform/crypto/ssh_wire.h"
#include "platform/model/result.h"

struct evp_pkey_st;

namespace sallyport::crypto {

enum class SshKeyType { ed25519, rsa, ecdsa_p256, ecdsa_p384, ecdsa_p521, sk_ed25519, sk_ecdsa_p256 };

/// The name inside the key blob: "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com" ...
[[nodiscard]] std::string_view name_of(SshKeyType type) noexcept;
[[nodiscard]] constexpr bool is_security_key(SshKeyType type) noexcept {
  return type == SshKeyType::sk_ed25519 || type == SshKeyType::sk_ecdsa_p256;
}

/// Signature algorithms that are accepted when a caller names none: no SHA-1, no DSA.
[[nodiscard]] std::span<const std::string_view> modern_signature_algorithms() noexcept;

/// What a right signature says beside being right.
struct SshSignatureFacts {
  std::string algorithm;        ///< "rsa-sha2-512", "ssh-ed25519" ...
  bool security_key = false;    ///< the three below are meaningful only then
  bool user_present = false;    ///< somebody touched it; policy must ask for it (the signature is right without it too)
  bool user_verified = false;   ///< by PIN or finger
  std::uint32_t counter = 0;
};

/// An immutable public key; copies share the parsed key. Safe to use from several threads.
class SshPublicKey {
 public:
  /// A plain key in SSH wire form. Errc::invalid: a certificate, an unknown type, RSA below 2048 or above 16384 bits,
  /// a point that is not on its curve, bytes left over.
  [[nodiscard]] static Result<SshPublicKey> parse_blob(std::span<const std::byte> blob);
  /// "ssh-ed25519 AAAA... comment", without options.
  [[nodiscard]] static Result<SshPublicKey> parse_line(std::string_view line);

  [[nodiscard]] SshKeyType type() const noexcept { return type_; }
  [[nodiscard]] std::string_view name() const noexcept { return name_of(type_); }
  [[nodiscard]] unsigned bits() const noexcept { return bits_; }
  [[nodiscard]] const Bytes& blob() const noexcept { return blob_; }
  [[nodiscard]] std::string fingerprint() const;  ///< "SHA256:..." as ssh-keygen -l prints it
  [[nodiscard]] std::string line() const;         ///< "ssh-ed25519 AAAA..."
  [[nodiscard]] const std::string& application() const noexcept { return application_; }  ///< of a security key: "ssh:..."

  /// Checks `signature` (SSH wire: string algorithm, string bytes, for security keys flags and counter) over `data`.
  /// Errc::denied: the algorithm is not in `allowed`, does not belong to this key, or the signature is wrong.
  /// Errc::invalid: not a signature at all.
  [[nodiscard]] Result<SshSignatureFacts> verify(
      std::span<const std::byte> signature, std::span<const std::byte> data,
      std::span<const std::string_view> allowed = modern_signature_algorithms()) const;

  bool operator==(const SshPublicKey& other) const noexcept { return blob_ == other.blob_; }

 private:
  SshPublicKey() = default;
  SshKeyType type_ = SshKeyType::ed25519;
  unsigned bits_ = 0;
  Bytes blob_;
  std::string application_;
  std::shared_ptr<evp_pkey_st> key_;
};

/// SHA256 fingerprint of any key blob, parsed or not.
[[nodiscard]] std::string ssh_fingerprint(std::span<const std::byte> blob);
/// One line of an authorized_keys file.
struct AuthorizedKey {
  std::vector<std::pair<std::string, std::string>> options;  ///< name (lower case) and value; a bare flag has an empty value
  std::string key_name;   ///< type as written; may name a certificate type
  Bytes blob;
  std::optional<SshPublicKey> key;  ///< absent when the line holds a certificate
  std::string comment;

  [[nodiscard]] std::optional<std::string_view> option(std::string_view name) const;
};
/// Errc::invalid with the reason; an empty line or a comment is Errc::not_found.
[[nodiscard]] Result<AuthorizedKey> parse_authorized_key(std::string_view line);

/// YYYYMMDD[HHMM[SS]][Z] as in expiry-time=, taken as UTC with or without Z; seconds since the epoch.
[[nodiscard]] Result<std::int64_t> parse_ssh_time(std::string_view text);

/// Whether `address` (numeric, IPv4 or IPv6) matches a comma separated list of CIDR blocks, addresses and patterns with
/// * and ?; `!` in front of one that matches refuses. This is from= of authorized_keys; a malformed list is Errc::invalid.
[[nodiscard]] Result<bool> address_matches(std::string_view list, std::string_view address);
/// The same for source-address of a certificate: CIDR blocks and plain addresses only.
[[nodiscard]] Result<bool> address_in_cidr_list(std::string_view list, std::string_view address);

}  // namespace sallyport::crypto
