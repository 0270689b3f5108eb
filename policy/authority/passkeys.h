// policy/authority/passkeys.h -- passkeys (WebAuthn) of people in a browser: enrolled under a fresh factor, a second factor at the login, proof again.
//
// A challenge is random, for one act of one login or one web session, good for two minutes and one answer. The counter of a device that
// goes back says that there are two of it: refused and alarmed. What is enrolled stands in the database beside the other factors.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "platform/passkey/webauthn.h"
#include "policy/authority/acts.h"
#include "policy/authority/coded_error.h"
#include "policy/identity/enrolments.h"

namespace sallyport::authority {

/// What the page hands to the browser.
struct PasskeyAsk {
  std::string challenge;
  std::string host;
  std::string user;       ///< opaque, the same for all passkeys of one principal
  std::string principal;
  bool verified = false;  ///< the device has to check who holds it
  std::vector<std::string> ids;  ///< hers: the ones that count, or those that need not be made again
};

/// What the page got from the browser, decoded.
struct PasskeyShown {
  std::string id;
  std::string client_data;
  std::string authenticator_data;
  std::string signature;
};

[[nodiscard]] EnrolmentRow row_of(std::string_view principal, const policy::Passkey& passkey);
[[nodiscard]] std::optional<policy::Passkey> passkey_of(const EnrolmentRow& row);

class PasskeyDesk {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  explicit PasskeyDesk(Authority& authority) : authority_(authority) {}

  /// `admin.origin`; without it nothing is made or shown.
  Result<void> use(std::string_view origin);
  [[nodiscard]] bool has_origin() const { return !origin_.text.empty(); }

  // Errors carry a code of the catalogue in `detail`, a blank, and the reason for operators.
  [[nodiscard]] Result<PasskeyAsk> begin_make(const Operator& who);
  /// Answers with recovery codes, one a line, when she had none.
  void finish_make(const Operator& who, const std::string& name, const PasskeyShown& shown, Done<std::string> done);
  void remove(const Operator& who, const std::string& id, Done<void> done);

  /// `place` names the login or web session that the answer has to come from.
  [[nodiscard]] Result<PasskeyAsk> begin_show(const std::string& place, const std::string& principal);
  void finish_show(const std::string& place, const std::string& principal, const PasskeyShown& shown, Done<policy::ProvenFactor> done);

 private:
  struct Challenge {
    std::string text;
    BootTime began{};
  };
  [[nodiscard]] Result<std::string> challenge_for(const std::string& place);
  /// Out of the list: good once.
  [[nodiscard]] std::string take_challenge(const std::string& place);

  Authority& authority_;
  passkey::Origin origin_;
  std::map<std::string, Challenge> challenges_;
};

}  // namespace sallyport::authority
