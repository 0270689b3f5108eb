// vault/signing_rules.h -- what the vault signs with its own keys, whoever asks. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/note.h"
#include "platform/crypto/ssh_certificate.h"
#include "vault/secret_store.h"

namespace sallyport::vault {

constexpr std::chrono::seconds k_longest_user_certificate{3600};
constexpr std::chrono::seconds k_longest_login_certificate{24 * 3600};
constexpr std::chrono::seconds k_longest_host_certificate{400 * 24 * 3600};
constexpr std::chrono::seconds k_clock_slack{300};  ///< how far before now a certificate may begin

/// What the authority asks for.
struct CertificateRequest {
  std::string session;  ///< becomes the key id
  Bytes public_key;
  std::vector<std::string> principals;
  std::uint64_t serial = 0;
  std::int64_t valid_after = 0;
  std::int64_t valid_before = 0;
  std::vector<std::string> source_addresses;
  std::vector<std::string> extensions;
};

/// A user certificate for a session's own ephemeral key. Errc::invalid or Errc::denied unless: the key is a plain ssh-ed25519 one; 1 to
/// 16 principals of 1 to 255 printable characters without blanks and commas; now lies inside the validity, which ends at most one
/// hour from now; extensions are permit-pty, -port-forwarding, -agent-forwarding, -X11-forwarding; source addresses are networks.
[[nodiscard]] Result<crypto::SshCertificateFields> user_certificate_fields(const CertificateRequest& request, std::int64_t now);
/// A certificate that lets one person log in to the gateway: `session` is the key id, one principal, a serial number, at most a day;
/// extensions and source addresses as above.
[[nodiscard]] Result<crypto::SshCertificateFields> login_certificate_fields(const CertificateRequest& request, std::int64_t now);
/// A host certificate for one of our own host keys: principals as above (up to 256), at most 400 days, no options.
[[nodiscard]] Result<crypto::SshCertificateFields> host_certificate_fields(const CertificateRequest& request, std::int64_t now);

/// A checkpoint of our own log that does not step back: right origin, size at least `seen`'s, and `seen`'s root at the same size.
/// Errc::invalid: not a checkpoint text. Errc::denied: another origin. Errc::conflict: smaller, or another root.
[[nodiscard]] Result<crypto::Checkpoint> check_checkpoint(std::string_view body, std::string_view origin, const std::optional<CheckpointSeen>& seen);

/// Names that operators may use: segments of [a-z0-9][a-z0-9_.-]*, joined by '/', at most 128 characters, not under "sallyport/".
[[nodiscard]] bool is_secret_name(std::string_view name) noexcept;

/// An exchange hash has the size of SHA-256, -384 or -512.
[[nodiscard]] constexpr bool is_exchange_hash_size(std::size_t size) noexcept { return size == 32 || size == 48 || size == 64; }

}  // namespace sallyport::vault
