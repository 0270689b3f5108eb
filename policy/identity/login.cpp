#include "policy/identity/login.h"

#include <algorithm>

#include "platform/model/messages.h"
#include "policy/access/compiled.h"
#include "policy/identity/login_key.h"
#include "policy/identity/password.h"

namespace sallyport::policy {
namespace {

constexpr unsigned k_max_accepted_probes = 24;  ///< a client asks once per key it holds
constexpr std::size_t k_max_code_bytes = 64;

using Method = LoginAttempt::Method;
using Result = LoginAnswer::Result;

std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text.substr(0, k_max_user_bytes)) result += c >= 0x20 && c < 0x7f ? c : '?';
  return result;
}

std::string_view word_of(Method method) {
  switch (method) {
    case Method::none: return "none";
    case Method::publickey: return "publickey";
    case Method::password: return "password";
    case Method::keyboard_interactive: return "keyboard-interactive";
    case Method::other: return "other";
  }
  return "other";
}

bool is_key(FactorKind kind) { return kind == FactorKind::key || kind == FactorKind::certificate; }

}  // namespace

LoginAttempt::Method parse_login_method(std::string_view text) noexcept {
  for (const Method method : {Method::none, Method::publickey, Method::password, Method::keyboard_interactive}) {
    if (text == word_of(method)) return method;
  }
  return Method::other;
}

/// In the place of a hash.
constexpr std::string_view k_directory = "directory";

struct Login::State {
  explicit State(LoginContext given) : context(std::move(given)) {}

  enum class Waiting { nothing, password, code, sign_on };
  enum class Asked { nothing, password, code, sign_on, to_read };  ///< to_read: why a sign-on failed, or that a directory is away; the answer to it is the refusal

  LoginContext context;
  std::optional<std::string> user;   ///< fixed by the first attempt
  std::optional<UserString> parsed;  ///< empty: not understood
  unsigned failures = 0;
  unsigned free_nones = 1;           ///< every client begins by asking with "none"
  unsigned accepted_probes = 0;
  bool finished = false;
  std::vector<ProvenFactor> factors;  ///< proven on this connection
  std::optional<CertificateLimits> certificate;
  std::string key_fingerprint;
  std::string certificate_id;
  Asked asked = Asked::nothing;
  Waiting waiting = Waiting::nothing;
  bool interactive = false;  ///< the attempt at hand is keyboard-interactive
  std::string waiting_hash;  ///< the hash that is being checked; empty: the dummy
  std::string sign_on_code;  ///< why it failed
  std::string sign_on_reason;
  LoginEvent event;          ///< of the attempt at hand

  [[nodiscard]] const Enrolments& enrolled() const {
    static const Enrolments k_nothing;
    return context.enrolled != nullptr ? *context.enrolled : k_nothing;
  }
  [[nodiscard]] static bool has_password(const Principal& p) { return !p.password_hash.empty() || asks_directory(p, "password"); }
  [[nodiscard]] static std::string password_of(const Principal& p) { return asks_directory(p, "password") ? std::string(k_directory) : p.password_hash; }
  [[nodiscard]] bool shows_passkeys(const Principal& p) const { return context.can_show_passkeys && enrolled().has_passkeys(p); }
  /// A recovery code stands in for a passkey as for a one-time code.
  [[nodiscard]] bool takes_codes(const Principal& p) const { return !enrolled().totp_secret(p).empty() || shows_passkeys(p); }
  [[nodiscard]] bool offers_passwords(const Snapshot& snapshot) const { return snapshot.offers_passwords() || enrolled().offers_codes(); }
  /// Before the first factor everybody is treated alike.
  [[nodiscard]] bool may_sign_on(const Snapshot& snapshot) const {
    if (!context.can_sign_on || context.outer || context.web || has(FactorKind::sign_on)) return false;
    if (factors.empty()) return true;
    const Principal* p = principal(snapshot);
    return p != nullptr && p->type == PrincipalType::person;
  }
  [[nodiscard]] std::string name() const { return parsed ? parsed->principal : printable(*user); }
  [[nodiscard]] const Principal* principal(const Snapshot& snapshot) const { return parsed ? snapshot.find_principal(parsed->principal) : nullptr; }
  [[nodiscard]] bool has(FactorKind kind) const {
    return std::any_of(factors.begin(), factors.end(), [&](const ProvenFactor& f) { return f.kind == kind || (is_key(f.kind) && is_key(kind)); });
  }
  [[nodiscard]] std::vector<ProvenFactor> all_factors() const {
    std::vector<ProvenFactor> all = factors;
    // The key must be proven anew on the inner connection; what else was given outside counts while it is fresh.
    if (context.outer) {
      std::copy_if(context.outer->factors.begin(), context.outer->factors.end(), std::back_inserter(all),
                   [](const ProvenFactor& f) { return !is_key(f.kind) || f.user_verified; });
    }
    return all;
  }

  [[nodiscard]] std::vector<std::string> methods_left(const Snapshot& snapshot) const {
    if (context.outer) return {"publickey"};
    if (context.web && factors.empty()) return {"publickey"};
    if (factors.empty()) {
      if (!offers_passwords(snapshot) && context.can_sign_on) return {"publickey", "keyboard-interactive"};
      if (!offers_passwords(snapshot)) return {"publickey"};
      return {"publickey", "password", "keyboard-interactive"};
    }
    std::vector<std::string> methods;
    const Principal* p = principal(snapshot);
    if (p == nullptr) return methods;
    const bool password = has_password(*p) && !has(FactorKind::password);
    const bool code = takes_codes(*p) && !has(FactorKind::totp);
    if (context.can_show_keys && !context.web && !has(FactorKind::key) && (enrolled().has_keys(*p) || !snapshot.user_cas().empty())) methods.emplace_back("publickey");
    if (password) methods.emplace_back("password");
    if (shows_passkeys(*p) && !has(FactorKind::passkey)) methods.emplace_back("passkey");
    if (password || code || may_sign_on(snapshot)) methods.emplace_back("keyboard-interactive");
    return methods;
  }

  LoginAnswer answer(Result result, std::string reason, std::string code) {
    LoginAnswer out;
    out.result = result;
    event.reason = std::move(reason);
    event.code = std::move(code);
    switch (result) {
      case Result::refused: event.result = "refused"; break;
      case Result::key_ok: event.result = "offered"; break;
      case Result::partial: event.result = "partial"; break;
      case Result::success: event.result = "success"; break;
      case Result::disconnect: event.result = "disconnect"; break;
      case Result::ask: event.result = "asked"; break;
    }
    out.event = event;
    return out;
  }

  LoginAnswer disconnect(std::string code, std::string reason, std::string_view told = {}) {
    finished = true;
    waiting = Waiting::nothing;
    LoginAnswer out = answer(Result::disconnect, std::move(reason), code);
    out.message = render(make_notice(code, told));
    return out;
  }

  /// A counted failure; the last one that is allowed ends the connection.
  LoginAnswer refuse(const Snapshot& snapshot, Throttle& throttle, LoginTimes now, std::string reason, std::string code = "SP-1001") {
    ++failures;
    event.counted = true;
    if (failures >= context.max_attempts) return disconnect("SP-1002", std::move(reason));
    LoginAnswer out = answer(Result::refused, std::move(reason), std::move(code));
    out.methods_left = methods_left(snapshot);
    out.delay = throttle.penalty(context.source, now.boot);
    return out;
  }

  /// Reasons to stop a principal who has just proven who she is; before the proof nobody learns of them.
  std::optional<LoginAnswer> stop_proven(const Principal& p, const Locks& locks, LoginTimes now) {
    if (const Lock* lock = locks.find(p.name.view(), "", "", now.wall)) return disconnect("SP-1008", "locked: " + lock->reason, lock->reason);
    if (p.expires && *p.expires <= now.wall) return disconnect("SP-1009", "the principal has expired");
    const bool from_here = p.networks.empty() || std::any_of(p.networks.begin(), p.networks.end(), [&](const Network& n) { return n.contains(context.source); });
    if (!from_here) return disconnect("SP-1010", "the principal's networks do not hold " + context.source.str());
    return std::nullopt;
  }

  [[nodiscard]] AccessRequest request_for(const Principal& p, LoginTimes now) const {
    AccessRequest request;
    request.principal = p.name;
    request.factors = all_factors();
    request.certificate = certificate;
    request.source = context.source;
    request.kind = ChannelKind::connect;
    request.now = now.wall;
    request.groups = enrolled().groups_of(p.name.view(), now.wall);
    if (parsed) {
      request.target = TargetId(parsed->target);
      request.account = AccountName(parsed->account);
    }
    return request;
  }

  /// How many different factors this login needs before it may end.
  [[nodiscard]] unsigned needed(const Principal& p, const Snapshot& snapshot, const Locks& locks, LoginTimes now) const {
    bool wants_second = false;
    if (!parsed->target.empty()) {
      wants_second = wants_second_factor(snapshot, locks, request_for(p, now));
    } else {
      // A bare session is the door to many targets: ask now if any role of hers will.
      const Compiled& compiled = snapshot.compiled();
      std::vector<Grant> room;
      for (const Grant& grant : grants_of(compiled, compiled.principal_ids.at(p.name.view()), enrolled().groups_of(p.name.view(), now.wall), room)) {
        if (grant.expires && *grant.expires <= now.wall) continue;
        const auto& rules = snapshot.roles()[grant.role].allow;
        wants_second = wants_second || std::any_of(rules.begin(), rules.end(), [](const Rule& r) { return r.mfa_within.has_value(); });
      }
    }
    return context.key_is_enough ? 1U : std::max({p.factors, wants_second ? 2U : 1U, context.at_least});
  }

  [[nodiscard]] unsigned count_kinds() const {
    const auto all = all_factors();
    unsigned count = 0;
    const auto any = [&](auto&& test) { return std::any_of(all.begin(), all.end(), test); };
    if (any([](const ProvenFactor& f) { return is_key(f.kind); })) ++count;
    if (any([](const ProvenFactor& f) { return is_key(f.kind) && f.user_verified; })) ++count;
    if (any([](const ProvenFactor& f) { return f.kind == FactorKind::password; })) ++count;
    if (any([](const ProvenFactor& f) { return f.kind == FactorKind::totp; })) ++count;
    if (any([](const ProvenFactor& f) { return f.kind == FactorKind::passkey; })) ++count;
    if (any([](const ProvenFactor& f) { return f.kind == FactorKind::sign_on; })) ++count;
    if (any([](const ProvenFactor& f) { return f.kind == FactorKind::sign_on && f.user_verified; })) ++count;
    return count;
  }

  LoginAnswer prove(const Principal& p, ProvenFactor factor, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now) {
    asked = Asked::nothing;
    factors.push_back(factor);
    if (is_key(factor.kind) && !context.outer && !context.web && context.memory != nullptr) {
      for (const ProvenFactor& known : context.memory->recall(p.name.view(), context.source, key_fingerprint, now.wall))
        if (!has(known.kind)) factors.push_back(known);
    }
    if (auto stop = stop_proven(p, locks, now)) return *std::move(stop);
    const auto left = methods_left(snapshot);
    const bool can_give_more = !context.outer && !left.empty();
    if (count_kinds() < needed(p, snapshot, locks, now) && can_give_more) {
      LoginAnswer out = answer(Result::partial, "one factor proven", "");
      out.methods_left = left;
      return out;
    }
    // Not enough although nothing more can be given: enrolment does not fit the policy. The principal's own minimum is
    // kept; a role's wish for a second factor is left to each decision, which says so in words.
    if (!context.key_is_enough && count_kinds() < p.factors) return disconnect("SP-1001", "the principal needs more factors than are enrolled");
    return succeed(p, snapshot, locks, throttle, now);
  }

  LoginAnswer succeed(const Principal& p, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now) {
    finished = true;
    throttle.succeeded(context.source, p.name.view(), now.boot);
    LoginIdentity identity;
    identity.principal = p.name;
    identity.display = p.display.empty() ? p.name.str() : p.display;
    identity.target = TargetId(parsed->target);
    identity.account = AccountName(parsed->account);
    identity.bare = parsed->target.empty();
    identity.factors = all_factors();
    identity.certificate = certificate;
    identity.key_fingerprint = key_fingerprint;
    identity.certificate_id = certificate_id;
    if (!identity.bare && identity.account.empty()) {
      const auto rows = list_accounts(snapshot, locks, request_for(p, now));
      if (rows.size() == 1) {
        identity.account = rows.front().account->name;
      } else if (rows.empty()) {
        identity.problem_code = "SP-2020";
        identity.problem = "no role of yours reaches `" + parsed->target + "`";
      } else {
        identity.problem_code = "SP-2021";
        for (const Reachable& row : rows) identity.problem += (identity.problem.empty() ? "you may use " : ", ") + row.account->name.str();
        identity.problem += " on `" + parsed->target + "`";
      }
    }
    LoginAnswer out = answer(Result::success, "", "");
    out.identity = std::move(identity);
    return out;
  }

  LoginAnswer take_key(const LoginAttempt& attempt, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now) {
    const Principal* p = principal(snapshot);
    OfferedKey offered = judge_key(snapshot, p, name(), attempt, context.source, now.wall, enrolled());
    if (context.web) {
      // Only the key of this one terminal, and only for who signed in there.
      const bool is_its = p != nullptr && p->name == context.web->principal && attempt.key_blob == context.web->key_blob;
      OfferedKey shown;
      shown.accepted = is_its;
      shown.reason = is_its ? "" : "not the key of this browser terminal";
      shown.fingerprint = offered.fingerprint;
      offered = std::move(shown);
    }
    event.method = offered.is_certificate ? "certificate" : context.web ? "web" : "publickey";
    event.fingerprint = offered.fingerprint;
#ifdef SALLYPORT_PLANTED_OFFERED_KEY_IS_IDENTITY
    if (attempt.probe && offered.accepted) return prove(*p, ProvenFactor{FactorKind::key, now.wall, false}, snapshot, locks, throttle, now);
#endif
    if (attempt.probe && !attempt.invalid_signature) {
      if (!offered.accepted) return refuse(snapshot, throttle, now, offered.reason);
      if (++accepted_probes > k_max_accepted_probes) return disconnect("SP-1002", "too many keys offered without a signature");
      LoginAnswer out = answer(Result::key_ok, "", "");
      out.delay = throttle.ask_key(context.source, now.boot).delay;
      return out;
    }
    // Verified whether the key is accepted or not: the time it takes says nothing about who is known.
    const SignatureFacts signature = attempt.invalid_signature ? SignatureFacts{false, true, false, "the library refused the signature"} : check_signature(attempt);
    if (!signature.right) {
      throttle.failed(context.source, name(), false, now.boot);
      return refuse(snapshot, throttle, now, "wrong signature: " + signature.reason);
    }
    if (offered.belongs_to_another) {
      if (context.outer) return refuse(snapshot, throttle, now, offered.reason, "SP-1006");
      if (!factors.empty()) return disconnect("SP-1004", "the second factor is of another principal");
    }
    if (!offered.accepted) return refuse(snapshot, throttle, now, offered.reason);
    if (!signature.user_present) return refuse(snapshot, throttle, now, "the security key was not touched");
    if (offered.verify_required && !signature.user_verified) return refuse(snapshot, throttle, now, "the security key did not verify its user");
    if (has(FactorKind::key)) return refuse(snapshot, throttle, now, "a key was already proven; another kind of factor is needed");
    if (context.web) return take_web(*p, snapshot, locks, throttle, now);
    certificate = offered.limits;
    key_fingerprint = offered.fingerprint;
    certificate_id = offered.certificate_id;
    if (offered.issued != nullptr)  // what she had proven when the certificate was given to her, with its true age
      std::copy_if(offered.issued->factors.begin(), offered.issued->factors.end(), std::back_inserter(factors),
                   [&](const ProvenFactor& f) { return !is_key(f.kind) && !has(f.kind); });
    return prove(*p, ProvenFactor{offered.is_certificate ? FactorKind::certificate : FactorKind::key, now.wall, signature.user_verified, offered.hardware}, snapshot,
                 locks, throttle, now);
  }

  /// The key of a browser's terminal is nobody's enrolled key and no factor: it says which terminal this is. What was proven in
  /// the browser counts, with its true age; a token, which is shown as a key is, counts as one.
  LoginAnswer take_web(const Principal& p, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now) {
    if (!factors.empty()) return refuse(snapshot, throttle, now, "what was proven in the browser counts once");
    certificate_id = context.web->proven_by;
    std::vector<ProvenFactor> shown = context.web->factors;
    if (shown.empty()) shown.push_back({FactorKind::key, now.wall, false});
    factors.assign(shown.begin() + 1, shown.end());
    return prove(p, shown.front(), snapshot, locks, throttle, now);
  }

  Step take_password(Secret password, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now) {
    event.method = "password";
    const Principal* p = principal(snapshot);
#ifdef SALLYPORT_PLANTED_NULL_PASSWORD_ACCEPTED
    if (p != nullptr && password.empty()) return prove(*p, ProvenFactor{FactorKind::password, now.wall, false}, snapshot, locks, throttle, now);
#else
    (void)locks;
#endif
    if (context.outer) return refuse(snapshot, throttle, now, "a jump is proven by key", "SP-1007");
    if (password.size() > k_max_password_bytes) {
      throttle.failed(context.source, name(), true, now.boot);
      return refuse(snapshot, throttle, now, "the password is longer than 1024 bytes");
    }
    if (!offers_passwords(snapshot)) return refuse(snapshot, throttle, now, "passwords are not offered");
    const Throttle::Verdict verdict = throttle.ask_guessable(context.source, name(), now.boot);
    if (!verdict.evaluate) {
      LoginAnswer out = refuse(snapshot, throttle, now, "slowed down: not looked at", "SP-5003");
      out.delay = std::max(out.delay, verdict.delay);
      return out;
    }
    const bool usable = p != nullptr && p->type == PrincipalType::person && has_password(*p) && !has(FactorKind::password);
    waiting = Waiting::password;
    waiting_hash = usable ? password_of(*p) : std::string();
    if (usable && waiting_hash == k_directory) return PasswordCheck{snapshot.dummy_password_hash(), std::move(password), p->name.str()};
    return PasswordCheck{usable ? p->password_hash : snapshot.dummy_password_hash(), std::move(password)};
  }

  Step take_code(Secret code, const Snapshot& snapshot, Throttle& throttle, LoginTimes now) {
    event.method = "totp";
    const Principal* p = principal(snapshot);
    if (p == nullptr || !takes_codes(*p)) return refuse(snapshot, throttle, now, "no one-time code is enrolled");
    if (code.empty() || code.size() > k_max_code_bytes) {
      throttle.failed(context.source, name(), true, now.boot);
      return refuse(snapshot, throttle, now, "not a one-time code");
    }
    const Throttle::Verdict verdict = throttle.ask_guessable(context.source, name(), now.boot);
    if (!verdict.evaluate) {
      LoginAnswer out = refuse(snapshot, throttle, now, "slowed down: not looked at", "SP-5003");
      out.delay = std::max(out.delay, verdict.delay);
      return out;
    }
    waiting = Waiting::code;
    return TotpCheck{p->name, enrolled().totp_secret(*p), std::move(code)};
  }

  Step take_interactive(LoginAttempt& attempt, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now) {
    if (context.outer) return refuse(snapshot, throttle, now, "a jump is proven by key", "SP-1007");
    if (!offers_passwords(snapshot) && !may_sign_on(snapshot)) return refuse(snapshot, throttle, now, "keyboard-interactive is not offered");
    if (attempt.responses.empty()) {
      if (asked == Asked::sign_on) {
        waiting = Waiting::sign_on;
        return SignOnStep{true};
      }
      if (asked == Asked::to_read) {
        asked = Asked::nothing;
        event.method = sign_on_code == "SP-9320" ? "password" : "sign-on";
        return refuse(snapshot, throttle, now, sign_on_reason, sign_on_code);
      }
      if (asked != Asked::nothing) return refuse(snapshot, throttle, now, "began again without answering");
      const Principal* p = principal(snapshot);
      const bool wants_code = !factors.empty() && p != nullptr && takes_codes(*p) && !has(FactorKind::totp);
      const bool wants_password = !factors.empty() && p != nullptr && has_password(*p) && !has(FactorKind::password);
      if (!wants_code && !wants_password && may_sign_on(snapshot) && (context.sign_on_first || !offers_passwords(snapshot))) return begin_sign_on(snapshot, throttle, now);
      asked = wants_code ? Asked::code : Asked::password;
      LoginAnswer out = answer(Result::ask, "", "");
      out.prompts.push_back(LoginPrompt{wants_code ? "One-time code: " : may_sign_on(snapshot) ? "Password (none: sign on by browser): " : "Password: ", false});
      return out;
    }
    const Asked question = std::exchange(asked, Asked::nothing);
    if (question == Asked::nothing || attempt.responses.size() != 1) return refuse(snapshot, throttle, now, "an answer to nothing that was asked");
    if (question == Asked::password && attempt.responses.front().empty() && may_sign_on(snapshot)) return begin_sign_on(snapshot, throttle, now);
    if (question == Asked::code) return take_code(std::move(attempt.responses.front()), snapshot, throttle, now);
    return take_password(std::move(attempt.responses.front()), snapshot, locks, throttle, now);
  }

  Step begin_sign_on(const Snapshot& snapshot, Throttle& throttle, LoginTimes now) {
    event.method = "sign-on";
    const Throttle::Verdict verdict = throttle.ask_guessable(context.source, name(), now.boot);
    if (!verdict.evaluate) {
      LoginAnswer out = refuse(snapshot, throttle, now, "slowed down: not looked at", "SP-5003");
      out.delay = std::max(out.delay, verdict.delay);
      return out;
    }
    waiting = Waiting::sign_on;
    return SignOnStep{false};
  }

  /// She reads why, and whatever her client answers is the refusal.
  LoginAnswer tell(const std::string& code, std::string reason) {
    asked = Asked::to_read;
    sign_on_code = code;
    sign_on_reason = reason;
    LoginAnswer out = answer(Result::ask, std::move(reason), code);
    out.instruction = render(make_notice(code));
    return out;
  }

  LoginAnswer take_sign_on(const SignOnWord& word, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now) {
    event.method = "sign-on";
    const Principal* p = principal(snapshot);
    switch (word.state) {
      case SignOnWord::State::begun:
      case SignOnWord::State::waiting: {
        asked = Asked::sign_on;
        LoginAnswer out = answer(Result::ask, "", "");
        if (word.state == SignOnWord::State::waiting) out.event.result = "waiting";
        out.instruction = word.instruction;
        return out;
      }
      case SignOnWord::State::away:
        // What other ways there are go on; who has shown a factor already has nothing more that she could give.
        if (!factors.empty() && p != nullptr && count_kinds() >= p->factors) return succeed(*p, snapshot, locks, throttle, now);
        if (factors.empty() && offers_passwords(snapshot)) {
          asked = Asked::password;
          LoginAnswer out = answer(Result::ask, word.reason, word.code);
          out.instruction = render(make_notice(word.code));
          out.prompts.push_back(LoginPrompt{"Password: ", false});
          context.can_sign_on = false;
          return out;
        }
        return tell(word.code, word.reason);
      case SignOnWord::State::refused:
        throttle.failed(context.source, name(), true, now.boot);
        return tell(word.code, word.reason);
      case SignOnWord::State::proven: break;
    }
    if (p == nullptr || p->name != word.principal || p->type != PrincipalType::person) {
      throttle.failed(context.source, name(), true, now.boot);
      return tell("SP-9703", "the identity provider names `" + word.principal.str() + "`, the login is of `" + name() + "`");
    }
    return prove(*p, ProvenFactor{FactorKind::sign_on, word.proven, word.second_factor}, snapshot, locks, throttle, now);
  }
};

Login::Login(LoginContext context) : state_(std::make_unique<State>(std::move(context))) {}
Login::~Login() = default;
Login::Login(Login&&) noexcept = default;
Login& Login::operator=(Login&&) noexcept = default;

unsigned Login::failures() const noexcept { return state_->failures; }
unsigned Login::factors_proven() const noexcept { return static_cast<unsigned>(state_->factors.size()); }

Login::Step Login::take(LoginAttempt attempt, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now) {
  State& s = *state_;
  s.event = LoginEvent{};
  s.event.user = printable(attempt.user);
  s.event.method = std::string(word_of(attempt.method));
  if (s.finished) return s.disconnect("SP-1002", "an attempt after the end of the login");
  if (s.waiting != State::Waiting::nothing) return s.disconnect("SP-5006", "an attempt before the last one was answered");
#ifdef SALLYPORT_PLANTED_USER_CHANGE_KEEPS_STATE
  if (s.user && *s.user != attempt.user) s.user.reset();
#endif
  if (s.user && *s.user != attempt.user) {
    s.event.counted = true;
    return s.disconnect("SP-1003", "the user name changed");
  }
  if (!s.user) {
    s.user = attempt.user;
    if (!s.context.outer) {
      s.parsed = parse_user_string(attempt.user);
    } else if (is_account_name(attempt.user)) {
      s.parsed = UserString{s.context.outer->principal.str(), attempt.user, s.context.outer->target.str()};
    }
  }
  if (const Principal* p = s.principal(snapshot)) s.event.principal = p->name.str();
  // An interactive exchange that was left for another method is over.
  if (attempt.method != Method::keyboard_interactive) s.asked = State::Asked::nothing;

  s.interactive = attempt.method == Method::keyboard_interactive;

  switch (attempt.method) {
    case Method::none: {
      if (s.free_nones == 0) return s.refuse(snapshot, throttle, now, "`none` again");
      --s.free_nones;
      LoginAnswer out = s.answer(Result::refused, "asked which methods there are", s.context.outer ? "SP-1007" : "SP-1001");
      out.methods_left = s.methods_left(snapshot);
      return out;
    }
    case Method::publickey: return s.take_key(attempt, snapshot, locks, throttle, now);
    case Method::password: return s.take_password(std::move(attempt.password), snapshot, locks, throttle, now);
    case Method::keyboard_interactive: return s.take_interactive(attempt, snapshot, locks, throttle, now);
    case Method::other: break;
  }
  return s.refuse(snapshot, throttle, now, "an unknown method");
}

Login::Step Login::resume(bool right, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now) {
  State& s = *state_;
  const State::Waiting waited = std::exchange(s.waiting, State::Waiting::nothing);
  const std::string hash = std::exchange(s.waiting_hash, {});
  if (s.finished || waited == State::Waiting::nothing || waited == State::Waiting::sign_on) return s.disconnect("SP-5006", "an answer to nothing that was asked");
  const Principal* p = s.principal(snapshot);
  if (waited == State::Waiting::password) {
    // The dummy hash proves nobody, nor does one that was replaced while it was being checked.
    const bool proven = right && p != nullptr && !hash.empty() && State::password_of(*p) == hash;
    if (!proven) {
      throttle.failed(s.context.source, s.name(), true, now.boot);
      return s.refuse(snapshot, throttle, now, p == nullptr ? "unknown principal" : hash.empty() ? "no password is enrolled" : "wrong password");
    }
    return s.prove(*p, ProvenFactor{FactorKind::password, now.wall, false}, snapshot, locks, throttle, now);
  }
  if (!right || p == nullptr || !s.takes_codes(*p)) {
    throttle.failed(s.context.source, s.name(), true, now.boot);
    return s.refuse(snapshot, throttle, now, "wrong or used one-time code");
  }
  return s.prove(*p, ProvenFactor{FactorKind::totp, now.wall, false}, snapshot, locks, throttle, now);
}

Login::Step Login::take_passkey(const std::optional<ProvenFactor>& proven, const std::string& code, std::string reason, const Snapshot& snapshot, const Locks& locks,
                                Throttle& throttle, LoginTimes now) {
  State& s = *state_;
  s.event = LoginEvent{};
  s.event.user = s.user.value_or("");
  s.event.method = "passkey";
  if (s.finished || s.waiting != State::Waiting::nothing) return s.disconnect("SP-5006", "an attempt before the last one was answered");
  s.asked = State::Asked::nothing;
  const Principal* p = s.principal(snapshot);
  if (p != nullptr) s.event.principal = p->name.str();
  if (s.factors.empty() || p == nullptr || !s.shows_passkeys(*p) || s.has(FactorKind::passkey)) return s.refuse(snapshot, throttle, now, "no passkey is asked for");
  if (!proven) {
    throttle.failed(s.context.source, s.name(), true, now.boot);
    return s.refuse(snapshot, throttle, now, std::move(reason), code);
  }
  return s.prove(*p, *proven, snapshot, locks, throttle, now);
}

Login::Step Login::resume_unchecked(const std::string& code, std::string reason, const Snapshot& snapshot, Throttle& throttle, LoginTimes now) {
  State& s = *state_;
  const State::Waiting waited = std::exchange(s.waiting, State::Waiting::nothing);
  s.waiting_hash.clear();
  if (s.finished || waited != State::Waiting::password) return s.disconnect("SP-5006", "an answer to nothing that was asked");
  if (s.interactive) return s.tell(code, std::move(reason));
  return s.refuse(snapshot, throttle, now, std::move(reason), code);
}

Login::Step Login::resume_sign_on(const SignOnWord& word, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now) {
  State& s = *state_;
  const State::Waiting waited = std::exchange(s.waiting, State::Waiting::nothing);
  if (s.finished || waited != State::Waiting::sign_on) return s.disconnect("SP-5006", "an answer to nothing that was asked");
  return s.take_sign_on(word, snapshot, locks, throttle, now);
}

Login::Step Login::begin_signed_on(const SignOnWord& word, const Snapshot& snapshot, const Locks& locks, Throttle& throttle, LoginTimes now) {
  State& s = *state_;
  s.event = LoginEvent{};
  s.event.user = printable(word.principal.view());
  s.event.method = "sign-on";
  if (s.user || s.finished) return s.disconnect("SP-1003", "a login that has begun already");
  s.user = word.principal.str();
  s.parsed = parse_user_string(*s.user);
  if (s.parsed && !s.parsed->target.empty()) s.parsed.reset();  // a person, not a way to a target
  if (const Principal* p = s.principal(snapshot)) s.event.principal = p->name.str();
  if (word.state == SignOnWord::State::proven && s.principal(snapshot) != nullptr && s.principal(snapshot)->type == PrincipalType::person)
    return s.take_sign_on(word, snapshot, locks, throttle, now);
  return s.refuse(snapshot, throttle, now, "the identity provider names nobody here", "SP-9703");
}

}  // namespace sallyport::policy
