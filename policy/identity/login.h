// policy/identity/login.h -- the login of one connection, as a state machine without I/O.
//
// An offered key proves nothing; only a verified signature does. The user name is fixed by the first attempt. Unknown and
// known principals get the same methods and cost the same work. Use, per connection:
//
//   Login login(context);
//   Login::Step step = login.take(attempt, snapshot, locks, throttle, now);
//   while (not LoginAnswer) { do what PasswordCheck or TotpCheck asks; step = login.resume(right, snapshot, locks, throttle, now); }
//
// The caller makes audit events from LoginAnswer::event. One attempt at a time; not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "platform/model/secret.h"
#include "policy/access/engine.h"
#include "policy/access/request.h"
#include "policy/access/snapshot.h"
#include "policy/identity/enrolments.h"
#include "policy/identity/factor_memory.h"
#include "policy/identity/throttle.h"
#include "policy/identity/user_string.h"

namespace sallyport::policy {

constexpr unsigned k_max_login_attempts = 6;
constexpr std::size_t k_max_password_bytes = 1024;
constexpr unsigned k_max_password_checks_at_once = 4;

/// The content of one AuthAttempt.
struct LoginAttempt {
  enum class Method : std::uint8_t { none, publickey, password, keyboard_interactive, other };
  std::string user;
  Method method = Method::none;
  bool probe = false;
  std::string algorithm;     ///< as sent
  std::string key_blob;      ///< SSH wire, a certificate included
  std::string session_hash;  ///< of this connection as the *vault* signed it, not as the session says
  std::string signed_data;   ///< what follows the session identifier in the signed data, RFC 4252 section 7
  std::string signature;     ///< SSH wire
  Secret password;
  std::vector<Secret> responses;
  bool invalid_signature = false;  ///< the library refused it already; counts as a failure
};
[[nodiscard]] LoginAttempt::Method parse_login_method(std::string_view text) noexcept;

/// A jump: the outer session's principal proves herself again by key, for the target that was asked for.
struct OuterLogin {
  PrincipalId principal;
  TargetId target;
  std::vector<ProvenFactor> factors;
};

/// A terminal in a browser: who it is was proven there, and the terminal shows it by a key that was made for this one session.
struct WebLogin {
  PrincipalId principal;
  std::string key_blob;
  std::vector<ProvenFactor> factors;  ///< proven in the browser, with their true age
  std::string proven_by;              ///< for the audit log
};

struct LoginContext {
  IpAddress source;
  std::optional<OuterLogin> outer;
  std::optional<WebLogin> web;
  unsigned max_attempts = k_max_login_attempts;  ///< failed ones; the last of them ends the connection
  unsigned at_least = 1;                         ///< different factors, of those who can give so many
  bool can_show_keys = true;                     ///< false: a browser, which has no ssh key
  bool can_show_passkeys = false;                ///< a browser, whose page asks for them
  bool can_sign_on = false;                      ///< an identity provider may be asked, by keyboard-interactive
  bool sign_on_first = true;                     ///< false: a password is asked for first, and an empty one signs on
  bool key_is_enough = false;                    ///< whatever the policy asks for: break-glass, whose codes are the second factor
  const Enrolments* enrolled = nullptr;          ///< may be null; outlives the login
  const FactorMemory* memory = nullptr;          ///< may be null; outlives the login
};

struct LoginTimes {
  WallTime wall{};
  BootTime boot{};
};

struct LoginIdentity {
  PrincipalId principal;
  std::string display;
  AccountName account;  ///< empty: bare session, or see problem_code
  TargetId target;
  bool bare = false;
  std::vector<ProvenFactor> factors;
  std::optional<CertificateLimits> certificate;
  std::string key_fingerprint;  ///< of the key or of the certificate's key
  std::string certificate_id;   ///< key id and serial, for the audit log
  /// Who she is stands, but where to is unclear (no such target, none or several accounts): let her in and refuse every
  /// channel with this code and sentence.
  std::string problem_code;
  std::string problem;
};

/// What the audit log shall say about an attempt.
struct LoginEvent {
  std::string user;       ///< as sent, printable characters only, at most 255
  std::string principal;  ///< only when it exists
  std::string method;     ///< none publickey certificate password totp
  std::string result;     ///< offered, refused, partial, success, disconnect, asked
  std::string reason;     ///< for operators, never shown to the client: "wrong signature", "unknown principal" ...
  std::string fingerprint;
  std::string code;       ///< SP-1xxx when refused
  bool counted = false;   ///< as a failed attempt
};

struct LoginPrompt {
  std::string text;
  bool echo = false;
};

struct LoginAnswer {
  enum class Result : std::uint8_t { refused, key_ok, partial, success, disconnect, ask };
  Result result = Result::refused;
  std::vector<std::string> methods_left;
  std::string instruction;
  std::vector<LoginPrompt> prompts;
  std::string message;  ///< with disconnect
  std::chrono::milliseconds delay{0};
  std::optional<LoginIdentity> identity;  ///< with success
  LoginEvent event;
};

/// With `directory`: ask the directory whether this is that principal's password. Else run verify_password(hash, password) on a worker, at most k_max_password_checks_at_once together, then resume().
struct PasswordCheck {
  std::string hash;  ///< of nobody's password when the principal is unknown or has none
  Secret password;
  std::string directory{};  ///< the name that the directory knows; empty: it is not asked
};

/// Ask the vault whether this code is right now and was never used (keep the last step per principal), then resume().
struct TotpCheck {
  PrincipalId principal;
  std::string secret;  ///< empty: only a recovery code can be right
  Secret code;
};

/// Begin at the identity provider, or wait for what it says; then resume_sign_on(). While nothing is known, `waiting` every few
/// seconds keeps the client's connection alive.
struct SignOnStep {
  bool wait = false;
};

/// What an identity provider said, as the authority understood it.
struct SignOnWord {
  enum class State : std::uint8_t { begun, waiting, proven, refused, away };
  State state = State::away;
  std::string instruction;  ///< begun: where to go and what to enter there
  PrincipalId principal;    ///< proven: whom it names here
  WallTime proven{};        ///< when she showed herself there
  bool second_factor = false;
  std::string code;         ///< refused, away: of the catalogue
  std::string reason;       ///< for operators
};

class Login {
 public:
  using Step = std::variant<LoginAnswer, PasswordCheck, TotpCheck, SignOnStep>;

  explicit Login(LoginContext context);
  ~Login();
  Login(Login&&) noexcept;
  Login& operator=(Login&&) noexcept;

  /// Judges one attempt. After `disconnect` or `success` every further attempt is answered by `disconnect`.
  [[nodiscard]] Step take(LoginAttempt attempt, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now);
  /// The answer to the check that the last step asked for. The snapshot may be a newer one: it is looked at again.
  [[nodiscard]] Step resume(bool right, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now);

  /// The password could not be checked: nothing is known of it, so nothing is counted as guessed. `code` of the catalogue.
  [[nodiscard]] Step resume_unchecked(const std::string& code, std::string reason, const Snapshot& snapshot, Throttle& throttle, LoginTimes now);

  /// In a browser, after the first factor: a passkey of hers was shown (`proven`), or something that is none, for `reason`.
  [[nodiscard]] Step take_passkey(const std::optional<ProvenFactor>& proven, const std::string& code, std::string reason, const Snapshot& snapshot, const Locks& locks,
                                  Throttle& throttle, LoginTimes now);

  [[nodiscard]] Step resume_sign_on(const SignOnWord& word, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now);
  /// In the place of take(): a browser comes from the identity provider, proven.
  [[nodiscard]] Step begin_signed_on(const SignOnWord& word, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now);

  [[nodiscard]] unsigned failures() const noexcept;
  /// Has one factor been proven? Ends the time for the first proven factor, starts the one for the next.
  [[nodiscard]] unsigned factors_proven() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sallyport::policy
