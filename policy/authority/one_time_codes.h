// policy/authority/one_time_codes.h -- one-time codes (TOTP) that people enrol themselves, and the recovery codes that go with them.
//
// The secret stands in the vault, its name in the database. It is shown once, as a QR code, and counts when a code of it was given.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "policy/authority/acts.h"

namespace sallyport::authority {

/// A new secret for an authenticator app.
struct ShownSecret {
  std::string name;  ///< in the vault
  std::string uri;   ///< otpauth://, for the app
};

/// Ten new ones, in the place of those there were.
struct RecoveryCodes {
  std::vector<EnrolmentRow> put, remove;
  std::string text;  ///< one a line
  std::set<std::string> hashes;
};

class OneTimeCodes {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  explicit OneTimeCodes(Authority& authority) : authority_(authority) {}

  /// May she enrol one now? Errc::denied, "SP-9307 why".
  [[nodiscard]] Result<void> may_enrol(std::string_view principal) const;
  /// Somebody who is logged in and has proven a factor lately: the secret to scan. It waits 15 minutes for its code.
  void begin(const Operator& who, Done<ShownSecret> done);
  /// The code that the app shows; one try. Answers with recovery codes, one a line. Errors carry a code of the catalogue.
  void confirm(const Operator& who, const std::string& code, Done<std::string> done);
  /// Ten new recovery codes, one a line. Errors carry a code of the catalogue.
  void renew_recovery(const Operator& who, Done<std::string> done);

  // Parts, for invites and passkeys.
  void make_secret(const std::string& principal, Done<ShownSecret> done);
  void check(const std::string& secret, const std::string& code, std::function<void(bool)> done);
  /// Out of the vault; nothing for an empty name.
  void drop(const std::string& secret);
  [[nodiscard]] RecoveryCodes make_recovery(const std::string& principal) const;
  /// They count from now on; call when they are stored.
  void take_recovery(const std::string& principal, const RecoveryCodes& codes) { recovery_[principal] = codes.hashes; }
  void remember_recovery(const std::string& principal, const std::string& hash) { recovery_[principal].insert(hash); }
  void forget_recovery(const std::string& principal) { recovery_.erase(principal); }
  [[nodiscard]] std::size_t recovery_left(const std::string& principal) const;
  /// A recovery code is good once.
  void use_recovery(const std::string& principal, const Secret& code, std::function<void(bool)> done);

 private:
  struct Shown {
    std::string secret;
    WallTime made{};
  };

  Authority& authority_;
  std::map<std::string, std::set<std::string>> recovery_;  ///< by principal: hashes
  std::map<std::string, Shown> shown_;                     ///< by principal: not confirmed yet
};

}  // namespace sallyport::authority
