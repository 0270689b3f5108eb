#include "policy/authority/web_sessions.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <utility>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/ulid.h"
#include "platform/model/bytes.h"
#include "policy/authority/sign_on.h"

namespace sallyport::authority {
namespace {

using Answer = policy::LoginAnswer;

constexpr std::size_t k_most_pending = 1000;
constexpr std::size_t k_most_sessions = 10'000;
constexpr std::size_t k_most_of_one = 20;
constexpr std::chrono::minutes k_login_takes{2};
constexpr unsigned k_most_failures = 5;

std::string hash_of(std::string_view cookie) { return crypto::to_hex(crypto::sha256(bytes_of(cookie))); }

policy::LoginAttempt attempt(const std::string& user, policy::LoginAttempt::Method method) {
  policy::LoginAttempt one;
  one.user = user;
  one.method = method;
  return one;
}

}  // namespace

WallTime WebSession::proven() const {
  if (const auto second = policy::second_factor_time(factors)) return *second;
  WallTime newest{};
  for (const policy::ProvenFactor& factor : factors) newest = std::max(newest, factor.proven);
  return newest;
}

std::chrono::milliseconds WebSessions::fresh_for() const { return authority_.settings.duration("admin_web_fresh_ms", std::chrono::minutes(10)); }
std::chrono::milliseconds WebSessions::idle_for() const { return authority_.settings.duration("admin_web_idle_ms", std::chrono::minutes(30)); }

std::string WebSessions::random_text() const {
  std::array<std::byte, 32> bytes{};
  authority_.random.fill(bytes);
  return crypto::to_hex(bytes);
}

void WebSessions::sweep() {
  const BootTime now = authority_.clock.boot();
  std::erase_if(pending_, [&](const auto& one) { return !one.second->busy && now - one.second->began > k_login_takes; });
  std::vector<std::string> over;
  for (const auto& [hash, session] : sessions_)
    if (now - session.used_at > idle_for() || session.expires <= authority_.now()) over.push_back(session.id);
  for (const std::string& id : over) close(id, "it was idle or lasted long enough");
}

void WebSessions::refuse(std::chrono::milliseconds delay, std::string code, const Done& done) {
  static_cast<void>(authority_.deadlines.after(delay, [code = std::move(code), done] {
    WebLoginAnswer answer;
    answer.code = code;
    done(std::move(answer));
  }));
}

WebSessions::PendingPtr WebSessions::make_pending(const IpAddress& source, std::string user) const {
  policy::LoginContext context;
  context.source = source;
  context.max_attempts = k_most_failures;
  context.at_least = 2;
  context.can_show_keys = false;
  context.can_show_passkeys = true;
  context.enrolled = &authority_.sign_on->enrolled;
  auto pending = std::make_shared<Pending>();
  pending->login = std::make_unique<policy::Login>(std::move(context));
  pending->user = std::move(user);
  pending->source = source;
  pending->began = authority_.clock.boot();
  pending->busy = true;
  return pending;
}

void WebSessions::begin_signed_on(const policy::SignOnWord& word, const IpAddress& source, Done done) {
  sweep();
  if (const std::string code = authority_.journal.refusal(); !code.empty()) return refuse({}, code, done);
  if (pending_.size() >= k_most_pending) return refuse(std::chrono::seconds(1), "SP-7010", done);
  const PendingPtr pending = make_pending(source, word.principal.str());
  const std::string id = random_text();
  pending_[id] = pending;
  step(id, pending, pending->login->begin_signed_on(word, *authority_.snapshot, authority_.locks, authority_.throttle, {authority_.now(), authority_.clock.boot()}), std::move(done));
}

void WebSessions::begin(const std::string& user, Secret password, const IpAddress& source, Done done) {
  sweep();
  if (const std::string code = authority_.journal.refusal(); !code.empty()) return refuse({}, code, done);
  if (pending_.size() >= k_most_pending) return refuse(std::chrono::seconds(1), "SP-7010", done);
  // "engineer+target" is an ssh name: in the web one signs in as a person, not to a target.
  const PendingPtr pending = make_pending(source, user.find('+') == std::string::npos ? user : std::string("+"));
  const std::string id = random_text();
  pending_[id] = pending;
  policy::LoginAttempt first = attempt(pending->user, policy::LoginAttempt::Method::password);
  first.password = std::move(password);
  step(id, pending, pending->login->take(std::move(first), *authority_.snapshot, authority_.locks, authority_.throttle, {authority_.now(), authority_.clock.boot()}),
       std::move(done));
}

void WebSessions::go_on(const std::string& login, Secret code, const IpAddress& source, Done done) {
  sweep();
  const auto found = pending_.find(login);
  if (found == pending_.end() || found->second->busy || !found->second->wants_code || found->second->source != source) return refuse({}, "SP-9304", done);
  const PendingPtr pending = found->second;
  pending->busy = true;
  const policy::LoginTimes now{authority_.now(), authority_.clock.boot()};
  auto asked = pending->login->take(attempt(pending->user, policy::LoginAttempt::Method::keyboard_interactive), *authority_.snapshot, authority_.locks, authority_.throttle, now);
  auto* question = std::get_if<Answer>(&asked);
  if (question == nullptr || question->result != Answer::Result::ask) return step(login, pending, std::move(asked), std::move(done));
  policy::LoginAttempt second = attempt(pending->user, policy::LoginAttempt::Method::keyboard_interactive);
  second.responses.push_back(std::move(code));
  step(login, pending, pending->login->take(std::move(second), *authority_.snapshot, authority_.locks, authority_.throttle, now), std::move(done));
}

Result<PasskeyAsk> WebSessions::ask_passkey(const std::string& login, const IpAddress& source) {
  sweep();
  const auto found = pending_.find(login);
  if (found == pending_.end() || found->second->busy || !found->second->wants_code || found->second->source != source) return fail(Errc::denied, "SP-9304");
  return authority_.sign_on->passkeys.begin_show("login:" + login, found->second->user);
}

void WebSessions::go_on_passkey(const std::string& login, const PasskeyShown& shown, const IpAddress& source, Done done) {
  sweep();
  const auto found = pending_.find(login);
  if (found == pending_.end() || found->second->busy || !found->second->wants_code || found->second->source != source) return refuse({}, "SP-9304", done);
  const PendingPtr pending = found->second;
  pending->busy = true;
  authority_.sign_on->passkeys.finish_show("login:" + login, pending->user, shown, [this, login, pending, done](const Result<policy::ProvenFactor>& proven) {
    const policy::LoginTimes now{authority_.now(), authority_.clock.boot()};
    const std::optional<policy::ProvenFactor> factor = proven ? std::optional(*proven) : std::nullopt;
    const std::string code = proven ? std::string() : code_of(proven.error());
    std::string reason = proven ? std::string() : reason_of(proven.error());
    step(login, pending, pending->login->take_passkey(factor, code, std::move(reason), *authority_.snapshot, authority_.locks, authority_.throttle, now), done);
  });
}

void WebSessions::step(const std::string& id, const PendingPtr& pending, policy::Login::Step what, Done done) {
  const auto resume = [this, id, pending, done](bool right) {
    step(id, pending, pending->login->resume(right, *authority_.snapshot, authority_.locks, authority_.throttle, {authority_.now(), authority_.clock.boot()}), done);
  };
  if (auto* password = std::get_if<policy::PasswordCheck>(&what)) {
    return authority_.sign_on->checks.password(std::move(*password), [this, id, pending, done, resume](FactorChecks::Password said) {
      if (said != FactorChecks::Password::unchecked) return resume(said == FactorChecks::Password::right);
      step(id, pending, pending->login->resume_unchecked("SP-9320", "the directory could not be asked", *authority_.snapshot, authority_.throttle, {authority_.now(), authority_.clock.boot()}), done);
    });
  }
  if (auto* code = std::get_if<policy::TotpCheck>(&what)) return authority_.sign_on->checks.code(*code, resume);
  judge(id, pending, std::move(std::get<Answer>(what)), std::move(done));
}

void WebSessions::judge(const std::string& id, const PendingPtr& pending, Answer answer, Done done) {
  pending->busy = false;
  if (answer.result == Answer::Result::success && answer.identity) {
    pending_.erase(id);
    const policy::Principal* principal = authority_.snapshot->find_principal(answer.identity->principal.view());
    if (principal == nullptr || principal->type != policy::PrincipalType::person) return refuse({}, "SP-1001", done);
    std::string method;
    for (const policy::ProvenFactor& factor : answer.identity->factors) method += (method.empty() ? "" : ",") + std::string(policy::name_of(factor.kind));
    return open(*principal, answer.identity->factors, method, pending->source, std::move(done));
  }
  EventJson json;
  json.text("via", "web").text("source", pending->source.str()).text("user", answer.event.user).text("principal", answer.event.principal).text("method", answer.event.method);
  json.text("result", answer.event.result).text("reason", answer.event.reason);
  WebLoginAnswer next;
  if (answer.result == Answer::Result::partial) {
    if (std::find(answer.methods_left.begin(), answer.methods_left.end(), "keyboard-interactive") != answer.methods_left.end()) next.ways.emplace_back("code");
    if (std::find(answer.methods_left.begin(), answer.methods_left.end(), "passkey") != answer.methods_left.end()) next.ways.emplace_back("passkey");
  }
  const bool asks_code = !next.ways.empty();
  const std::string code = answer.event.code.empty() ? "SP-1001" : answer.event.code;
  if (!asks_code) json.text("decision", "deny").text("code", code);
  authority_.note("auth.attempted", json);
  if (asks_code) {
    pending->wants_code = true;
    next.state = WebLoginAnswer::State::code;
    next.login = id;
    return done(std::move(next));
  }
  // A wrong code may be tried again on the same login; everything else begins anew.
  if (!pending->wants_code || answer.result == Answer::Result::disconnect) pending_.erase(id);
  refuse(answer.delay, code, done);
}

void WebSessions::open(const policy::Principal& principal, std::vector<policy::ProvenFactor> factors, std::string method, const IpAddress& source, Done done) {
  sweep();
  const auto held = std::count_if(sessions_.begin(), sessions_.end(), [&](const auto& one) { return one.second.principal == principal.name.view(); });
  if (sessions_.size() >= k_most_sessions || held >= static_cast<std::ptrdiff_t>(k_most_of_one)) {
    authority_.note("auth.attempted", EventJson().text("via", "web").text("principal", principal.name.view()).text("reason", "too many web sessions").text("decision", "deny").text("code", "SP-2012"));
    return refuse({}, "SP-2012", done);
  }
  EventJson json;
  json.text("via", "web").text("source", source.str()).text("principal", principal.name.view()).text("method", method).text("factors", method).text("decision", "allow");
  authority_.journal.append("auth.succeeded", json.str(), {},
                            [this, name = principal.name.str(), factors = std::move(factors), method, source, done = std::move(done)](const Result<Appended>& stored) mutable {
                              if (!stored) return refuse({}, "SP-4004", done);
                              opened(name, std::move(factors), std::move(method), source, done);
                            });
}

void WebSessions::opened(const std::string& principal, std::vector<policy::ProvenFactor> factors, std::string method, const IpAddress& source, const Done& done) {
  std::string cookie = random_text();
  WebSession session;
  session.id = crypto::make_ulid(authority_.clock, authority_.random);
  session.principal = principal;
  session.csrf = random_text();
  session.source = source.str();
  session.method = std::move(method);
  session.factors = std::move(factors);
  session.began = authority_.now();
  session.expires = session.began + std::chrono::duration_cast<std::chrono::microseconds>(authority_.settings.duration("admin_web_lasts_ms", std::chrono::hours(8)));
  session.began_at = authority_.clock.boot();
  session.used_at = session.began_at;
  authority_.throttle.succeeded(source, principal, authority_.clock.boot());
  authority_.store->remember_source({principal, policy::source_key(source), authority_.now_us()});
  const auto placed = sessions_.emplace(hash_of(cookie), std::move(session)).first;
  authority_.note("web.session_opened", EventJson().text("web_session", placed->second.id).text("principal", principal).text("source", source.str()).text("method", placed->second.method));
  WebLoginAnswer answer;
  answer.state = WebLoginAnswer::State::done;
  answer.cookie = Secret(std::string_view(cookie));
  answer.session = &placed->second;
  OPENSSL_cleanse(cookie.data(), cookie.size());
  done(std::move(answer));
}

Result<Operator> WebSessions::recognise(std::string_view cookie, const IpAddress& source) {
  sweep();
  const auto found = sessions_.find(hash_of(cookie));
  if (found == sessions_.end()) return fail(Errc::denied, "no such web session");
  WebSession& session = found->second;
  const policy::Principal* principal = authority_.snapshot->find_principal(session.principal);
  std::string why;
  if (principal == nullptr) why = "the principal is gone";
  else if (principal->expires && *principal->expires <= authority_.now()) why = "the principal has expired";
  else if (authority_.locks.find(session.principal, {}, {}, authority_.now()) != nullptr) why = "the principal is locked";
  else if (!principal->networks.empty() && std::none_of(principal->networks.begin(), principal->networks.end(), [&](const Network& n) { return n.contains(source); }))
    why = "used from " + source.str() + ", which is not among the principal's networks";
  if (!why.empty()) {
    close(std::string(session.id), why);
    return fail(Errc::denied, why);
  }
  session.used_at = authority_.clock.boot();
  Operator who;
  who.name = session.principal;
  who.principal = session.principal;
  who.source = source.str();
  who.web_session = session.id;
  return who;
}

const WebSession* WebSessions::find(const std::string& id) const {
  const auto found = std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& one) { return one.second.id == id; });
  return found == sessions_.end() ? nullptr : &found->second;
}

bool WebSessions::is_live(const std::string& id) const {
  const WebSession* session = find(id);
  return session != nullptr && authority_.clock.boot() - session->used_at <= idle_for() && session->expires > authority_.now();
}

void WebSessions::touch(const std::string& id) {
  if (!is_live(id)) return;
  for (auto& [hash, session] : sessions_)
    if (session.id == id) session.used_at = authority_.clock.boot();
}

void WebSessions::close(const std::string& id, std::string_view why) {
  const auto found = std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& one) { return one.second.id == id; });
  if (found == sessions_.end()) return;
  authority_.note("web.session_closed", EventJson().text("web_session", id).text("principal", found->second.principal).text("why", why));
  sessions_.erase(found);
}

void WebSessions::close_all_of(std::string_view principal, std::string_view why) {
  std::vector<std::string> hers;
  for (const auto& [hash, session] : sessions_)
    if (session.principal == principal) hers.push_back(session.id);
  for (const std::string& id : hers) close(id, why);
}

void WebSessions::refresh(const std::string& id, policy::ProvenFactor factor) {
  for (auto& [hash, session] : sessions_) {
    if (session.id != id) continue;
    std::erase_if(session.factors, [&](const policy::ProvenFactor& known) { return known.kind == factor.kind; });
    session.factors.push_back(factor);
    session.failures = 0;
    authority_.note("auth.proven_again", EventJson().text("via", "web").text("web_session", id).text("principal", session.principal).text("factor", policy::name_of(factor.kind)));
  }
}

std::string WebSessions::step_up_of(const std::string& principal) const {
  const policy::Principal* known = authority_.snapshot->find_principal(principal);
  if (known == nullptr) return {};
  if (!authority_.sign_on->enrolled.totp_secret(*known).empty()) return "totp";
  if (authority_.sign_on->enrolled.has_passkeys(*known)) return "passkey";
  if (!known->password_hash.empty() || policy::asks_directory(*known, "password")) return "password";
  return authority_.sign_on->oidc.has_web() ? "sign-on" : std::string();
}

bool WebSessions::has_passkeys(const std::string& principal) const {
  const policy::Principal* known = authority_.snapshot->find_principal(principal);
  return known != nullptr && authority_.sign_on->enrolled.has_passkeys(*known);
}

Result<PasskeyAsk> WebSessions::ask_passkey_again(const std::string& id) {
  const WebSession* session = find(id);
  if (session == nullptr) return fail(Errc::denied, "SP-9301");
  return authority_.sign_on->passkeys.begin_show("again:" + id, session->principal);
}

void WebSessions::prove_again_by_passkey(const std::string& id, const PasskeyShown& shown, const IpAddress& source, std::function<void(Result<void>)> done) {
  const WebSession* session = find(id);
  if (session == nullptr) return done(fail(Errc::denied, "SP-9301"));
  authority_.sign_on->passkeys.finish_show("again:" + id, session->principal, shown, [this, id, principal = session->principal, source, done = std::move(done)](const Result<policy::ProvenFactor>& proven) {
    if (!proven) return fail_again(id, principal, source, "passkey", code_of(proven.error()), reason_of(proven.error()), done);
    refresh(id, *proven);
    done({});
  });
}

void WebSessions::fail_again(const std::string& id, const std::string& principal, const IpAddress& source, const std::string& method, const std::string& code, const std::string& reason,
                             std::function<void(Result<void>)> done) {
  authority_.throttle.failed(source, principal, true, authority_.clock.boot());
  authority_.note("auth.attempted", EventJson().text("via", "web").text("web_session", id).text("principal", principal).text("source", source.str()).text("method", method)
                                        .text("result", "refused").text("reason", reason).text("decision", "deny").text("code", code));
  for (auto& [hash, one] : sessions_)
    if (one.id == id && ++one.failures > k_most_failures) {
      close(id, "too many wrong factors");
      break;
    }
  static_cast<void>(authority_.deadlines.after(authority_.throttle.penalty(source, authority_.clock.boot()), [code, done = std::move(done)] { done(fail(Errc::denied, code + " it is not right")); }));
}

void WebSessions::prove_again(const std::string& id, Secret factor, const IpAddress& source, std::function<void(Result<void>)> done) {
  const WebSession* session = find(id);
  if (session == nullptr) return done(fail(Errc::denied, "no such web session"));
  const policy::Principal* principal = authority_.snapshot->find_principal(session->principal);
  const std::string kind = step_up_of(session->principal);
  if (kind == "sign-on") return done(fail(Errc::denied, "sign on again at the identity provider: POST /v1/login/oidc with `again`"));
  if (principal == nullptr || kind.empty()) return done(fail(Errc::denied, "there is no factor that could be given here"));
  const auto verdict = authority_.throttle.ask_guessable(source, session->principal, authority_.clock.boot());
  if (!verdict.evaluate) {
    static_cast<void>(authority_.deadlines.after(verdict.delay, [done = std::move(done)] { done(fail(Errc::unavailable, "too many wrong ones lately; wait a little")); }));
    return;
  }
  const auto judged = [this, id, source, kind, name = session->principal, done](bool right) {
    if (right) {
      refresh(id, {kind != "password" ? policy::FactorKind::totp : policy::FactorKind::password, authority_.now(), false});
      return done({});
    }
    fail_again(id, name, source, kind, "SP-9305", "", done);
  };
  // Who has passkeys only gives a recovery code here.
  if (kind == "totp" || kind == "passkey") return authority_.sign_on->checks.code({principal->name, authority_.sign_on->enrolled.totp_secret(*principal), std::move(factor)}, judged);
  const bool asks = policy::asks_directory(*principal, "password");
  authority_.sign_on->checks.password({principal->password_hash, std::move(factor), asks ? principal->name.str() : std::string()}, [judged, done](FactorChecks::Password said) {
    if (said == FactorChecks::Password::unchecked) return done(fail(Errc::unavailable, "the directory could not be asked"));
    judged(said == FactorChecks::Password::right);
  });
}

}  // namespace sallyport::authority
