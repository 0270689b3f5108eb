// policy/authority/enrolment.h -- people enrol keys and second factors themselves: by invite, and later with a fresh factor.
//
// `ssh CODE@gateway` proves the key that the client offers, shows a one-time code secret as a QR code, and enrols both once
// `ssh CODE@gateway 123456` has shown that the app has it. What is enrolled stands in the authority's database, the secret
// in the vault; the policy says what counts (policy/identity/enrolments.h).
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "policy/authority/acts.h"
#include "policy/authority/self_requests.h"

namespace sallyport::authority {

struct Invite {
  std::string id;
  std::string principal;
  std::string hash;     ///< SHA-256 of the code, hexadecimal
  std::string by;
  WallTime expires{};
  // What the one who uses it has shown so far; in memory only.
  std::string key_line;
  std::string key_fingerprint;
  std::string totp_secret;  ///< name in the vault; empty: not made yet
  std::string uri;
  unsigned failures = 0;
};

struct InviteMade {
  Invite invite;
  Secret code;
};

/// Ten new ones, in the place of those there were.
struct RecoveryCodes {
  std::vector<EnrolmentRow> put, remove;
  std::string text;  ///< one a line
  std::set<std::string> hashes;
};

class EnrolmentDesk {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;
  using Reply = std::function<void(SelfText)>;

  explicit EnrolmentDesk(Authority& authority) : authority_(authority) {}

  void remember(std::vector<EnrolmentRow> rows);
  /// Asks the vault for the CA of login certificates; call when it may have come.
  void learn_login_ca();

  // For the admin side.
  void invite(const Operator& who, const std::string& principal, std::chrono::seconds lasts, Done<std::shared_ptr<InviteMade>> done);
  void revoke_invite(const Operator& who, const std::string& id, Done<void> done);
  [[nodiscard]] std::vector<Invite> invites();
  /// Everything that this person enrolled herself: keys, code, recovery codes, certificates. Her live logins by them end.
  void remove_all(const Operator& who, const std::string& principal, Done<void> done);
  [[nodiscard]] std::size_t recovery_codes_left(const std::string& principal) const;

  [[nodiscard]] RecoveryCodes make_codes(const std::string& principal);
  /// They count from now on; call when they are stored.
  void take_codes(const std::string& principal, const RecoveryCodes& codes) { recovery_[principal] = codes.hashes; }

  // An ssh login by an invite's code.
  [[nodiscard]] static bool is_invite_code(std::string_view user);
  /// Takes the place of policy::Login for such a user name.
  [[nodiscard]] policy::LoginAnswer attempt(Session& session, const policy::LoginAttempt& attempt);
  /// What a session that came by an invite asks: nothing, or the code of the app.
  void on_invited(Session& session, const std::vector<std::string>& words, const Reply& reply);

  /// `keys`, `enrol`, `recovery-codes`, `certificate` of somebody who is logged in; false: none of these verbs.
  bool ask(Session& session, const std::vector<std::string>& words, const Reply& reply);

  /// For FactorChecks: a recovery code is good once.
  void use_recovery_code(const std::string& principal, const Secret& code, std::function<void(bool)> done);

  /// A certificate for `key_line`, which its owner made. `factors`: what she has proven beside it.
  void certify(const std::string& principal, const std::string& key_line, std::chrono::seconds lasts, const std::string& source,
               std::vector<policy::ProvenFactor> factors, Done<std::string> done);
  /// She was locked: certificates, remembered factors and web sessions end.
  void on_locked(const std::string& principal);

 private:
  struct Words;
  [[nodiscard]] Invite* find_invite(std::string_view code);
  void show_secret(const std::string& principal, const std::string& label, std::function<void(Result<std::pair<std::string, std::string>>)> done);
  void check_new_code(const std::string& secret, const std::string& code, std::function<void(bool)> done);
  void finish_invite(const std::string& session, const std::string& id, const Reply& reply);
  void with_fresh_factor(Session& session, const Words& words, const Reply& reply, std::function<void()> go_on);
  void change_keys(Session& session, const Words& words, const Reply& reply);
  void enrol_totp(Session& session, const Words& words, const Reply& reply);
  void new_recovery_codes(const std::string& principal, std::vector<EnrolmentRow>& put, std::vector<EnrolmentRow>& remove, std::string& text, std::set<std::string>& hashes);
  [[nodiscard]] std::string list_keys(const std::string& principal) const;
  void drop_secret(const std::string& name);

  Authority& authority_;
  std::map<std::string, Invite> invites_;  ///< by id
  std::map<std::string, std::set<std::string>> recovery_;
  struct NewCode {
    std::string secret;
    WallTime made{};
  };
  std::map<std::string, NewCode> new_codes_;  ///< by principal: shown, not confirmed
  std::int64_t last_serial_ = 0;
};

}  // namespace sallyport::authority
