// policy/authority/invites.h -- one-time codes with which new people enrol their first key and second factor.
//
// `ssh CODE@gateway` proves the key that the client offers, shows a one-time code secret as a QR code, and enrols both once
// `ssh CODE@gateway 123456` has shown that the app has it. In a browser the code comes with the link; the key is pasted there. An invite
// is used once.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "policy/authority/acts.h"
#include "policy/authority/self_text.h"

namespace sallyport::authority {

struct Invite {
  std::string id;
  std::string principal;
  std::string hash;     ///< SHA-256 of the code, hexadecimal
  std::string by;
  WallTime expires{};
  // What the one who uses it was shown and has tried so far; in memory only.
  std::string totp_secret;  ///< name in the vault; empty: not made yet
  std::string uri;
  unsigned failures = 0;
};

struct InviteMade {
  Invite invite;
  Secret code;
};

class InviteDesk {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;
  using Reply = std::function<void(SelfText)>;

  explicit InviteDesk(Authority& authority) : authority_(authority) {}

  /// Of the database; false: it has expired.
  [[nodiscard]] bool remember(const EnrolmentRow& row);

  // For the admin side.
  void make(const Operator& who, const std::string& principal, std::chrono::seconds lasts, Done<std::shared_ptr<InviteMade>> done);
  void revoke(const Operator& who, const std::string& id, Done<void> done);
  [[nodiscard]] std::vector<Invite> open();

  // Somebody nobody knows, in a browser. What is unknown, used, expired, or of somebody who may not come gets the same answer, SP-9306,
  // later with every failure of its source. Errors carry a code of the catalogue.
  struct Welcome {
    std::string principal;
    std::string display;
    WallTime expires{};
    bool keys = false;  ///< she may enrol them
    bool code = false;  ///< she enrols a one-time code
  };
  void look(const std::string& code, const IpAddress& source, const Done<Welcome>& done);
  /// What the app scans. Errc::conflict: she enrols none.
  void show(const std::string& code, const IpAddress& source, Done<std::string> done);
  struct Brought {
    std::string key_line;  ///< may be empty
    std::string one_time_code;
  };
  /// Answers with recovery codes, one a line.
  void use(const std::string& code, const IpAddress& source, const Brought& brought, Done<std::string> done);

  // An ssh login by an invite's code.
  [[nodiscard]] static bool is_code(std::string_view user);
  /// Takes the place of policy::Login for such a user name.
  [[nodiscard]] policy::LoginAnswer attempt(Session& session, const policy::LoginAttempt& attempt);
  /// What a session that came by an invite asks: nothing, or the code of the app.
  void on_invited(Session& session, const std::vector<std::string>& words, const Reply& reply);

 private:
  /// Who uses one, and what she brings.
  struct Guest {
    std::string invite;    ///< its id
    std::string key_line;  ///< may be empty
    std::string source;
    std::string session;
  };
  [[nodiscard]] Invite* find(std::string_view code);
  /// Why this person may not come from there now; empty: she may.
  [[nodiscard]] std::string hindrance(const policy::Principal& person, const IpAddress& source) const;
  /// The invite of somebody in a browser; null when she was refused, and `refuse` called after its delay.
  [[nodiscard]] Invite* admit(const std::string& code, const IpAddress& source, const std::function<void(Error)>& refuse);
  /// The secret of this invite's one-time code: made at the first call, the same from then on.
  void show_secret(const std::string& id, Done<std::string> done);
  /// Whether `code` is of the secret that was shown. The last wrong one uses the invite up. Errors carry a code of the catalogue.
  void check(const std::string& id, const std::string& code, Done<void> done);
  /// Answers with recovery codes, one a line. Errors carry a code of the catalogue.
  void finish(const Guest& guest, Done<std::string> done);
  void forget(const std::string& id);

  Authority& authority_;
  std::map<std::string, Invite> invites_;  ///< by id
};

}  // namespace sallyport::authority
