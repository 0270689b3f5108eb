#include "policy/authority/live_sessions.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "platform/os/log.h"
#include "policy/access/moments.h"
#include "policy/authority/guard_rules.h"
#include "policy/authority/moderation.h"
#include "policy/authority/requests.h"
#include "policy/authority/sign_on.h"
#include "policy/authority/web_terminals.h"

namespace sallyport::authority {
namespace {

constexpr std::chrono::seconds k_obey{5};
constexpr std::chrono::seconds k_reap{3};
constexpr std::chrono::seconds k_sweep{1};
constexpr std::chrono::milliseconds k_into_second{20};  // moments of a policy are whole seconds: look just after one
constexpr std::chrono::milliseconds k_inner_leaves{800};
constexpr std::uint32_t k_grace_ms = 2000;

bool is_crash(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGABRT || signal == SIGFPE || signal == SIGTRAP;
}

}  // namespace

LiveSessions::LiveSessions(Authority& authority) : authority_(authority) {
  sweep_ = authority_.deadlines.after(k_sweep, [this] { sweep(); });
}
LiveSessions::~LiveSessions() { authority_.deadlines.cancel(sweep_); }

// Hours end and grants expire without anybody changing anything.
void LiveSessions::sweep() {
  const WallTime now = authority_.now();
  const auto into_second = now - std::chrono::floor<std::chrono::seconds>(now);
  sweep_ = authority_.deadlines.after(k_sweep - into_second + k_into_second, [this] { sweep(); });
  const WallTime before = std::exchange(swept_, now);
  const bool groups_ended = authority_.sign_on && authority_.sign_on->enrolled.groups_ended_between(before, now);
  if (groups_ended) ++authority_.generation;
  if (authority_.snapshot && (groups_ended || policy::has_moment_between(*authority_.snapshot, authority_.locks, before, now))) judge_all();
}

void LiveSessions::judge_all() {
  if (authority_.moderation) authority_.moderation->judge_all();  // whoever is no longer present counts no longer
  std::vector<std::string> labels;
  for (const auto& [label, session] : authority_.sessions)
    if (session->is_logged_in() && session->link != nullptr && session->state != control::SessionState::ending) labels.push_back(label);
  for (const std::string& label : labels)
    if (Session* session = authority_.find(label)) judge(*session);
}

Notice LiveSessions::judge_session(const Session& session) const {
  const policy::LoginIdentity& identity = *session.identity;
  const WallTime now = authority_.now();
  const policy::Principal* principal = authority_.snapshot->find_principal(identity.principal.view());
  if (principal == nullptr) return make_notice("SP-2015", "the principal was removed");
  if (const policy::Lock* lock = authority_.locks.find(identity.principal.view(), {}, {}, now); lock != nullptr) return make_notice("SP-2003", lock->reason);
  if (principal->expires && *principal->expires <= now) return make_notice("SP-2015", "the principal's end date has passed");
  const bool by_key = std::any_of(identity.factors.begin(), identity.factors.end(),
                                  [](const policy::ProvenFactor& factor) { return factor.kind == policy::FactorKind::key; });
  if (by_key && !identity.key_fingerprint.empty()) {
    const auto is_this = [&](const policy::LoginKey& key) { return key.fingerprint == identity.key_fingerprint && (!key.expires || *key.expires > now); };
    const policy::Enrolments& own = authority_.sign_on->enrolled;
    const auto& added = own.keys_of(principal->name.view());
    const bool enrolled = std::any_of(principal->keys.begin(), principal->keys.end(), is_this) ||
                          std::any_of(added.begin(), added.end(), [&](const policy::LoginKey& key) { return is_this(key) && own.find_key(*authority_.snapshot, *principal, key.blob) != nullptr; });
    if (!enrolled) return make_notice("SP-2015", "the key of this login is no longer enrolled");
  }
  if (!session.row.outer.empty()) {
    const Session* outer = authority_.find(session.row.outer);
    if (outer == nullptr || outer->link == nullptr || outer->state == control::SessionState::ending) return make_notice("SP-2025");
  }
  if (!session.has_target() || !session.opened) return {};
  policy::AccessRequest request = authority_.request_of(session);
  request.opened = session.opened;
  const policy::Decision decision = authority_.decide(request);
  if (decision.allowed()) return {};
  return make_notice(decision.code, decision.why);
}

void LiveSessions::judge(Session& session) {
  if (!session.is_logged_in() || session.link == nullptr || session.state == control::SessionState::ending) return;
  if (const Notice notice = judge_session(session); !notice.code.empty()) {
    cut(session, notice);
    return;
  }
  if (!session.has_target()) return;
  tell_guard_rules(session);
  if (session.opened && session.limits_of != authority_.generation) follow_limits(session);
  std::vector<std::pair<std::uint32_t, Notice>> cuts;
  const policy::AccessRequest present = authority_.request_of(session);
  for (auto& [number, channel] : session.channels) {
    if (channel.cut) continue;
    for (policy::AccessRequest request : channel.requests) {
      request.now = authority_.now();
      request.approvals = present.approvals;
      request.moderated = present.moderated;
      request.groups = present.groups;
      request.glass = present.glass;
      request.session_age = std::chrono::duration_cast<std::chrono::seconds>(authority_.clock.boot() - session.started);
      const policy::Decision decision = authority_.decide(request);
      if (decision.allowed()) {
        const bool is_file = request.kind == policy::ChannelKind::sftp || request.kind == policy::ChannelKind::scp || request.kind == policy::ChannelKind::rsync;
        if (is_file && channel.files != decision.obligations.file_rules) {
          channel.files = decision.obligations.file_rules;
          follow_files(session, number, decision.obligations);
        }
        continue;
      }
      cuts.emplace_back(number, make_notice(decision.code, decision.why));
      break;
    }
  }
  for (const auto& [number, notice] : cuts) cut_channel(session, number, notice);
}

void LiveSessions::tell_guard_rules(Session& session) {
  const policy::AccessRequest present = authority_.request_of(session);
  for (auto& [number, channel] : session.channels) {
    if (channel.cut) continue;
    for (policy::AccessRequest request : channel.requests) {
      if (request.kind != policy::ChannelKind::shell && request.kind != policy::ChannelKind::exec) continue;
      request.now = authority_.now();
      request.approvals = present.approvals;
      request.moderated = present.moderated;
      request.groups = present.groups;
      request.glass = present.glass;
      const std::string rules = guard_rules(authority_.decide(request).obligations);
      std::string hash = hash_of_rules(rules);
      if (hash == channel.guard) continue;
      channel.guard = std::move(hash);
      control::Envelope told;
      told.mutable_guard_rules()->set_channel(number);
      told.mutable_guard_rules()->set_rules(rules);
      session.link->send(std::move(told));
    }
  }
}

void LiveSessions::follow_limits(Session& session) {
  policy::AccessRequest request = authority_.request_of(session);
  request.opened = session.opened;
  const policy::Decision decision = authority_.decide(request);
  if (!decision.allowed()) return;
  const policy::Obligations& duties = decision.obligations;
  const bool same = session.limits_of != 0 && session.max_duration == duties.max_duration && session.idle_timeout == duties.idle_timeout;
  session.limits_of = authority_.generation;
  if (same) return;
  session.max_duration = duties.max_duration;
  session.idle_timeout = duties.idle_timeout;
  set_longest(session, duties.max_duration);
  const auto ms_of = [](const std::optional<std::chrono::seconds>& time) {
    return time ? static_cast<std::uint64_t>(std::chrono::milliseconds(*time).count()) : 0;
  };
  control::Envelope told;
  told.mutable_limits_changed()->set_idle_ms(ms_of(duties.idle_timeout));
  told.mutable_limits_changed()->set_max_ms(ms_of(duties.max_duration));
  session.link->send(std::move(told));
  EventJson json = authority_.event_of(session);
  if (duties.idle_timeout) json.number("idle_timeout_s", duties.idle_timeout->count());
  if (duties.max_duration) json.number("max_duration_s", duties.max_duration->count());
  authority_.note(session, "session.limits_changed", json);
}

void LiveSessions::follow_files(Session& session, std::uint32_t channel, const policy::Obligations& duties) {
  control::Envelope told;
  auto* body = told.mutable_rules_changed();
  body->set_channel(channel);
  body->set_file_rules_apply(duties.file_rules_apply);
  for (const policy::FileRule& rule : duties.file_rules) {
    auto* out = body->add_file_rules();
    out->set_prefix(rule.prefix);
    out->set_up(rule.up);
    out->set_down(rule.down);
    out->set_change(rule.change);
    out->set_hold_up(rule.hold_up);
    out->set_hold_change(rule.hold_change);
  }
  session.link->send(std::move(told));
  authority_.note(session, "channel.rules_changed",
                  authority_.event_of(session).number("channel", channel).number("rules", static_cast<std::int64_t>(duties.file_rules.size())));
}

void LiveSessions::cut(Session& session, const Notice& notice) {
  if (session.link == nullptr || session.state == control::SessionState::ending) return;
  session.state = control::SessionState::ending;
  session.row.code = notice.code;
  session.row.outcome = "cut";
  control::Envelope told;
  *told.mutable_end_session()->mutable_reason() = refusal_of(notice);
  told.mutable_end_session()->set_grace_ms(k_grace_ms);
  session.link->send(std::move(told));
  authority_.note(session, "session.cut",
                  authority_.event_of(session).text("decision", "deny").text("code", notice.code).text("why", notice.why));
  session.kill = authority_.deadlines.after(k_obey, [this, label = session.label] {
    if (Session* late = authority_.find(label); late != nullptr && late->link != nullptr) kill(*late);
  });
  const auto inner = session.inner;
  for (const std::string& label : inner)
    if (Session* carried = authority_.find(label)) cut(*carried, make_notice("SP-2025"));
}

void LiveSessions::cut_channel(Session& session, std::uint32_t channel, const Notice& notice) {
  const auto found = session.channels.find(channel);
  if (found == session.channels.end() || session.link == nullptr) return;
  found->second.cut = true;
  control::Envelope told;
  told.mutable_end_channel()->set_channel(channel);
  *told.mutable_end_channel()->mutable_reason() = refusal_of(notice);
  session.link->send(std::move(told));
  authority_.note(session, "channel.cut",
                  authority_.event_of(session)
                      .number("channel", channel)
                      .text("kind", policy::name_of(found->second.requests.front().kind))
                      .text("decision", "deny")
                      .text("code", notice.code)
                      .text("why", notice.why));
}

void LiveSessions::kill(Session& session) {
  control::Envelope told;
  told.mutable_kill_session()->set_session(session.label);
  authority_.tell_listener(std::move(told));
  authority_.note(session, "session.killed", authority_.event_of(session).text("code", session.row.code));
  session.row.outcome = "killed";
}

void LiveSessions::punish(Session& session, std::string_view what) {
  authority_.note(session, "session.violated_protocol",
                  authority_.event_of(session)
                      .text("state", control::name_of(session.state))
                      .text("what", what)
                      .text("decision", "deny")
                      .text("code", "SP-5006")
                      .flag("alarm", true));
  os::log_line(os::LogEvent::session_protocol_broken, "session " + session.label + " broke the control protocol: " + std::string(what));
  session.row.code = "SP-5006";
  session.state = control::SessionState::ending;
  kill(session);
}

void LiveSessions::on_link_lost(Session& session, const Error& error) {
  if (error.code == Errc::corrupt && session.state != control::SessionState::ending) punish(session, error.detail);
  release(session);
  if (session.state == control::SessionState::kit) {  // never used
    authority_.sessions.erase(session.label);
    return;
  }
  if (session.exited) return finish(session);
  session.kill = authority_.deadlines.after(k_reap, [this, label = session.label] {
    if (Session* gone = authority_.find(label)) finish(*gone);
  });
}

void LiveSessions::on_exited(Session& session, const control::SessionExited& exited) {
  session.exited = true;
  session.row.exit_code = exited.exit_code();
  session.row.signal = exited.signal();
  session.row.cpu_us = static_cast<std::int64_t>(exited.cpu_us());
  if (exited.signal() == SIGSYS)
    authority_.note(session, "sandbox.violated", authority_.event_of(session).number("signal", exited.signal()).flag("alarm", true));
  else if (is_crash(exited.signal()))
    authority_.note(session, "session.crashed", authority_.event_of(session).number("signal", exited.signal()).flag("alarm", true));
  session.killed_for = exited.killed_for();
  release(session);
  finish(session);
}

// Everything the session held of us ends here: leases, inner sessions, deadlines.
void LiveSessions::release(Session& session) {
  authority_.web_terminals->forget(session.label);
  if (session.link == nullptr) return;
  session.link.reset();
  session.login.reset();
  authority_.requests->on_session_gone(session.label);
  authority_.moderation->on_session_gone(session.label);
  authority_.deadlines.cancel(session.grace);
  authority_.deadlines.cancel(session.longest);
  authority_.deadlines.cancel(session.kill);
  if (session.grant && (session.grant->keys_lent > 0 || session.grant->passwords_lent > 0)) {
    control::Envelope told;
    told.mutable_end_leases()->set_session(session.label);
    authority_.vault.tell(std::move(told));
    authority_.note(session, "lease.ended", authority_.event_of(session));
  }
  // Their socket went with the outer process, so they end by themselves; who does not is told.
  for (const std::string& label : std::exchange(session.inner, {})) {
    static_cast<void>(authority_.deadlines.after(k_inner_leaves, [this, label] {
      if (Session* carried = authority_.find(label)) cut(*carried, make_notice("SP-2025"));
    }));
  }
  if (Session* outer = authority_.find(session.row.outer)) outer->inner.erase(session.label);
}

void LiveSessions::finish(Session& session) {
  if (session.ended) return;
  session.ended = true;
  authority_.deadlines.cancel(session.kill);
  SessionRow& row = session.row;
  if (row.outcome.empty()) row.outcome = session.is_logged_in() ? "closed" : "refused";
  if (row.signal != 0 && row.outcome == "closed") row.outcome = "killed";
  row.state = "ended";
  row.ended_us = authority_.now_us();
  const auto lasted = std::chrono::duration_cast<std::chrono::milliseconds>(authority_.clock.boot() - session.started);
  EventJson json = authority_.event_of(session);
  json.text("outcome", row.outcome).text("code", row.code).number("duration_ms", lasted.count());
  json.number("channels", static_cast<std::int64_t>(row.channels))
      .number("bytes_in", static_cast<std::int64_t>(row.bytes_in))
      .number("bytes_out", static_cast<std::int64_t>(row.bytes_out))
      .number("exit_code", row.exit_code)
      .number("signal", row.signal)
      .number("cpu_us", row.cpu_us);
  if (!session.killed_for.empty()) json.text("killed_for", session.killed_for);
  authority_.note(session, "session.ended", json);
  // Connections that proved nobody are in the journal; a flood of them must not fill the database.
  if (session.is_logged_in()) authority_.store->end_session(row);
  authority_.sessions.erase(session.label);
}

void LiveSessions::set_longest(Session& session, std::optional<std::chrono::seconds> longest) {
  authority_.deadlines.cancel(session.longest);
  if (!longest) return;
  session.longest = authority_.deadlines.at(session.started + *longest, [this, label = session.label] {
    if (Session* late = authority_.find(label)) cut(*late, make_notice("SP-2013"));
  });
}

std::uint32_t LiveSessions::parallel_sessions(const Session& session) const {
  std::uint32_t count = 0;
  for (const auto& [label, other] : authority_.sessions) {
    if (other.get() == &session || other->link == nullptr || !other->opened || !other->has_target()) continue;
    if (other->identity->principal == session.identity->principal && other->identity->target == session.identity->target &&
        other->identity->account == session.identity->account)
      ++count;
  }
  return count;
}

}  // namespace sallyport::authority
