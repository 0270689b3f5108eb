#include "policy/authority/administration.h"

#include <utility>

#include "policy/access/matching.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/moderation.h"

namespace sallyport::authority {

Result<void> Administration::may(const Operator& who, policy::AdminRight right) const {
  if (who.is_root) return {};
  if (!who.has_scope(policy::name_of(right))) return fail(Errc::denied, "the token has no scope `" + std::string(policy::name_of(right)) + "`");
  if (who.principal.empty()) return fail(Errc::denied, who.name + " is no operator of this gateway");
  const auto decision =
      policy::decide_admin(*authority_.snapshot, authority_.locks, {PrincipalId(who.principal), right, authority_.now(), !who.token.empty(), authority_.groups_of(who.principal)});
  if (decision.allowed()) return {};
  return fail(Errc::denied, who.principal + " has no role with the admin right " + std::string(policy::name_of(right)));
}

void Administration::with_intent(const Operator& who, const std::string& kind, const EventJson& details, Effect effect,
                                 std::function<void(Result<void>)> done) {
  run_act(authority_, who, kind, details, std::move(effect), std::move(done));
}

void Administration::status(Done<StatusReport> done) {
  StatusReport report;
  report.node = authority_.settings.text("node");
  report.policy_version = authority_.policy_version;
  report.policy_digest = authority_.snapshot->digest();
  for (const auto& [label, session] : authority_.sessions) {
    if (session->link == nullptr) continue;
    if (session->is_logged_in()) {
      ++report.live_sessions;
    } else if (session->state != control::SessionState::kit) {
      ++report.unproven;
    }
  }
  report.locks = authority_.locks.list().size();
  const auto& recorder = authority_.journal.status();
  const std::string refusal = authority_.journal.refusal();
  report.older_database = !authority_.journal.blocked().empty();
  report.recorder_healthy = refusal.empty();
  report.recorder_reason = refusal.empty() ? "" : authority_.journal.reason();
  report.journal_sequence = recorder.journal_sequence();
  report.journal_free_bytes = recorder.free_bytes();
  report.newest_checkpoint = recorder.newest_checkpoint();
  report.last_trouble = last_trouble_;
  report.alarms = authority_.journal.alarms_seen();
  report.newest_alarms.assign(authority_.journal.alarms().begin(), authority_.journal.alarms().end());
  control::Envelope question;
  question.mutable_seal_status();
  authority_.vault.ask(
      std::move(question),
      [report, done = std::move(done)](Result<control::Received> answer) mutable {
        if (answer && answer->envelope.has_seal_state()) {
          report.sealed = answer->envelope.seal_state().sealed();
          report.seal_source = answer->envelope.seal_state().source();
        } else {
          report.vault_problem = answer ? "the vault did not say" : answer.error().detail;
        }
        report.state = report.older_database             ? "older database"
                       : !report.recorder_healthy        ? "not recording"
                       : report.sealed                    ? "sealed"
                       : !report.vault_problem.empty()    ? "no vault"
                       : report.policy_version == 0       ? "no policy"
                                                          : "serving";
        done(std::move(report));
      },
      std::chrono::seconds(2));
}

void Administration::list_sessions(SessionQuery query, Done<std::vector<SessionRow>> done) {
  authority_.store->list_sessions(std::move(query), std::move(done));
}

void Administration::find_session(const std::string& label, Done<SessionRow> done) {
  if (const Session* live = authority_.find(label); live != nullptr && live->state != control::SessionState::kit) {
    SessionRow row = live->row;
    row.state = control::name_of(live->state);
    return done(std::move(row));
  }
  authority_.store->find_session(label, std::move(done));
}

void Administration::end_session(const Operator& who, const std::string& label, const std::string& reason, Done<void> done) {
  const Session* session = authority_.find(label);
  if (session == nullptr || session->link == nullptr || session->state == control::SessionState::kit)
    return done(fail(Errc::not_found, "no live session " + label));
  with_intent(
      who, "session.end", EventJson().text("session", label).text("reason", reason),
      [this, label, reason](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        Session* here = authority_.find(label);
        if (here == nullptr) return outcome(fail(Errc::not_found, "the session has ended meanwhile"));
        authority_.live->cut(*here, make_notice("SP-2016", reason.empty() ? "" : "an administrator ended it: " + reason));
        outcome(EventJson().text("session", label).text("reason", reason));
      },
      std::move(done));
}

void Administration::tell_session(const Operator& who, const std::string& label, const std::string& text, Done<void> done) {
  const Session* session = authority_.find(label);
  if (session == nullptr || session->link == nullptr || !session->is_logged_in()) return done(fail(Errc::not_found, "no live session " + label));
  with_intent(
      who, "session.message", EventJson().text("session", label).text("text", text),
      [this, who, label, text](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        const Session* here = authority_.find(label);
        if (here == nullptr || here->link == nullptr) return outcome(fail(Errc::not_found, "the session has ended meanwhile"));
        control::Envelope told;
        told.mutable_session_message()->set_text((who.principal.empty() ? who.name : who.principal) + " says: " + text);
        here->link->send(std::move(told));
        outcome(EventJson().text("session", label).text("text", text));
      },
      std::move(done));
}

void Administration::hold_session(const Operator& who, const std::string& label, bool held, const std::string& reason, Done<void> done) {
  const Session* session = authority_.find(label);
  if (session == nullptr || session->link == nullptr || !session->is_logged_in()) return done(fail(Errc::not_found, "no live session " + label));
  with_intent(
      who, held ? "session.hold" : "session.release", EventJson().text("session", label).text("reason", reason),
      [this, who, label, held, reason](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        const Session* here = authority_.find(label);
        if (here == nullptr || here->link == nullptr) return outcome(fail(Errc::not_found, "the session has ended meanwhile"));
        control::Envelope told;
        auto* body = told.mutable_session_message();
        body->set_hold(held ? control::SessionMessage::HOLD : control::SessionMessage::GO_ON);
        body->set_text((who.principal.empty() ? who.name : who.principal) + (held ? " holds this session" : " lets this session go on") + (reason.empty() ? "" : ": " + reason));
        here->link->send(std::move(told));
        authority_.moderation->note_hold(label, held);
        outcome(EventJson().text("session", label).text("reason", reason));
      },
      std::move(done));
}

}  // namespace sallyport::authority
