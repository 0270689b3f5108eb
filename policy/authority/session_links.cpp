#include "policy/authority/session_links.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <utility>

#include "platform/crypto/ulid.h"
#include "platform/os/log.h"
#include "policy/authority/channels.h"
#include "policy/authority/jumps.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/logins.h"
#include "policy/authority/moderation.h"
#include "policy/authority/requests.h"
#include "policy/authority/self_service.h"
#include "policy/authority/targets.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_waiting = 512;
constexpr std::size_t k_most_early = 256;
constexpr std::size_t k_deepest_report = 8;

/// Events that a session may report about itself; everything else it says is a violation.
constexpr std::string_view k_session_events[] = {"tunnel.opened", "tunnel.onward_hop_refused", "tunnel.onward_hop_seen", "file.", "rsync.", "agent.", "x11.",
                                                 "transfer.", "client.", "recording.", "relay.", "menu.", "guard."};

bool may_report(std::string_view name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  });
  return plain && std::any_of(std::begin(k_session_events), std::end(k_session_events), [&](std::string_view known) {
           return known.back() == '.' ? name.starts_with(known) : name == known;
         });
}

/// What a session reports, written anew by us: its own line breaks, doubled names, numbers that are none and bytes that
/// are not UTF-8 would be read differently by each reader of the log, or by none.
std::string own_writing_of(const boost::json::object& told) { return json_without_steering(boost::json::serialize(told)); }

std::optional<boost::json::object> report_in(const std::string& text) {
  boost::json::error_code wrong;
  boost::json::parse_options options;
  options.max_depth = k_deepest_report;
  boost::json::value parsed = boost::json::parse(text, wrong, {}, options);
  if (wrong || !parsed.is_object()) return std::nullopt;
  return std::move(parsed.get_object());
}

/// What was typed or run, which only the recording recipients read.
constexpr std::string_view k_texts_of_commands[] = {"text", "matched", "shown", "command"};

bool tells_commands(std::string_view name) { return name.starts_with("guard.") || name.starts_with("rsync."); }

/// Moves the texts of commands out of a report, into one JSON object. Empty: there is none.
std::string take_texts(boost::json::object& told) {
  boost::json::object texts;
  for (const std::string_view field : k_texts_of_commands)
    if (const auto at = told.find(field); at != told.end() && at->value().is_string() && !at->value().get_string().empty()) {
      texts.emplace(field, at->value());
      told.stable_erase(at);
    }
  told.erase("sealed");  // ours alone to say
  return texts.empty() ? std::string() : own_writing_of(texts);
}

control::SessionState state_of(std::string_view name) {
  for (unsigned i = 0; i < control::k_session_states; ++i)
    if (const auto state = static_cast<control::SessionState>(i); control::name_of(state) == name) return state;
  return control::SessionState::logging_in;
}

}  // namespace

void SessionLinks::remember(std::vector<SessionRow> rows, std::vector<ChannelRow> channels) {
  for (SessionRow& row : rows) rows_.emplace(row.label, std::move(row));
  for (ChannelRow& channel : channels) channels_[channel.session].push_back(std::move(channel));
}

void SessionLinks::attach(const std::string& label, Fd socket, bool again) {
  if (!crypto::is_ulid(label) || authority_.find(label) != nullptr) {
    os::log_line(os::LogEvent::service_unexpected_message, "the keeper attached the session " + label + " twice or without a label");
    return;
  }
  auto made = std::make_unique<Session>();
  Session& session = *made;
  session.label = label;
  session.link = std::make_unique<LinkPort>(authority_.io, authority_.deadlines, std::move(socket), k_most_waiting);
  authority_.sessions.emplace(label, std::move(made));
  if (again) restore(session);
  session.link->start([this, label](control::Received received) { on_message(label, std::move(received)); },
                      [this, label](const Error& error) {
                        // It may have lived so short that the listener's word about its beginning was not read yet.
                        Session* gone = authority_.find(label);
                        if (gone != nullptr && gone->state == control::SessionState::kit && authority_.listener) authority_.listener->drain();
                        if (gone = authority_.find(label); gone != nullptr) authority_.live->on_link_lost(*gone, error);
                      });
  if (session.restored) {
    control::Envelope told;
    told.mutable_resume()->set_generation(static_cast<std::uint64_t>(authority_.clock.boot().count()));
    session.link->send(std::move(told));
    authority_.live->judge(session);
  }
  if (const auto early = early_.extract(label)) on_started(early.mapped());
}

void SessionLinks::restore(Session& session) {
  session.restored = true;
  const auto found = rows_.find(session.label);
  if (found == rows_.end()) return;  // a kit without a connection, or one whose login was not finished
  session.row = std::move(found->second);
  rows_.erase(found);
  session.source = IpAddress::parse(session.row.source).value_or(IpAddress());
  session.started = BootTime(session.row.started_boot_us);
  session.state = state_of(session.row.state);
  if (session.row.principal.empty()) {
    session.state = control::SessionState::logging_in;  // nobody was proven: the login has to begin anew
    return;
  }
  session.identity = identity_of(session.row);
  if (!session.row.outer.empty())
    if (Session* outer = authority_.find(session.row.outer)) outer->inner.insert(session.label);
  for (const auto& [label, other] : authority_.sessions)
    if (other->row.outer == session.label) session.inner.insert(label);
  if (session.row.opened_us == 0) return;
  session.opened = WallTime(std::chrono::microseconds(session.row.opened_us));
  session.grant.emplace();
  if (const policy::Target* target = authority_.snapshot->find_target(session.row.target)) {
    for (const policy::HostKey& key : target->host_keys) session.grant->host_keys.push_back(key.blob);
    for (const policy::HostKey& ca : target->host_cas) session.grant->host_cas.push_back(ca.blob);
    session.grant->host_names = target->host_names();
    if (const policy::Account* account = target->find_account(session.row.account)) {
      for (const policy::TargetCredential& credential : account->credentials) {
        if (credential.kind == policy::TargetCredential::Kind::key) session.grant->keys.push_back(credential.secret);
        if (credential.kind == policy::TargetCredential::Kind::password) session.grant->passwords.push_back(credential.secret);
      }
    }
  }
  // Leases that the authority before this one had handed on end with the session all the same.
  session.grant->keys_lent = session.state == control::SessionState::ready ? session.grant->keys.size() : 0;
  session.grant->passwords_lent = session.state == control::SessionState::ready ? session.grant->passwords.size() : 0;
  for (const ChannelRow& row : channels_[session.label]) {
    policy::AccessRequest request = authority_.request_of(session);
    request.kind = policy::parse_channel_kind(row.kind).value_or(policy::ChannelKind::connect);
    request.up = row.up;
    request.down = row.down;
    request.command = row.command;
    request.host = row.host;
    request.port = static_cast<std::uint16_t>(row.port);
    request.path = row.path;
    request.opened = WallTime(std::chrono::microseconds(row.opened_us));
    session.channels[row.channel].requests.push_back(std::move(request));
  }
  channels_.erase(session.label);
  policy::AccessRequest request = authority_.request_of(session);
  request.opened = session.opened;
  authority_.live->set_longest(session, authority_.decide(request).obligations.max_duration);
}

void SessionLinks::close_lost() {
  for (auto& [label, row] : std::exchange(rows_, {})) {
    if (authority_.find(label) != nullptr) continue;
    row.outcome = "lost";
    row.state = "ended";
    row.ended_us = authority_.now_us();
    authority_.journal.append("session.ended",
                              EventJson()
                                  .text("session", label)
                                  .text("principal", row.principal)
                                  .text("target", row.target)
                                  .text("account", row.account)
                                  .text("outcome", "lost")
                                  .text("why", "its process was gone when the authority started")
                                  .str(),
                              label);
    authority_.store->end_session(std::move(row));
  }
  channels_.clear();
}

void SessionLinks::on_started(const control::SessionStarted& started) {
  Session* session = authority_.find(started.session());
  if (session == nullptr || session->state != control::SessionState::kit) {
    // Asked by SpawnInner it comes as the answer and as a statement: the second one changes nothing.
    if (session != nullptr || !crypto::is_ulid(started.session())) return;
    // The keeper gives the kit to both of us; the listener was quicker than our own link. Labels sort by time: the oldest goes.
    if (early_.size() >= k_most_early) early_.erase(early_.begin());
    early_[started.session()] = started;
    return;
  }
  session->restored = false;
  session->state = control::SessionState::logging_in;
  session->started = authority_.clock.boot();
  SessionRow& row = session->row;
  row.label = session->label;
  row.state = control::name_of(session->state);
  row.started_us = authority_.now_us();
  row.started_boot_us = session->started.count();
  row.boot_id = authority_.boot_id;
  row.source = started.peer_address();
  row.source_port = started.peer_port();
  row.local = started.local_address();
  row.local_port = started.local_port();
  row.outer = started.outer_session();
  row.inner_target = started.inner_target();
  session->source = IpAddress::parse(row.source).value_or(IpAddress());
  if (const auto local = IpAddress::parse(row.local); local && row.local_port != 0 && row.outer.empty()) {
    const auto port = static_cast<std::uint16_t>(row.local_port);
    const bool known = std::any_of(authority_.listeners.begin(), authority_.listeners.end(), [&](const policy::Listener& one) {
      return one.port == port && (one.address == *local || one.address.is_unspecified());
    });
    if (!known) authority_.listeners.push_back({*local, port});
  }
  if (!row.outer.empty()) {
    if (Session* outer = authority_.find(row.outer)) {
      outer->inner.insert(session->label);
      session->source = outer->source;  // the person sits where the outer connection comes from
      row.source = outer->row.source;
      row.source_port = outer->row.source_port;
    }
  }
  EventJson json = authority_.event_of(*session);
  json.number("source_port", row.source_port).text("gateway", row.local).number("gateway_port", row.local_port);
  json.text("outer", row.outer).text("jump_target", row.inner_target).number("pid", started.pid());
  authority_.note(*session, "session.started", json);
  authority_.logins->begin(*session);
}

void SessionLinks::on_exited(const control::SessionExited& exited) {
  Session* session = authority_.find(exited.session());
  if (session != nullptr && session->link != nullptr) {
    session->link->drain();  // its last words may still wait there
    session = authority_.find(exited.session());
  }
  if (session != nullptr) authority_.live->on_exited(*session, exited);
}

void SessionLinks::on_exchange_signed(const control::ExchangeSigned& told) {
  Session* session = authority_.find(told.session());
  // Only the first one is the session identifier; later ones belong to rekeying (RFC 4253 section 7.2).
  if (session != nullptr && session->exchange_hash.empty()) session->exchange_hash = told.exchange_hash();
}

void SessionLinks::on_message(const std::string& label, control::Received received) {
  Session* session = authority_.find(label);
  if (session == nullptr || session->link == nullptr) return;
  const control::Envelope& envelope = received.envelope;
  if (session->state == control::SessionState::kit) {
    // The listener's word that this session began may still wait on its own link.
    if (authority_.listener) authority_.listener->drain();
    session = authority_.find(label);
    if (session == nullptr || session->link == nullptr) return;
  }
  if (session->restored && !session->is_logged_in()) {
    // It was logging in when the last authority ended: what it had proven is forgotten, so it has to come anew.
    authority_.live->cut(*session, make_notice("SP-5004"));
    return;
  }
  switch (control::judge_session_message(session->state, envelope, received.descriptors.size(), session->restored)) {
    case control::Judgement::ignore: return;
    case control::Judgement::violation:
      return authority_.live->punish(*session, std::string(control::name_of(envelope.body_case())) + " in the state " +
                                                   std::string(control::name_of(session->state)));
    case control::Judgement::accept: break;
  }
  if (auto bounded = control::check_bounds(envelope); !bounded) return authority_.live->punish(*session, bounded.error().detail);
  if (!session->invite.empty() && (envelope.has_channel_ask() || envelope.has_open_target() || envelope.has_open_jump() || envelope.has_approval_ask())) {
    authority_.note(*session, "invite.overstepped", authority_.event_of(*session).text("asked", control::name_of(envelope.body_case())).text("decision", "deny").text("code", "SP-2001"));
    return authority_.live->cut(*session, make_notice("SP-2001", "with an invite one enrols, and nothing else"));
  }
  switch (envelope.body_case()) {
    case control::Envelope::kAuthAttempt:
      if (session->is_logged_in()) return authority_.live->cut(*session, make_notice("SP-5004"));  // its answer was lost with the last authority
      return authority_.logins->on_attempt(*session, envelope);
    case control::Envelope::kOpenTarget: return authority_.targets->on_open(*session, envelope);
    case control::Envelope::kCredentialRequest: return authority_.targets->on_credential(*session, envelope);
    case control::Envelope::kTargetOutcome: return authority_.targets->on_outcome(*session, envelope.target_outcome());
    case control::Envelope::kChannelAsk: return authority_.channels->on_ask(*session, envelope);
    case control::Envelope::kChannelClosed: return authority_.channels->on_closed(*session, envelope.channel_closed());
    case control::Envelope::kGuardFiles: return authority_.channels->on_guard_files(*session, envelope.guard_files());
    case control::Envelope::kApprovalAsk: return authority_.requests->on_ask(*session, envelope);
    case control::Envelope::kApprovalCancel: return authority_.requests->on_cancel(*session, envelope.approval_cancel().channel());
    case control::Envelope::kJoinedKeys: return authority_.moderation->on_keys(*session, envelope.joined_keys());
    case control::Envelope::kOpenJump: return authority_.jumps->on_open(*session, envelope);
    case control::Envelope::kSelfService: return authority_.self_service->on_ask(*session, envelope);
    case control::Envelope::kSessionEvent: return on_session_event(*session, envelope.session_event());
    default: return;
  }
}

void SessionLinks::on_session_event(Session& session, const control::SessionEvent& event) {
  auto told = report_in(event.json());
  if (!may_report(event.name()) || !told) return authority_.live->punish(session, "an event of the name " + event.name());
  // Nested and marked: what a session says about itself never looks like our own word.
  const auto append = [this, name = event.name(), label = session.label, ours = authority_.event_of(session).str()](const boost::json::object& reported) {
    authority_.journal.append(name, ours.substr(0, ours.size() - 1) + ",\"reported\":" + own_writing_of(reported) + "}", label);
  };
  const std::string texts = tells_commands(event.name()) ? take_texts(*told) : std::string();
  if (texts.empty()) return append(*told);
  EventTexts& seals = authority_.channels->texts();
  seals.when_ready([&seals, append, texts, told = std::move(*told), name = event.name(), label = session.label]() mutable {
    const std::string sealed = seals.seal(name, label, texts);
    if (sealed.empty()) told.insert_or_assign("text_withheld", true);
    else told.insert_or_assign("sealed", sealed);
    append(told);
  });
}

}  // namespace sallyport::authority
