#include "policy/identity/login_key.h"

#include <algorithm>

#include "platform/crypto/krl.h"
#include "platform/crypto/ssh_certificate.h"
#include "platform/crypto/ssh_public_key.h"

namespace sallyport::policy {
namespace {

constexpr std::string_view k_certificate_suffix = "-cert-v01@openssh.com";
constexpr std::uint8_t k_userauth_request = 50;  ///< SSH_MSG_USERAUTH_REQUEST, RFC 4252 section 6

std::int64_t seconds_of(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

/// "rsa-sha2-512-cert-v01@openssh.com" signs as "rsa-sha2-512"; security keys keep their "@openssh.com".
std::string signature_algorithm(std::string_view algorithm, bool is_certificate) {
  if (!is_certificate) return std::string(algorithm);
  if (!algorithm.ends_with(k_certificate_suffix)) return {};
  std::string plain(algorithm.substr(0, algorithm.size() - k_certificate_suffix.size()));
  if (plain.starts_with("sk-")) plain += "@openssh.com";
  return plain;
}

bool algorithm_fits(std::string_view algorithm, bool is_certificate, const crypto::SshPublicKey& key) {
  const std::string plain = signature_algorithm(algorithm, is_certificate);
  const auto modern = crypto::modern_signature_algorithms();
  if (std::find(modern.begin(), modern.end(), plain) == modern.end()) return false;
  if (key.type() == crypto::SshKeyType::rsa) return plain == "rsa-sha2-256" || plain == "rsa-sha2-512";
  return plain == key.name();
}

bool names_a_certificate(std::string_view blob) {
  crypto::SshReader reader(blob);
  const std::string_view name = reader.text();
  return reader.ok() && name.ends_with(k_certificate_suffix);
}

void judge_plain_key(OfferedKey& offered, const Snapshot& snapshot, const Principal* principal, const LoginAttempt& attempt,
                     const IpAddress& source, WallTime now, const Enrolments& enrolled) {
  const auto key = crypto::SshPublicKey::parse_blob(bytes_of(attempt.key_blob));
  if (!key) {
    offered.reason = key.error().detail;
    return;
  }
  offered.fingerprint = key->fingerprint();
  offered.hardware = key->name().starts_with("sk-");
  if (!algorithm_fits(attempt.algorithm, false, *key)) {
    offered.reason = "the signature algorithm " + attempt.algorithm.substr(0, 64) + " is not accepted for this key";
    return;
  }
  const Principal* owner = enrolled.find_owner(snapshot, attempt.key_blob);
  offered.belongs_to_another = owner != nullptr && owner != principal;
  if (principal == nullptr) {
    offered.reason = "unknown principal";
    return;
  }
  if (owner != principal) {
    offered.reason = owner == nullptr ? "the key is enrolled for nobody" : "the key is of another principal";
    return;
  }
  const LoginKey* mine = enrolled.find_key(snapshot, *principal, attempt.key_blob);
  if (mine == nullptr) {
    offered.reason = "the key is enrolled for nobody";
    return;
  }
  offered.verify_required = mine->verify_required;
  if (mine->expires && *mine->expires <= now) {
    offered.reason = "the key has expired";
    return;
  }
  if (!mine->from.empty()) {
    const auto from_here = crypto::address_matches(mine->from, source.str());
    if (!from_here || !*from_here) {
      offered.reason = "the key's from= does not list " + source.str();
      return;
    }
  }
  offered.accepted = true;
}

void judge_certificate(OfferedKey& offered, const Snapshot& snapshot, const Principal* principal, std::string_view principal_name,
                       const LoginAttempt& attempt, const IpAddress& source, WallTime now, const Enrolments& enrolled) {
  const auto certificate = crypto::SshCertificate::parse_blob(bytes_of(attempt.key_blob));
  if (!certificate) {
    offered.reason = certificate.error().detail;
    return;
  }
  const auto& fields = certificate->fields();
  offered.fingerprint = certificate->key().fingerprint();
  std::string printable;
  for (const char c : fields.key_id.substr(0, 128)) printable += c >= 0x20 && c < 0x7f ? c : '?';
  offered.certificate_id = printable + " serial " + std::to_string(fields.serial);
  if (!algorithm_fits(attempt.algorithm, true, certificate->key())) {
    offered.reason = "the signature algorithm " + attempt.algorithm.substr(0, 64) + " is not accepted for this certificate";
    return;
  }
  const std::string_view ca_blob = text_of(certificate->signature_key().blob());
  offered.hardware = certificate->key().name().starts_with("sk-");
  const TrustedCa* ca = snapshot.find_user_ca(ca_blob);
  const bool is_ours = !enrolled.login_ca().empty() && ca_blob == enrolled.login_ca();
  if (ca == nullptr && !is_ours) {
    offered.reason = "the certificate's CA " + certificate->signature_key().fingerprint() + " is not trusted";
    return;
  }
  const std::string source_text = source.str();
  crypto::SshCertificateUse use;
  use.type = crypto::SshCertificateType::user;
  use.now = seconds_of(now);
  use.principal = principal_name;
  use.source = source_text;
  if (const auto fit = certificate->check(use); !fit) {
    offered.reason = fit.error().detail;
    offered.belongs_to_another = std::none_of(fields.principals.begin(), fields.principals.end(), [&](const std::string& p) { return p == principal_name; }) &&
                                 std::any_of(fields.principals.begin(), fields.principals.end(), [&](const std::string& p) { return snapshot.find_principal(p) != nullptr; });
    return;
  }
  if (is_ours) {
    // Only what this gateway remembers having issued: a lock or a revocation ends it before its time.
    const IssuedCertificate* issued = enrolled.find_certificate(fields.serial);
    if (issued == nullptr || issued->revoked || issued->principal != principal_name || issued->fingerprint != offered.fingerprint) {
      offered.reason = issued == nullptr ? "this gateway did not issue the certificate, or its database is another" : issued->revoked ? "the certificate was revoked" : "the certificate is not for this key";
      return;
    }
    offered.issued = issued;
  }
  if (ca != nullptr && ca->krl && (ca->krl->is_revoked(*certificate) || ca->krl->is_revoked(certificate->key()))) {
    offered.reason = "the certificate is revoked";
    return;
  }
  if (principal == nullptr) {
    offered.reason = "unknown principal";
    return;
  }
  CertificateLimits limits;
  if (const auto command = certificate->critical_option("force-command")) limits.force_command = std::string(*command);
  limits.permit_pty = certificate->has_extension("permit-pty");
  limits.permit_port_forwarding = certificate->has_extension("permit-port-forwarding");
  limits.permit_agent_forwarding = certificate->has_extension("permit-agent-forwarding");
  limits.permit_x11_forwarding = certificate->has_extension("permit-X11-forwarding");
  offered.limits = std::move(limits);
  offered.verify_required = certificate->critical_option("verify-required").has_value();
  offered.accepted = true;
}

}  // namespace

OfferedKey judge_key(const Snapshot& snapshot, const Principal* principal, std::string_view principal_name, const LoginAttempt& attempt,
                     const IpAddress& source, WallTime now, const Enrolments& enrolled) {
  OfferedKey offered;
  offered.is_certificate = names_a_certificate(attempt.key_blob);
  if (offered.is_certificate) {
    judge_certificate(offered, snapshot, principal, principal_name, attempt, source, now, enrolled);
  } else {
    judge_plain_key(offered, snapshot, principal, attempt, source, now, enrolled);
  }
  return offered;
}

SignatureFacts check_signature(const LoginAttempt& attempt) {
  SignatureFacts facts;
  const auto wrong = [&](std::string reason) {
    facts.reason = std::move(reason);
    return facts;
  };
  if (attempt.session_hash.size() < 20 || attempt.session_hash.size() > 64) return wrong("no session identifier");

  crypto::SshReader request(attempt.signed_data);
  bool is_this_request = request.u8() == k_userauth_request && request.text() == attempt.user && request.text() == "ssh-connection";
  const std::string_view method = request.text();
  const bool is_bound = method == "publickey-hostbound-v00@openssh.com";  // the host key follows; the session process compares it
  is_this_request = is_this_request && (is_bound || method == "publickey") && request.u8() == 1 && request.text() == attempt.algorithm &&
                    request.text() == attempt.key_blob && (!is_bound || !request.text().empty()) && request.finished();
  if (!is_this_request) return wrong("what was signed is not this login request");

  const bool is_certificate = names_a_certificate(attempt.key_blob);
  std::optional<crypto::SshPublicKey> key;
  if (is_certificate) {
    const auto certificate = crypto::SshCertificate::parse_blob(bytes_of(attempt.key_blob));
    if (certificate) key = certificate->key();
  } else if (const auto plain = crypto::SshPublicKey::parse_blob(bytes_of(attempt.key_blob))) {
    key = *plain;
  }
  if (!key) return wrong("not a key");

  crypto::SshWriter data(attempt.session_hash.size() + attempt.signed_data.size() + 4);
  data.string(std::string_view(attempt.session_hash)).raw(bytes_of(attempt.signed_data));
  const std::string algorithm = signature_algorithm(attempt.algorithm, is_certificate);
  const std::string_view allowed[] = {algorithm};
  const auto verified = key->verify(bytes_of(attempt.signature), data.view(), allowed);
  if (!verified) return wrong(verified.error().detail);
  facts.right = true;
  facts.user_present = !verified->security_key || verified->user_present;
  facts.user_verified = verified->security_key && verified->user_verified;
  return facts;
}

}  // namespace sallyport::policy
