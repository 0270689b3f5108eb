// policy/authority/web_sessions.h -- people in a browser: login with the factors of the policy, sessions by cookie, step-up.
//
// The same policy::Login judges as for ssh, with the same back-off and the same audit events; at least two factors of whoever
// has two. A session is known by the hash of its cookie, in memory only: a restart of the authority signs everybody out.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "policy/authority/acts.h"
#include "policy/authority/passkeys.h"
#include "policy/identity/login.h"

namespace sallyport::authority {

struct WebSession {
  std::string id;         ///< for the audit log; no secret
  std::string principal;
  std::string csrf;       ///< told to the page, wanted in every request that changes something
  std::string source;
  std::string method;     ///< "password" or "password,totp"
  std::vector<policy::ProvenFactor> factors;
  WallTime began{};
  WallTime expires{};     ///< at the latest
  BootTime began_at{};
  BootTime used_at{};
  unsigned failures = 0;  ///< of proving again

  /// When a factor was proven last: the newest second one, or the only one.
  [[nodiscard]] WallTime proven() const;
};

struct WebLoginAnswer {
  enum class State { done, code, refused };
  State state = State::refused;
  std::string login;    ///< State::code: the login that goes on
  std::vector<std::string> ways{};  ///< State::code: "code", "passkey"
  Secret cookie;        ///< State::done
  const WebSession* session = nullptr;
  std::string code;     ///< State::refused: of the catalogue
};

class WebSessions {
 public:
  using Done = std::function<void(WebLoginAnswer)>;

  explicit WebSessions(Authority& authority) : authority_(authority) {}

  /// First step. The answer comes when the back-off says so.
  void begin(const std::string& user, Secret password, const IpAddress& source, Done done);
  /// Second step: the one-time code or a recovery code.
  void go_on(const std::string& login, Secret code, const IpAddress& source, Done done);
  /// In the place of go_on(): what a passkey has to sign for this login, and what it signed.
  [[nodiscard]] Result<PasskeyAsk> ask_passkey(const std::string& login, const IpAddress& source);
  void go_on_passkey(const std::string& login, const PasskeyShown& shown, const IpAddress& source, Done done);
  /// In the place of begin(): the identity provider has named somebody. Who has a second factor gives it as well.
  void begin_signed_on(const policy::SignOnWord& word, const IpAddress& source, Done done);
  /// Somebody whose factors were proven: journals `auth.succeeded`, then opens.
  void open(const policy::Principal& principal, std::vector<policy::ProvenFactor> factors, std::string method, const IpAddress& source, Done done);

  /// Who the cookie is of; slides the idle time. Errc::denied when it is of nobody (any more).
  [[nodiscard]] Result<Operator> recognise(std::string_view cookie, const IpAddress& source);
  [[nodiscard]] const WebSession* find(const std::string& id) const;
  /// Neither closed, nor idle for too long, nor over.
  [[nodiscard]] bool is_live(const std::string& id) const;
  /// Keys that are typed into a terminal of the session are use of it, as requests are.
  void touch(const std::string& id);
  void close(const std::string& id, std::string_view why);
  void close_all_of(std::string_view principal, std::string_view why);
  /// A factor again, so that what wants a fresh one goes through. Errc::denied: it was wrong; Errc::unavailable: not looked at now.
  void prove_again(const std::string& id, Secret factor, const IpAddress& source, std::function<void(Result<void>)> done);
  [[nodiscard]] Result<PasskeyAsk> ask_passkey_again(const std::string& id);
  void prove_again_by_passkey(const std::string& id, const PasskeyShown& shown, const IpAddress& source, std::function<void(Result<void>)> done);
  /// A factor was proven again.
  void refresh(const std::string& id, policy::ProvenFactor factor);
  /// What she can prove again with: "totp", "passkey", "password", or "sign-on".
  [[nodiscard]] std::string step_up_of(const std::string& principal) const;
  [[nodiscard]] bool has_passkeys(const std::string& principal) const;

  /// How old a factor may be for a change of policy, keys, locks and recordings.
  [[nodiscard]] std::chrono::milliseconds fresh_for() const;
  [[nodiscard]] std::chrono::milliseconds idle_for() const;

 private:
  struct Pending {
    std::unique_ptr<policy::Login> login;
    std::string user;
    IpAddress source;
    BootTime began{};
    bool busy = false;
    bool wants_code = false;
  };
  using PendingPtr = std::shared_ptr<Pending>;
  [[nodiscard]] PendingPtr make_pending(const IpAddress& source, std::string user) const;

  void step(const std::string& id, const PendingPtr& pending, policy::Login::Step step, Done done);
  void judge(const std::string& id, const PendingPtr& pending, policy::LoginAnswer answer, Done done);
  void refuse(std::chrono::milliseconds delay, std::string code, const Done& done);
  void fail_again(const std::string& id, const std::string& principal, const IpAddress& source, const std::string& method, const std::string& code, const std::string& reason,
                  std::function<void(Result<void>)> done);
  void sweep();
  [[nodiscard]] std::string random_text() const;
  void opened(const std::string& principal, std::vector<policy::ProvenFactor> factors, std::string method, const IpAddress& source, const Done& done);

  Authority& authority_;
  std::map<std::string, PendingPtr> pending_;
  std::map<std::string, WebSession> sessions_;  ///< by SHA-256 of the cookie
};

}  // namespace sallyport::authority
