// policy/identity/enrolments.h -- what people enrolled themselves, beside what the policy lists for them.
//
// The policy stays the law: an enrolled key counts only while its principal is in the policy with `enrol: [keys]` and no
// principal of the policy owns it; an enrolled one-time code only with `enrol: [totp]` and when the policy names no secret.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/access/request.h"
#include "policy/access/snapshot.h"

namespace sallyport::policy {

/// A certificate that the gateway gave to one of its people, as it was issued.
struct IssuedCertificate {
  std::uint64_t serial = 0;
  std::string principal;
  std::string fingerprint;            ///< of the key in it
  std::vector<ProvenFactor> factors;  ///< beside the key: what its owner had proven, and when
  WallTime issued{};
  WallTime expires{};
  bool revoked = false;
};

/// A passkey (WebAuthn), which counts in a browser.
struct Passkey {
  std::string id;  ///< as the device named it
  std::string name;
  int algorithm = 0;  ///< COSE
  std::string public_key;
  std::uint32_t counter = 0;
  WallTime enrolled{};
  WallTime used{};
};

/// Plain data, changed by its owner only; one thread.
class Enrolments {
 public:
  void add_key(std::string_view principal, LoginKey key);
  bool remove_key(std::string_view principal, std::string_view fingerprint);
  void set_totp(std::string_view principal, std::string secret);  ///< name of a vault secret; empty: none
  void forget(std::string_view principal);

  void add_passkey(std::string_view principal, Passkey passkey);
  [[nodiscard]] bool owns_passkey(std::string_view id) const;  ///< anybody
  bool remove_passkey(std::string_view principal, std::string_view id);
  void use_passkey(std::string_view principal, std::string_view id, std::uint32_t counter, WallTime now);
  [[nodiscard]] const std::vector<Passkey>& passkeys_of(std::string_view principal) const;
  [[nodiscard]] bool has_passkeys(const Principal& principal) const;  ///< that count now

  /// In the order of enrolment, whether the policy lets them count or not.
  [[nodiscard]] const std::vector<LoginKey>& keys_of(std::string_view principal) const;
  [[nodiscard]] std::string totp_of(std::string_view principal) const;

  /// The key of this principal that `blob` is, out of policy and enrolment, if it counts now.
  [[nodiscard]] const LoginKey* find_key(const Snapshot& snapshot, const Principal& principal, std::string_view blob) const;
  /// Who owns the key; null when nobody does.
  [[nodiscard]] const Principal* find_owner(const Snapshot& snapshot, std::string_view blob) const;
  [[nodiscard]] bool has_keys(const Principal& principal) const;
  [[nodiscard]] std::string totp_secret(const Principal& principal) const;
  /// Is the method of passwords and codes to be offered to everybody?
  [[nodiscard]] bool offers_codes() const noexcept { return !totp_.empty(); }

  /// The gateway's own CA for logins, SSH wire; empty: none.
  void set_login_ca(std::string blob) { login_ca_ = std::move(blob); }
  [[nodiscard]] const std::string& login_ca() const noexcept { return login_ca_; }
  void add_certificate(IssuedCertificate certificate);
  void revoke_certificates(std::string_view principal);
  void forget_certificates_before(WallTime moment);
  [[nodiscard]] const IssuedCertificate* find_certificate(std::uint64_t serial) const;
  [[nodiscard]] const std::map<std::uint64_t, IssuedCertificate>& certificates() const noexcept { return certificates_; }


  /// What a directory ("oidc", "ldap") says of somebody's groups of the policy; counts until `until`. No groups: forgets them.
  void set_groups(std::string_view principal, std::string_view directory, std::vector<std::string> groups, WallTime until);
  /// Of all directories, sorted, each once.
  [[nodiscard]] std::vector<std::string> groups_of(std::string_view principal, WallTime now) const;
  [[nodiscard]] WallTime groups_until(std::string_view principal, std::string_view directory) const;
  /// Everybody of whom this directory said something.
  [[nodiscard]] std::vector<std::string> in_groups_by(std::string_view directory) const;
  /// What this directory said last, counting or not.
  [[nodiscard]] std::vector<std::string> groups_by(std::string_view principal, std::string_view directory) const;
  /// Did any of it stop counting in (before, now]?
  [[nodiscard]] bool groups_ended_between(WallTime before, WallTime now) const;

 private:
  struct DirectoryGroups {
    std::vector<std::string> groups;
    WallTime until{};
  };
  std::map<std::string, std::map<std::string, DirectoryGroups, std::less<>>, std::less<>> groups_;  ///< principal -> directory
  std::map<std::string, std::vector<LoginKey>, std::less<>> keys_;
  std::map<std::string, std::string, std::less<>> owners_;  ///< blob -> principal
  std::map<std::string, std::string, std::less<>> totp_;
  std::map<std::string, std::vector<Passkey>, std::less<>> passkeys_;
  std::map<std::uint64_t, IssuedCertificate> certificates_;
  std::string login_ca_;
};

/// May she enrol this kind of factor herself? "keys", "totp", "passkeys" ("verified-passkeys" says yes to it as well).
[[nodiscard]] bool may_enrol(const Principal& principal, std::string_view kind);
/// Do only passkeys count of which the device checked who holds it?
[[nodiscard]] bool wants_verified_passkeys(const Principal& principal);

}  // namespace sallyport::policy
