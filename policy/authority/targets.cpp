#include "policy/authority/targets.h"

#include <algorithm>
#include <utility>

#include "platform/crypto/ssh_certificate.h"
#include "platform/crypto/ssh_public_key.h"
#include "platform/model/bytes.h"
#include "platform/os/log.h"
#include "policy/authority/glass.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/moderation.h"
#include "policy/authority/requests.h"

namespace sallyport::authority {
namespace {

constexpr unsigned k_most_dials = 3;
constexpr std::chrono::seconds k_backdate{60};  // clocks of targets may be a little behind

}  // namespace

struct Targets::Opening {
  std::string label;
  control::Envelope question;  ///< only its call number
  std::string key;             ///< the session's ephemeral public key
  std::shared_ptr<const policy::Snapshot> snapshot;  ///< keeps `target` and `account` alive
  const policy::Target* target = nullptr;
  const policy::Account* account = nullptr;
  policy::Decision decision;
  std::string decision_id;
  std::string request;         ///< the approval that it rests on
  std::uint64_t generation = 0;
  WallTime asked{};
  Dialled dialled;
  std::int64_t serial = 0;
};

void Targets::on_open(Session& session, const control::Envelope& question) {
  auto opening = std::make_shared<Opening>();
  opening->label = session.label;
  opening->question.set_call(question.call());
  opening->key = question.open_target().ephemeral_public_key();
  opening->snapshot = authority_.snapshot;
  opening->asked = authority_.now();
  const control::OpenTarget& asked_for = question.open_target();
  const bool names_one = !asked_for.target().empty() && !asked_for.account().empty();
  if (session.identity->bare != names_one) return authority_.live->punish(session, "a bare session names its target, another one has it already");
  if (session.identity->bare) {
    // The menu was answered: from here on this is a session with a target like any other.
    session.identity->bare = false;
    session.identity->target = TargetId(asked_for.target());
    session.identity->account = AccountName(asked_for.account());
    session.row.target = asked_for.target();
    session.row.account = asked_for.account();
    authority_.store->put_session(session.row);
  }
  if (session.dials >= k_most_dials) return authority_.live->punish(session, "too many questions for the target");
  ++session.dials;
  session.state = control::SessionState::dialling;
  const policy::LoginIdentity& identity = *session.identity;
  if (const std::string code = authority_.glass->refusal(identity.principal.view()); !code.empty()) return refuse(*opening, make_notice(code, authority_.journal.reason()));
  if (!identity.problem_code.empty()) return refuse(*opening, make_notice(identity.problem_code, identity.problem));
  const auto key = crypto::SshPublicKey::parse_blob(bytes_of(opening->key));
  if (!key || key->type() != crypto::SshKeyType::ed25519) return authority_.live->punish(session, "the ephemeral key is no ed25519 key");

  judge(session, opening);
}

void Targets::judge(Session& session, const std::shared_ptr<Opening>& opening) {
  const policy::LoginIdentity& identity = *session.identity;
  policy::AccessRequest request = authority_.request_of(session);
  request.parallel_sessions = authority_.live->parallel_sessions(session);
  opening->snapshot = authority_.snapshot;
  opening->decision = authority_.decide(request);
  opening->generation = authority_.generation;
  opening->target = opening->snapshot->find_target(identity.target.view());
  if (opening->target != nullptr) opening->account = opening->target->find_account(identity.account.view());
  const bool allowed = opening->decision.allowed() && opening->target != nullptr && opening->account != nullptr;
  if (opening->decision.allowed() && !allowed) opening->decision.code = "SP-2020";
  EventJson json = authority_.event_of(session);
  const bool asks = opening->decision.outcome == policy::Outcome::ask;
  json.text("decision", allowed ? "allow" : asks ? "ask" : "deny")
      .text("code", allowed ? "" : opening->decision.code)
      .text("why", allowed ? "" : opening->decision.why)
      .text("rule", opening->decision.rule.str())
      .number("policy_version", authority_.policy_version)
      .text("request", opening->request)
      .raw("input", policy::encode_request(request));
  authority_.journal.append("target.decided", json.str(), session.label, [this, opening, allowed, asks](Result<Appended> stored) {
    if (!stored) return refuse(*opening, make_notice("SP-4004", stored.error().detail));
    opening->decision_id = stored->id;
    if (asks) return wait(opening);
    if (!allowed) return refuse(*opening, make_notice(opening->decision.code, opening->decision.why, stored->id));
    dial_target(opening);
  });
}

// The target is dialled, and a credential lent, only after somebody has agreed.
void Targets::wait(const std::shared_ptr<Opening>& opening) {
  Session* session = authority_.find(opening->label);
  if (session == nullptr || session->state != control::SessionState::dialling) return;
  const auto decided = [this, opening](const Verdict& verdict) {
    Session* here = authority_.find(opening->label);
    if (here == nullptr || here->link == nullptr || here->state != control::SessionState::dialling) return;
    if (!verdict.granted()) return refuse(*opening, verdict.notice);
    opening->asked = authority_.now();
    opening->request = verdict.request.id;
    judge(*here, opening);
  };
  if (opening->decision.moderation) return authority_.moderation->wait_for(*session, UINT32_MAX, opening->decision, decided);
  authority_.requests->wait_for_access(*session, UINT32_MAX, opening->decision, decided);
}

void Targets::dial_target(const std::shared_ptr<Opening>& opening) {
  const Session* session = authority_.find(opening->label);
  if (session == nullptr || session->state != control::SessionState::dialling) return;
  DialPlan plan;
  plan.host = opening->target->address;
  plan.port = opening->target->port;
  plan.deadline = authority_.settings.duration("dial_timeout_ms", std::chrono::seconds(10));
  plan.judge = [this, opening](const IpAddress& address) -> std::optional<DialFailure> {
    const auto verdict = policy::judge_address(*opening->target, address, opening->target->port, authority_.listeners, authority_.own_addresses);
    if (verdict.allowed) return std::nullopt;
    return DialFailure{verdict.code, address.str() + ": " + verdict.why};
  };
  dial(authority_.io, authority_.deadlines, authority_.resolving, std::move(plan),
       [this, opening](DialResult result) { on_dialled(opening, std::move(result)); });
}

void Targets::on_dialled(const std::shared_ptr<Opening>& opening, DialResult result) {
  Session* session = authority_.find(opening->label);
  if (session == nullptr || session->state != control::SessionState::dialling) return;  // the socket closes with `result`
  if (!result) {
    authority_.journal.append("target.dial_failed",
                              authority_.event_of(*session).text("code", result.error().code).text("why", result.error().why).text("reference", opening->decision_id).str(),
                              session->label, [this, opening, failure = result.error()](const Result<Appended>& stored) {
                                refuse(*opening, make_notice(failure.code, failure.why, stored ? stored->id : opening->decision_id));
                              });
    return;
  }
  opening->dialled = std::move(*result);
  const auto& credentials = opening->account->credentials;
  const bool wants_certificate =
      credentials.empty() || std::any_of(credentials.begin(), credentials.end(), [](const policy::TargetCredential& one) {
        return one.kind == policy::TargetCredential::Kind::certificate;
      });
  if (!wants_certificate) return grant(opening, {});
  sign(opening, opening->target->certificate_principals(*opening->account));
}

void Targets::sign(const std::shared_ptr<Opening>& opening, std::vector<std::string> principals) {
  const Session* session = authority_.find(opening->label);
  const auto validity = authority_.settings.duration("certificate_validity_ms", std::chrono::minutes(5));
  const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(authority_.clock.wall().time_since_epoch()).count();
  // Serial numbers rise with time and are never given twice, also across restarts.
  opening->serial = authority_.last_serial = std::max(authority_.last_serial + 1, authority_.now_us());
  control::Envelope question;
  auto* body = question.mutable_sign_certificate();
  body->set_session(session->label);
  body->set_public_key(opening->key);
  for (std::string& principal : principals) body->add_principals(std::move(principal));
  body->set_serial(static_cast<std::uint64_t>(opening->serial));
  body->set_valid_after(now - k_backdate.count());
  body->set_valid_before(now + std::chrono::duration_cast<std::chrono::seconds>(validity).count());
  const auto more = authority_.settings.list("certificate_source_addresses");
  if (more.empty()) {
    body->add_source_addresses(opening->dialled.local.str());
  } else {
    for (const std::string& address : more) body->add_source_addresses(address);
  }
  body->set_ca("user");
  policy::AccessRequest request = authority_.request_of(*session);
  const auto also = [&](policy::ChannelKind kind) {
    request.kind = kind;
    return authority_.decide(request).allowed();
  };
  body->add_extensions("permit-pty");
  body->add_extensions("permit-port-forwarding");
  if (also(policy::ChannelKind::agent)) body->add_extensions("permit-agent-forwarding");
  if (also(policy::ChannelKind::x11)) body->add_extensions("permit-X11-forwarding");
  send_mask_values(opening->label);  // the vault answers both in one turn
  authority_.vault.ask(std::move(question), [this, opening](Result<control::Received> answer) {
    Session* here = authority_.find(opening->label);
    if (here == nullptr || here->state != control::SessionState::dialling) return;
    if (answer && answer->envelope.has_signed_certificate())
      return grant(opening, answer->envelope.signed_certificate().certificate());
    // Other credentials of the account may still do.
    const Error error = answer ? Error{Errc::internal, "the vault signed nothing"} : answer.error();
    if (opening->account->credentials.size() > 1 && error.code != Errc::sealed) return grant(opening, {});
    refuse(*opening, make_notice(vault_code(error), error.detail, opening->decision_id));
  });
}

void Targets::grant(const std::shared_ptr<Opening>& opening, std::string certificate) {
  Session* session = authority_.find(opening->label);
  if (session == nullptr || session->link == nullptr || session->state != control::SessionState::dialling) return;
  // The policy may have changed while we dialled: what is handed over is what is allowed now.
  if (opening->generation != authority_.generation) {
    policy::AccessRequest request = authority_.request_of(*session);
    request.parallel_sessions = authority_.live->parallel_sessions(*session);
    opening->decision = authority_.decide(request);
    if (!opening->decision.allowed())
      return refuse(*opening, make_notice(opening->decision.code, opening->decision.why, opening->decision_id));
    const policy::Target* target_now = authority_.snapshot->find_target(opening->target->name.view());
    const policy::Account* account_now = target_now == nullptr ? nullptr : target_now->find_account(opening->account->name.view());
    if (account_now == nullptr || target_now->address != opening->target->address || target_now->port != opening->target->port)
      return refuse(*opening, make_notice("SP-2015", "the target's definition has changed", opening->decision_id));
    opening->snapshot = authority_.snapshot;
    opening->target = target_now;
    opening->account = account_now;
  }
  const policy::Target& target = *opening->target;
  const policy::Obligations& duties = opening->decision.obligations;
  Grant granted;
  control::Envelope envelope;
  auto* body = envelope.mutable_target_grant();
  body->set_target(target.name.str());
  body->set_account(opening->account->name.str());
  body->set_address(opening->dialled.address.str());
  body->set_port(opening->dialled.port);
  for (const policy::HostKey& key : target.host_keys) {
    body->add_host_keys(key.blob);
    granted.host_keys.push_back(key.blob);
  }
  for (const policy::HostKey& ca : target.host_cas) {
    body->add_host_cas(ca.blob);
    granted.host_cas.push_back(ca.blob);
  }
  granted.host_names = target.host_names();
  for (const std::string& name : granted.host_names) body->add_host_names(name);
  granted.has_certificate = !certificate.empty();
  if (opening->account->credentials.empty() && granted.has_certificate) body->add_credentials("certificate");
  for (const policy::TargetCredential& credential : opening->account->credentials) {
    switch (credential.kind) {
      case policy::TargetCredential::Kind::certificate:
        if (granted.has_certificate) body->add_credentials("certificate");
        break;
      case policy::TargetCredential::Kind::key:
        body->add_credentials("agent");
        granted.keys.push_back(credential.secret);
        break;
      case policy::TargetCredential::Kind::password:
        body->add_credentials("password");
        granted.passwords.push_back(credential.secret);
        break;
    }
  }
  body->set_certificate(std::move(certificate));
  body->set_durability(target.durability == policy::Durability::synced ? control::SYNCED : control::WRITTEN);
  body->set_bulk(static_cast<control::BulkMode>(duties.bulk));
  body->set_full_recording_bytes(authority_.settings.number("full_recording_bytes", 64ULL * 1024 * 1024));
  if (duties.idle_timeout) body->set_idle_ms(static_cast<std::uint64_t>(std::chrono::milliseconds(*duties.idle_timeout).count()));
  if (duties.max_duration) body->set_max_ms(static_cast<std::uint64_t>(std::chrono::milliseconds(*duties.max_duration).count()));
  for (const std::string& pattern : duties.env) body->add_env_allowed(pattern);
  body->set_hold_ms(static_cast<std::uint64_t>(authority_.settings.duration("hold_ms", std::chrono::seconds(30)).count()));
  body->set_keepalive_ms(static_cast<std::uint64_t>(authority_.settings.duration("keepalive_ms", std::chrono::seconds(30)).count()));

  session->grant = std::move(granted);
  session->opened = opening->asked;
  session->state = control::SessionState::granted;
  session->row.state = control::name_of(session->state);
  session->row.opened_us = opening->asked.time_since_epoch().count();
  session->row.address = body->address() + ":" + std::to_string(body->port());
  session->row.serial = opening->serial;
  authority_.store->put_session(session->row);
  session->max_duration = duties.max_duration;
  session->idle_timeout = duties.idle_timeout;
  session->limits_of = authority_.generation;
  authority_.live->set_longest(*session, duties.max_duration);
  const int socket = opening->dialled.socket.get();
  session->link->answer(opening->question, std::move(envelope), std::span(&socket, 1));
  opening->dialled.socket.reset();
  EventJson json = authority_.event_of(*session);
  json.text("address", session->row.address).text("reference", opening->decision_id);
  if (session->grant->has_certificate) json.number("serial", opening->serial);
  authority_.note(*session, "target.dialled", json);
}

void Targets::refuse(Opening& opening, const Notice& notice) {
  Session* session = authority_.find(opening.label);
  if (session == nullptr || session->link == nullptr) return;
  if (session->state == control::SessionState::dialling) session->state = control::SessionState::identified;
  session->row.code = notice.code;
  control::Envelope envelope;
  envelope.mutable_target_grant()->set_refuse_before_dial(true);
  *envelope.mutable_target_grant()->mutable_refusal() = refusal_of(notice);
  session->link->answer(opening.question, std::move(envelope));
}

Result<void> Targets::check_host_key(const Grant& grant, const std::string& blob) const {
  if (std::find(grant.host_keys.begin(), grant.host_keys.end(), blob) != grant.host_keys.end()) return {};
  auto certificate = crypto::SshCertificate::parse_blob(bytes_of(blob));
  if (!certificate) return fail(Errc::denied, "the host key is not one of the pinned keys");
  const std::string ca(text_of(certificate->signature_key().blob()));
  if (std::find(grant.host_cas.begin(), grant.host_cas.end(), ca) == grant.host_cas.end())
    return fail(Errc::denied, "the host certificate is of a CA that is not listed");
  if (auto sound = certificate->verify_signature(); !sound) return fail(Errc::denied, "the host certificate's signature is wrong");
  const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(authority_.now().time_since_epoch()).count();
  for (const std::string& name : grant.host_names) {
    crypto::SshCertificateUse use;
    use.type = crypto::SshCertificateType::host;
    use.now = now;
    use.principal = name;
    if (certificate->check(use)) return {};
  }
  return fail(Errc::denied, "the host certificate does not name this target");
}

void Targets::on_credential(Session& session, const control::Envelope& question) {
  const auto& asked = question.credential_request();
  const auto no = [&](Errc code, std::string why) {
    authority_.note(session, "lease.refused",
                    authority_.event_of(session).text("kind", asked.kind()).text("why", why).text("decision", "deny").text("code", "SP-3007"));
    session.link->send(control::failure_reply(question, Error{code, std::move(why)}));
  };
  if (!session.grant) return authority_.live->punish(session, "a credential was asked for without a grant");
  Grant& grant = *session.grant;
  if (auto known = check_host_key(grant, asked.host_key()); !known) return no(Errc::denied, known.error().detail);
  if (!grant.verified_host_key.empty() && grant.verified_host_key != asked.host_key()) return no(Errc::denied, "another host key than before");
  if (grant.verified_host_key.empty()) return no(Errc::denied, "no verified host key was reported before");
  if (asked.session_hash().size() < 20) return no(Errc::invalid, "no session identifier of the target connection");
  if (asked.kind() == "agent") return lend_key(session, question);
  if (asked.kind() == "password") return lend_password(session, question);
  no(Errc::invalid, "unknown kind of credential");
}

void Targets::with_lease(Session& session, const control::Envelope& question, std::string kind, std::string secret,
                         std::function<void(Session&)> go_on) {
  EventJson json = authority_.event_of(session);
  json.text("kind", kind).text("secret", secret).text("decision", "allow");
  control::Envelope call;
  call.set_call(question.call());
  authority_.journal.append("lease.asked", json.str(), session.label,
                            [this, label = session.label, call = std::move(call), go_on = std::move(go_on)](Result<Appended> stored) {
                              Session* here = authority_.find(label);
                              if (here == nullptr || here->link == nullptr || here->state == control::SessionState::ending) return;
                              if (!stored) {
                                here->link->send(control::failure_reply(call, Error{Errc::unavailable, "no audit, no access"}));
                                return;
                              }
                              go_on(*here);
                            });
}

void Targets::lend_key(Session& session, const control::Envelope& question) {
  Grant& grant = *session.grant;
  if (grant.keys_lent >= grant.keys.size()) return authority_.live->punish(session, "more keys were asked for than granted");
  const std::string secret = grant.keys[grant.keys_lent++];
  with_lease(session, question, "key", secret, [this, question, secret](Session& here) {
    control::Envelope ask;
    auto* body = ask.mutable_make_agent();
    body->set_session(here.label);
    body->set_secret(secret);
    body->set_account(here.identity->account.str());
    body->set_host_key(question.credential_request().host_key());
    body->set_session_hash(question.credential_request().session_hash());
    body->set_deadline_ms(30'000);
    authority_.vault.ask(std::move(ask), [this, label = here.label, secret, call = question.call()](Result<control::Received> answer) {
      Session* late = authority_.find(label);
      if (late == nullptr || late->link == nullptr) return;
      control::Envelope back;
      back.set_call(call);
      if (!answer || !answer->envelope.has_agent_ready() || answer->descriptors.size() != 1) {
        const Error error = answer ? Error{Errc::internal, "the vault made no agent"} : answer.error();
        authority_.note(*late, "lease.failed", authority_.event_of(*late).text("secret", secret).text("why", error.detail));
        late->link->send(control::failure_reply(back, error));
        return;
      }
      authority_.note(*late, "lease.started",
                      authority_.event_of(*late).text("kind", "key").text("secret", secret).text("lease", answer->envelope.agent_ready().lease()));
      control::Envelope envelope;
      envelope.mutable_credential()->set_public_key(answer->envelope.agent_ready().public_key());
      const int agent = answer->descriptors.front().get();
      late->link->answer(back, std::move(envelope), std::span(&agent, 1));
    });
  });
}

void Targets::when_masked(Session& session, std::function<void()> next) {
  if (session.mask && session.masks_asked == 0) return next();
  if (session.link == nullptr || session.row.principal.empty()) return next();
  session.when_masked.push_back(std::move(next));
  if (session.masks_asked == 0) send_mask_values(session.label);
}

void Targets::send_mask_values(const std::string& label) {
  Session* session = authority_.find(label);
  if (session == nullptr || session->link == nullptr || session->row.principal.empty()) return;
  ++session->masks_asked;
  control::Envelope ask;
  ask.mutable_mask_values_ask()->set_principal(session->row.principal);
  authority_.vault.ask(std::move(ask), [this, label](Result<control::Received> answer) {
    Session* late = authority_.find(label);
    if (late == nullptr) return;
    take_mask_values(*late, answer);
    if (--late->masks_asked > 0) return;
    for (const std::function<void()>& next : std::exchange(late->when_masked, {})) next();
  });
}

void Targets::take_mask_values(Session& session, const Result<control::Received>& answer) {
  if (!answer || !answer->envelope.has_mask_values() || session.link == nullptr) return;
  std::vector<seal::MaskValue> values;
  for (const auto& row : answer->envelope.mask_values().values()) {
    seal::MaskValue value{row.length(), row.window(), {}};
    if (row.digest().size() != value.digest.size()) continue;
    std::copy_n(bytes_of(row.digest()).begin(), value.digest.size(), value.digest.begin());
    values.push_back(value);
  }
  session.mask = std::make_shared<const seal::MaskSet>(std::vector<Secret>(), Secret(std::string_view(answer->envelope.mask_values().key())), std::move(values));
  control::Envelope told;
  *told.mutable_mask_values() = answer->envelope.mask_values();
  session.link->send(std::move(told));
}

void Targets::lend_password(Session& session, const control::Envelope& question) {
  Grant& grant = *session.grant;
  if (grant.passwords_lent >= grant.passwords.size()) return authority_.live->punish(session, "more passwords were asked for than granted");
  const std::string secret = grant.passwords[grant.passwords_lent++];
  with_lease(session, question, "password", secret, [this, secret, call = question.call()](Session& here) {
    control::Envelope ask;
    ask.mutable_lend_password()->set_session(here.label);
    ask.mutable_lend_password()->set_secret(secret);
    ask.mutable_lend_password()->set_principal(here.row.principal);
    authority_.vault.ask(std::move(ask), [this, label = here.label, secret, call](Result<control::Received> answer) {
      Session* late = authority_.find(label);
      if (late == nullptr || late->link == nullptr) return;
      control::Envelope back;
      back.set_call(call);
      if (!answer || !answer->envelope.has_lent_password()) {
        const Error error = answer ? Error{Errc::internal, "the vault lent nothing"} : answer.error();
        authority_.note(*late, "lease.failed", authority_.event_of(*late).text("secret", secret).text("why", error.detail));
        late->link->send(control::failure_reply(back, error));
        return;
      }
      std::string* password = answer->envelope.mutable_lent_password()->mutable_password();
      authority_.note(*late, "lease.started",
                      authority_.event_of(*late)
                          .text("kind", "password")
                          .text("secret", secret)
                          .text("lease", answer->envelope.lent_password().lease())
                          .number("version", answer->envelope.lent_password().version()));
      control::Envelope envelope;
      envelope.mutable_credential()->set_password(*password);
      OPENSSL_cleanse(password->data(), password->size());
      late->link->answer(back, std::move(envelope));
      // Her other sessions must not store it either.
      for (const auto& [other, hers] : authority_.sessions)
        if (hers->row.principal == late->row.principal && hers->link != nullptr && hers->is_logged_in() && other != label) send_mask_values(other);
    });
  });
}

void Targets::on_outcome(Session& session, const control::TargetOutcome& outcome) {
  if (!session.grant) return;
  EventJson json = authority_.event_of(session);
  json.text("address", session.row.address).text("detail", outcome.detail());
  if (!outcome.host_key().empty()) json.text("host_key", crypto::ssh_fingerprint(bytes_of(outcome.host_key())));
  if (!outcome.client_algorithms().empty()) session.row.client_algorithms = outcome.client_algorithms();
  if (!outcome.target_algorithms().empty()) session.row.target_algorithms = outcome.target_algorithms();
  switch (outcome.step()) {
    case control::TargetOutcome::CONNECTED: {
      if (auto known = check_host_key(*session.grant, outcome.host_key()); !known)
        return authority_.live->punish(session, "it took a host key that was not granted: " + known.error().detail);
      session.grant->verified_host_key = outcome.host_key();
      return;  // only before a credential is asked for; `target.connected` follows with READY, when the login worked as well
    }
    case control::TargetOutcome::READY:
      // A login by certificate asks for nothing more: the host key comes with its outcome and is judged here.
      if (session.grant->verified_host_key.empty() && !session.restored) {
        if (auto known = check_host_key(*session.grant, outcome.host_key()); !known)
          return authority_.live->punish(session, "it logged in at a target whose host key was not granted: " + known.error().detail);
        session.grant->verified_host_key = outcome.host_key();
      }
      session.state = control::SessionState::ready;
      // They went with the grant, unless they could not be had then or this login itself was lent one.
      if (!session.mask || session.grant->passwords_lent > 0) send_mask_values(session.label);
      session.row.state = control::name_of(session.state);
      session.row.credential = outcome.credential();
      json.text("credential", outcome.credential())
          .text("client_algorithms", outcome.client_algorithms())
          .text("target_algorithms", outcome.target_algorithms());
      authority_.note(session, "target.connected", json);
      break;
    case control::TargetOutcome::HOST_KEY_REFUSED:
      json.text("decision", "deny").text("code", "SP-3006").flag("alarm", true);
      session.row.code = "SP-3006";
      os::log_line(os::LogEvent::target_host_key_wrong, "target " + session.row.target + " showed a wrong host key at " + session.row.address);
      authority_.note(session, "target.hostkey_refused", json);
      break;
    case control::TargetOutcome::AUTH_FAILED:
      session.row.code = "SP-3007";
      authority_.note(session, "target.login_failed", json.text("code", "SP-3007"));
      break;
    case control::TargetOutcome::KEX_FAILED:
      session.row.code = "SP-3008";
      authority_.note(session, "target.kex_failed", json.text("code", "SP-3008"));
      break;
    case control::TargetOutcome::LOST:
      authority_.note(session, "target.lost", json);
      break;
    default: return authority_.live->punish(session, "an unknown step of the target connection");
  }
  authority_.store->put_session(session.row);
}

}  // namespace sallyport::authority
