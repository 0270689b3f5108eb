#include "policy/authority/logins.h"

#include <utility>

#include "platform/model/json_text.h"
#include "policy/access/held_roles.h"
#include "policy/authority/glass.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/sign_on.h"
#include "policy/authority/web_terminals.h"

namespace sallyport::authority {
namespace {

using control::AuthAnswer;
using Result_ = policy::LoginAnswer::Result;

AuthAnswer::Result result_of(Result_ result) {
  switch (result) {
    case Result_::refused: return AuthAnswer::REFUSED;
    case Result_::key_ok: return AuthAnswer::KEY_OK;
    case Result_::partial: return AuthAnswer::PARTIAL;
    case Result_::success: return AuthAnswer::SUCCESS;
    case Result_::disconnect: return AuthAnswer::DISCONNECT;
    case Result_::ask: return AuthAnswer::ASK;
  }
  return AuthAnswer::REFUSED;
}

policy::LoginAttempt attempt_of(const control::AuthAttempt& sent, const std::string& exchange_hash) {
  policy::LoginAttempt attempt;
  attempt.user = sent.user();
  attempt.method = policy::parse_login_method(sent.method());
  attempt.probe = sent.probe();
  attempt.algorithm = sent.algorithm();
  attempt.key_blob = sent.key_blob();
  attempt.session_hash = exchange_hash;
  attempt.signed_data = sent.signed_data();
  attempt.signature = sent.signature();
  attempt.password = Secret(std::string_view(sent.password()));
  for (const std::string& response : sent.responses()) attempt.responses.emplace_back(std::string_view(response));
  attempt.invalid_signature = sent.invalid_signature();
  return attempt;
}

void fill(control::Identity& out, const policy::LoginIdentity& identity) {
  out.set_principal(identity.principal.str());
  out.set_display(identity.display);
  out.set_account(identity.account.str());
  out.set_target(identity.target.str());
  out.set_bare(identity.bare);
  if (identity.certificate) {
    out.set_force_command(identity.certificate->force_command);
    out.set_forbid_pty(!identity.certificate->permit_pty);
    out.set_forbid_forwarding(!identity.certificate->permit_port_forwarding);
  }
  for (const policy::ProvenFactor& factor : identity.factors) out.add_factors(std::string(policy::name_of(factor.kind)));
}

}  // namespace

void Logins::begin(Session& session) {
  policy::LoginContext context;
  context.source = session.source;
  context.max_attempts = static_cast<unsigned>(authority_.settings.number("max_auth_attempts", policy::k_max_login_attempts));
  context.enrolled = &authority_.sign_on->enrolled;
  context.memory = &authority_.sign_on->memory;
  context.key_is_enough = authority_.glass->is_alone();
  if (!session.row.outer.empty()) {
    policy::OuterLogin outer;
    if (const Session* carrier = authority_.find(session.row.outer); carrier != nullptr && carrier->is_logged_in()) {
      outer.principal = carrier->identity->principal;
      outer.factors = carrier->identity->factors;
    }
    outer.target = TargetId(session.row.inner_target);  // an outer session that is gone leaves a principal nobody can be
    context.outer = std::move(outer);
  }
  context.web = authority_.web_terminals->login_of(session.label);
  context.can_sign_on = authority_.sign_on->oidc.has_ssh();
  context.sign_on_first = authority_.sign_on->oidc.ssh_first();
  session.login = std::make_unique<policy::Login>(std::move(context));
  set_grace(session, authority_.settings.duration("login_grace_ms", std::chrono::seconds(30)));
}

void Logins::set_grace(Session& session, std::chrono::milliseconds time) {
  authority_.deadlines.cancel(session.grace);
  session.grace = authority_.deadlines.after(time, [this, label = session.label] {
    Session* late = authority_.find(label);
    if (late == nullptr || late->is_logged_in()) return;
    late->grace = 0;
    authority_.note(*late, "auth.timed_out", authority_.event_of(*late).text("decision", "deny").text("code", "SP-1005"));
    authority_.live->cut(*late, make_notice("SP-1005"));
  });
}

void Logins::on_attempt(Session& session, const control::Envelope& question) {
  const control::AuthAttempt& sent = question.auth_attempt();
  if (session.attempt_running) {
    authority_.live->punish(session, "a second login attempt before the first was answered");
    return;
  }
  session.attempt_question = control::Envelope();
  session.attempt_question.set_call(question.call());
  if (const std::string code = authority_.glass->refusal(sent.user().substr(0, sent.user().find('+'))); !code.empty())
    return disconnect(session, code, authority_.journal.reason());
  if (authority_.stopping) return disconnect(session, "SP-5005", "stopping");
  const bool signed_attempt = sent.method() == "publickey" && !sent.probe() && !sent.invalid_signature();
  if (signed_attempt && session.exchange_hash.empty()) authority_.vault.drain();
  if (signed_attempt && (session.exchange_hash.empty() || sent.session_hash() != session.exchange_hash)) {
    session.attempt_running = true;
    return disconnect(session, "SP-1012", session.exchange_hash.empty() ? "the vault signed no exchange for this session"
                                                                         : "signature over another session identifier");
  }
  session.attempt_running = true;
  const bool by_invite = InviteDesk::is_code(sent.user());
  if (session.first_user.empty()) session.first_user = sent.user();
  if (session.first_user != sent.user() && (by_invite || InviteDesk::is_code(session.first_user)))
    return disconnect(session, "SP-1003", "the user name changed");
  if (by_invite && session.row.outer.empty()) return finish(session, authority_.sign_on->invites.attempt(session, attempt_of(sent, session.exchange_hash)));
  go_on(session, session.login->take(attempt_of(sent, session.exchange_hash), *authority_.snapshot, authority_.locks,
                                     authority_.throttle, {authority_.now(), authority_.clock.boot()}));
}

void Logins::go_on(Session& session, policy::Login::Step step) {
  if (auto* password = std::get_if<policy::PasswordCheck>(&step)) return check_password(session, std::move(*password));
  if (auto* code = std::get_if<policy::TotpCheck>(&step)) return check_totp(session, *code);
  if (const auto* asked = std::get_if<policy::SignOnStep>(&step)) return sign_on(session, asked->wait);
  finish(session, std::move(std::get<policy::LoginAnswer>(step)));
}

void Logins::resume(const std::string& label, bool right) {
  Session* session = authority_.find(label);
  if (session == nullptr || session->link == nullptr || session->is_logged_in()) return;
  go_on(*session, session->login->resume(right, *authority_.snapshot, authority_.locks, authority_.throttle,
                                         {authority_.now(), authority_.clock.boot()}));
}

void Logins::check_password(Session& session, policy::PasswordCheck check) {
  authority_.sign_on->checks.password(std::move(check), [this, label = session.label](FactorChecks::Password said) {
    if (said != FactorChecks::Password::unchecked) return resume(label, said == FactorChecks::Password::right);
    Session* here = authority_.find(label);
    if (here == nullptr || here->link == nullptr || here->is_logged_in()) return;
    go_on(*here, here->login->resume_unchecked("SP-9320", "the directory could not be asked", *authority_.snapshot, authority_.throttle, {authority_.now(), authority_.clock.boot()}));
  });
}

void Logins::check_totp(Session& session, const policy::TotpCheck& check) {
  authority_.sign_on->checks.code(check, [this, label = session.label](bool right) { resume(label, right); });
}

void Logins::sign_on(Session& session, bool wait) {
  const auto told = [this, label = session.label](const policy::SignOnWord& word) {
    Session* here = authority_.find(label);
    if (here == nullptr || here->link == nullptr || here->is_logged_in() || here->login == nullptr) return;
    // She is at the provider now: the time for it is the provider's, not the one for typing a password.
    if (word.state == policy::SignOnWord::State::begun)
      set_grace(*here, authority_.sign_on->oidc.device_lasts(label) + authority_.settings.duration("factor_grace_ms", std::chrono::seconds(60)));
    go_on(*here, here->login->resume_sign_on(word, *authority_.snapshot, authority_.locks, authority_.throttle, {authority_.now(), authority_.clock.boot()}));
  };
  if (wait) return authority_.sign_on->oidc.wait_device(session.label, told);
  authority_.sign_on->oidc.begin_device(session.label, told);
}

void Logins::finish(Session& session, policy::LoginAnswer answer) {
  if (answer.result == Result_::success && answer.identity) return succeed(session, std::move(answer));
  EventJson json = authority_.event_of(session);
  json.text("user", answer.event.user)
      .text("principal", answer.event.principal)
      .text("method", answer.event.method)
      .text("result", answer.event.result)
      .text("reason", answer.event.reason)
      .text("fingerprint", answer.event.fingerprint);
  const bool refused = answer.result == Result_::refused || answer.result == Result_::disconnect;
  if (refused && answer.event.result != "offered" && answer.event.method != "none")
    json.text("decision", "deny").text("code", answer.event.code.empty() ? "SP-1001" : answer.event.code);
  if (answer.event.result != "waiting") authority_.note(session, "auth.attempted", json);
  if (const unsigned proven = session.login->factors_proven(); proven > session.factors_seen) {
    session.factors_seen = proven;
    set_grace(session, authority_.settings.duration("factor_grace_ms", std::chrono::seconds(60)));
  }
  if (answer.event.counted && session.row.outer.empty()) {
    if (const auto delay = authority_.throttle.penalty(session.source, authority_.clock.boot()); delay.count() > 0) {
      control::Envelope told;
      told.mutable_source_penalty()->set_source(session.row.source);
      told.mutable_source_penalty()->set_delay_ms(static_cast<std::uint32_t>(delay.count()));
      authority_.tell_listener(std::move(told));
    }
  }
  if (answer.result == Result_::disconnect) session.row.code = answer.event.code;
  reply(session, answer);
}

void Logins::succeed(Session& session, policy::LoginAnswer answer) {
  const policy::LoginIdentity& identity = *answer.identity;
  EventJson json = authority_.event_of(session);
  std::string factors;
  for (const policy::ProvenFactor& factor : identity.factors)
    factors += (factors.empty() ? "" : ",") + std::string(policy::name_of(factor.kind));
  json.text("user", answer.event.user)
      .text("principal", identity.principal.view())
      .text("target", identity.target.view())
      .text("account", identity.account.view())
      .flag("bare", identity.bare)
      .text("method", answer.event.method)
      .text("factors", factors)
      .text("fingerprint", identity.key_fingerprint)
      .text("certificate", identity.certificate_id)
      .text("outer", session.row.outer)
      .text("decision", "allow")
      .text("problem", identity.problem_code);
  policy::AccessRequest held;
  held.principal = identity.principal;
  held.target = identity.target;
  held.account = identity.account;
  held.groups = authority_.groups_of(identity.principal.view());
  held.now = authority_.now();
  std::string roles;
  for (const std::string& role : policy::roles_at(*authority_.snapshot, held)) roles += (roles.empty() ? "" : ",") + json_quote(role);
  json.raw("roles", "[" + roles + "]");
  authority_.journal.append(
      "auth.succeeded", json.str(), session.label,
      [this, label = session.label, answer = std::make_shared<policy::LoginAnswer>(std::move(answer))](Result<Appended> stored) {
        Session* here = authority_.find(label);
        if (here == nullptr || here->link == nullptr || here->is_logged_in()) return;
        if (!stored) return disconnect(*here, "SP-4004", stored.error().detail);
        welcome(*here, *answer);
      });
}

void Logins::welcome(Session& session, const policy::LoginAnswer& answer) {
  session.identity = *answer.identity;
  session.login.reset();
  session.state = session.identity->bare ? control::SessionState::bare : control::SessionState::identified;
  authority_.deadlines.cancel(session.grace);
  const bool invited = !session.invite.empty();  // nobody was proven: after a restart it begins anew
  if (!invited) remember_identity(session.row, *session.identity);
  session.row.state = control::name_of(session.state);
  authority_.store->put_session(session.row);
  if (session.row.outer.empty() && !invited)
    authority_.sign_on->memory.remember(session.row.principal, session.source, session.identity->key_fingerprint, session.identity->factors);
  if (!invited) authority_.store->remember_source({session.row.principal, policy::source_key(session.source), authority_.now_us()});
  control::Envelope proven;
  proven.mutable_session_proven()->set_session(session.label);
  authority_.tell_listener(std::move(proven));
  reply(session, answer);
  // What changed while the event was being written counts too.
  authority_.live->judge(session);
}

void Logins::reply(Session& session, const policy::LoginAnswer& answer) {
  session.attempt_running = false;
  if (session.link == nullptr) return;
  control::Envelope envelope;
  auto* body = envelope.mutable_auth_answer();
  body->set_result(result_of(answer.result));
  for (const std::string& method : answer.methods_left) body->add_methods_left(method);
  body->set_instruction(answer.instruction);
  for (const policy::LoginPrompt& prompt : answer.prompts) {
    auto* out = body->add_prompts();
    out->set_text(prompt.text);
    out->set_echo(prompt.echo);
  }
  body->set_message(answer.message);
  body->set_delay_ms(static_cast<std::uint32_t>(answer.delay.count()));
  if (answer.identity) fill(*body->mutable_identity(), *answer.identity);
  session.link->answer(session.attempt_question, std::move(envelope));
}

void Logins::disconnect(Session& session, std::string_view code, std::string_view reason) {
  authority_.note(session, "auth.attempted",
                  authority_.event_of(session).text("result", "disconnect").text("reason", reason).text("decision", "deny").text("code", code));
  session.row.code = code;
  policy::LoginAnswer answer;
  answer.result = Result_::disconnect;
  answer.message = render(make_notice(code));
  reply(session, answer);
}

}  // namespace sallyport::authority
