// policy/authority/logins.h -- who is there: the attempts of one connection until somebody is proven or told to go.
#pragma once

#include <string>

#include "policy/authority/authority.h"

namespace sallyport::authority {

/// Drives policy::Login with what it asks for: password hashes on workers, one-time codes from the vault, and journals
/// every attempt. A login counts only once `auth.succeeded` stands in the journal.
class Logins {
 public:
  explicit Logins(Authority& authority) : authority_(authority) {}

  /// The listener has forked the session: the grace period begins.
  void begin(Session& session);
  void on_attempt(Session& session, const control::Envelope& question);

 private:
  void go_on(Session& session, policy::Login::Step step);
  void resume(const std::string& label, bool right);
  void check_password(Session& session, policy::PasswordCheck check);
  void check_totp(Session& session, const policy::TotpCheck& check);
  void sign_on(Session& session, bool wait);
  void finish(Session& session, policy::LoginAnswer answer);
  void succeed(Session& session, policy::LoginAnswer answer);
  void welcome(Session& session, const policy::LoginAnswer& answer);
  void reply(Session& session, const policy::LoginAnswer& answer);
  void disconnect(Session& session, std::string_view code, std::string_view reason);
  void set_grace(Session& session, std::chrono::milliseconds time);

  Authority& authority_;
};

}  // namespace sallyport::authority
