// policy/identity/login_key.h -- is this key or certificate one that proves this principal? For the login only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "policy/access/snapshot.h"
#include "policy/identity/enrolments.h"
#include "policy/identity/login.h"

namespace sallyport::policy {

/// What an offered key is worth for one principal name, before any signature.
struct OfferedKey {
  bool accepted = false;
  bool is_certificate = false;
  bool verify_required = false;      ///< a signature without user verification is not enough
  bool belongs_to_another = false;   ///< to another principal that we know
  std::string reason;                ///< why not accepted, for operators
  std::string fingerprint;
  std::string certificate_id;
  std::optional<CertificateLimits> limits;
  bool hardware = false;             ///< a security key
  const IssuedCertificate* issued = nullptr;  ///< by this gateway, for its own people
};

/// `principal` null: nobody of that name; the same work is done and the answer is never `accepted`.
[[nodiscard]] OfferedKey judge_key(const Snapshot& snapshot, const Principal* principal, std::string_view principal_name,
                                   const LoginAttempt& attempt, const IpAddress& source, WallTime now, const Enrolments& enrolled);

struct SignatureFacts {
  bool right = false;
  bool user_present = true;  ///< of a security key; others are as good as present
  bool user_verified = false;
  std::string reason;
};
/// Checks the signature over the session identifier and the publickey request of RFC 4252 section 7, and that the request
/// is the one that is being judged: same user, service, algorithm and key.
[[nodiscard]] SignatureFacts check_signature(const LoginAttempt& attempt);

}  // namespace sallyport::policy
