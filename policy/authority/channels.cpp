#include "policy/authority/channels.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/model/bytes.h"
#include "policy/authority/guard_rules.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/moderation.h"
#include "policy/authority/requests.h"
#include "policy/authority/targets.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_channels = 1024;
constexpr std::size_t k_most_requests = 16;  // of one channel
constexpr std::size_t k_command_in_event = 16 * 1024;

bool too_many_requests(const Session& session, std::uint32_t channel) {
  const auto found = session.channels.find(channel);
  return found != session.channels.end() && found->second.requests.size() >= k_most_requests;
}

}  // namespace

struct Channels::Asking {
  std::string label;
  control::Envelope question;  ///< only its call number
  std::uint32_t channel = 0;
  std::string kind;
  policy::AccessRequest request;
  policy::Decision decision;
  bool is_of_engine = false;
  bool is_agreed = false;  ///< others said yes to what is held
  EventJson facts;  ///< of the question, for its audit events
  std::uint64_t generation = 0;
};

void Channels::on_ask(Session& session, const control::Envelope& question) {
  // A shell has no command, but what is typed in it will go into events.
  if (question.channel_ask().command().empty() && question.channel_ask().kind() != "shell") return judge(session, question);
  const auto go_on = [this, label = session.label, question] {
    if (Session* here = authority_.find(label); here != nullptr && here->link != nullptr) judge(*here, question);
  };
  // The command goes into events, sealed, and may hold what the vault lent to her.
  texts_.when_ready([this, label = session.label, is_shell = question.channel_ask().command().empty(), go_on] {
    Session* here = authority_.find(label);
    if (here == nullptr || !here->has_target() || is_shell) return go_on();
    authority_.targets->when_masked(*here, go_on);
  });
}

void Channels::judge(Session& session, const control::Envelope& question) {
  const control::ChannelAsk& ask = question.channel_ask();
  auto asking = std::make_shared<Asking>();
  asking->label = session.label;
  asking->question.set_call(question.call());
  asking->channel = ask.channel();
  asking->kind = ask.kind();
  policy::AccessRequest& request = asking->request;
  request = authority_.request_of(session);
  request.command = ask.command();
  request.host = ask.host();
  request.port = static_cast<std::uint16_t>(ask.port());
  request.path = ask.path();
  request.up = ask.direction() == "up";
  request.down = ask.direction() == "down";

  const auto kind = policy::parse_channel_kind(ask.kind());
  policy::Decision& decision = asking->decision;
  if (session.identity->bare) {
    decision.code = "SP-2023";
  } else if (!session.identity->problem_code.empty()) {
    decision.code = session.identity->problem_code;
    decision.why = session.identity->problem;
  } else if (!kind || *kind == policy::ChannelKind::connect) {
    decision.code = "SP-2009";
    decision.why = "this gateway knows no such kind of channel";
  } else if (session.channels.size() >= k_most_channels || too_many_requests(session, ask.channel())) {
    decision.code = "SP-5008";
  } else {
    request.kind = *kind;
    decision = authority_.decide(request);
    asking->is_of_engine = true;
  }
  EventJson& json = asking->facts;
  json = authority_.event_of(session);
  json.number("channel", ask.channel()).text("kind", ask.kind()).text("direction", ask.direction());
  const std::string command = session.mask ? session.mask->masked(ask.command()) : session.has_target() ? std::string{} : ask.command();
  if (command.empty() && !ask.command().empty()) {  // the vault did not say what would have to be masked
    json.flag("command_withheld", true).number("command_bytes", static_cast<std::int64_t>(ask.command().size()));
  } else if (!command.empty()) {
    EventJson texts;
    texts.text("command", command.substr(0, k_command_in_event));
    const bool is_long = command.size() > k_command_in_event;
    if (is_long) texts.text("command_sha256", crypto::to_hex(crypto::sha256(bytes_of(command))));
    const std::string sealed = texts_.seal("channel.decided", session.label, texts.str());
    if (sealed.empty()) json.flag("command_withheld", true);  // there is nobody to seal it to: rather not at all
    else json.text("sealed", sealed);
    if (is_long) json.flag("command_truncated", true);
    if (is_long || sealed.empty()) json.number("command_bytes", static_cast<std::int64_t>(ask.command().size()));
  }
  json.text("host", ask.host());
  if (ask.port() != 0) json.number("port", ask.port());
  json.text("path", ask.path()).text("origin", ask.origin_host()).text("term", ask.term());
  if (ask.pty()) json.flag("pty", true);
  write_down(asking);
}

void Channels::write_down(const std::shared_ptr<Asking>& asking) {
  const policy::Decision& decision = asking->decision;
  asking->generation = authority_.generation;
  EventJson json = asking->facts;
  const bool held = decision.allowed() && is_held(*asking);
  const bool asks = held || decision.outcome == policy::Outcome::ask;
  json.number("policy_version", authority_.policy_version);
  if (asking->is_of_engine) {
    policy::AccessRequest input = asking->request;
    input.command.clear();  // the event has it
    json.raw("input", policy::encode_request(input));
  }
  json.text("decision", asks ? "ask" : decision.allowed() ? "allow" : "deny").text("rule", decision.rule.str());
  if (!decision.allowed()) json.text("code", decision.code).text("why", decision.why);
  if (decision.allowed()) json.text("replaced_command", decision.obligations.replaced_command);
  authority_.journal.append("channel.decided", json.str(), asking->label,
                            [this, asking](Result<Appended> stored) { answer(asking, std::move(stored)); });
}

void Channels::answer(const std::shared_ptr<Asking>& asking, Result<Appended> stored) {
  Session* session = authority_.find(asking->label);
  if (session == nullptr || session->link == nullptr) return;
  if (!stored) return refuse(*session, asking->question, make_notice("SP-4004", stored.error().detail));
  if (session->state == control::SessionState::ending)
    return refuse(*session, asking->question, make_notice(session->row.code.empty() ? "SP-2015" : session->row.code, {}, stored->id));
  policy::Decision& decision = asking->decision;
  // A change of policy while the event was being written.
  if (decision.allowed() && asking->generation != authority_.generation) {
    decision = authority_.decide(asking->request);
    if (!decision.allowed())
      authority_.note(*session, "channel.cut",
                      authority_.event_of(*session).number("channel", asking->channel).text("decision", "deny").text("code", decision.code));
  }
  if (decision.outcome == policy::Outcome::ask) return wait(*session, asking);
  if (!decision.allowed()) return refuse(*session, asking->question, make_notice(decision.code, decision.why, stored->id));

  if (is_held(*asking)) return wait_for_agreement(*session, asking);

  auto [place, is_new] = session->channels.try_emplace(asking->channel);
  if (is_new) {
    place->second.decision = stored->id;
    ++session->row.channels;
  }
  place->second.requests.push_back(asking->request);
  place->second.requests.back().opened = asking->request.now;
  const policy::AccessRequest& request = asking->request;
  authority_.store->put_channel({session->label, asking->channel, std::string(policy::name_of(request.kind)), request.up, request.down,
                                 session->mask ? session->mask->masked(request.command) : std::string{}, request.host, request.port, request.path, request.now.time_since_epoch().count()});

  const policy::Obligations& duties = decision.obligations;
  place->second.files = duties.file_rules;
  control::Envelope envelope;
  auto* body = envelope.mutable_channel_answer();
  body->set_allowed(true);
  body->set_decision(stored->id);
  body->set_bulk(static_cast<control::BulkMode>(duties.bulk));
  body->set_full_recording_bytes(authority_.settings.number("full_recording_bytes", 64ULL * 1024 * 1024));
  body->set_file_rules_apply(duties.file_rules_apply);
  for (const policy::FileRule& rule : duties.file_rules) {
    auto* out = body->add_file_rules();
    out->set_prefix(rule.prefix);
    out->set_up(rule.up);
    out->set_down(rule.down);
    out->set_change(rule.change);
    out->set_hold_up(rule.hold_up && !asking->is_agreed);  // a call of scp or rsync was agreed to as a whole
    out->set_hold_change(rule.hold_change && !asking->is_agreed);
  }
  body->set_sniff_onward_hop(duties.sniff_onward_hop);
  body->set_onward_alert(duties.onward == policy::Onward::alert);
  body->set_onward_approve(duties.onward == policy::Onward::approve);
  body->set_guard_rules(guard_rules(duties));
  place->second.guard = hash_of_rules(body->guard_rules());
  if (!body->guard_rules().empty() && session->identity)
    files_.tell(session->identity->principal.view(), session->identity->target.view(), authority_.now(), *body);
  body->set_granted_port(request.port);
  body->set_replaced_command(duties.replaced_command);
  // File transfers leave hashes instead; rsync cannot tell of single files, so a role that wants all or nothing gets its bytes.
  const bool is_rsync = request.kind == policy::ChannelKind::rsync;
  body->set_record_content(duties.bulk == policy::Bulk::full || (is_rsync && duties.bulk == policy::Bulk::end));
  session->link->answer(asking->question, std::move(envelope));
}

// sftp asks for each file by itself; scp -O and rsync have no place for that: the call is agreed to as a whole, or not.
bool Channels::is_held(const Asking& asking) {
  if (asking.is_agreed) return false;
  const policy::Obligations& duties = asking.decision.obligations;
  if (duties.hold_tunnel) return true;
  const policy::ChannelKind kind = asking.request.kind;
  const bool writes = (kind == policy::ChannelKind::scp || kind == policy::ChannelKind::rsync) && (asking.request.up || !asking.request.down);
  return writes && std::any_of(duties.file_rules.begin(), duties.file_rules.end(), [](const policy::FileRule& rule) { return rule.hold_up || rule.hold_change; });
}

void Channels::wait_for_agreement(Session& session, const std::shared_ptr<Asking>& asking) {
  const policy::AccessRequest& request = asking->request;
  const bool is_file = request.kind == policy::ChannelKind::scp || request.kind == policy::ChannelKind::rsync;
  std::string text = std::string(policy::name_of(request.kind)) + " ";
  if (is_file) text = session.mask ? session.mask->masked(request.command) : text + "to " + session.identity->target.str();
  else text += request.path.empty() ? "to " + request.host + ":" + std::to_string(request.port) : "to " + request.path;
  const policy::Approval who = asking->decision.obligations.hold.value_or(policy::Approval{});
  authority_.requests->wait_for_act(session, asking->channel, is_file ? "file" : "tunnel", std::move(text), who, [this, asking](const Verdict& verdict) {
    Session* here = authority_.find(asking->label);
    if (here == nullptr || here->link == nullptr) return;
    if (!verdict.granted()) return refuse(*here, asking->question, verdict.notice);
    asking->is_agreed = true;
    asking->request.now = authority_.now();
    asking->decision = authority_.decide(asking->request);
    asking->facts.text("request", verdict.request.id);
    write_down(asking);
  });
}

// Nothing of the channel goes to the target before somebody has agreed.
void Channels::wait(Session& session, const std::shared_ptr<Asking>& asking) {
  const auto decided = [this, asking](const Verdict& verdict) {
    Session* here = authority_.find(asking->label);
    if (here == nullptr || here->link == nullptr) return;
    if (!verdict.granted()) return refuse(*here, asking->question, verdict.notice);
    asking->request.now = authority_.now();
    const policy::AccessRequest present = authority_.request_of(*here);
    asking->request.approvals = present.approvals;
    asking->request.moderated = present.moderated;
    asking->decision = authority_.decide(asking->request);
    asking->facts.text("request", verdict.request.id);
    write_down(asking);
  };
  if (asking->decision.moderation) return authority_.moderation->wait_for(session, asking->channel, asking->decision, decided);
  authority_.requests->wait_for_access(session, asking->channel, asking->decision, decided);
}

void Channels::refuse(Session& session, const control::Envelope& question, const Notice& notice) {
  control::Envelope envelope;
  envelope.mutable_channel_answer()->set_allowed(false);
  *envelope.mutable_channel_answer()->mutable_refusal() = refusal_of(notice);
  session.link->answer(question, std::move(envelope));
}

void Channels::on_guard_files(Session& session, const control::GuardFiles& files) {
  if (!session.identity) return;
  for (const control::GuardFile& file : files.files())
    files_.note(session.identity->principal.view(), session.identity->target.view(), file, authority_.now());
}

void Channels::on_closed(Session& session, const control::ChannelClosed& closed) {
  const auto found = session.channels.find(closed.channel());
  if (found == session.channels.end()) return;  // was refused, or closed already
  EventJson json = authority_.event_of(session);
  json.number("channel", closed.channel())
      .text("kind", policy::name_of(found->second.requests.front().kind))
      .number("bytes_in", static_cast<std::int64_t>(closed.bytes_in()))
      .number("bytes_out", static_cast<std::int64_t>(closed.bytes_out()))
      .number("recorded_full", static_cast<std::int64_t>(closed.recorded_full()))
      .number("recorded_hashed", static_cast<std::int64_t>(closed.recorded_hashed()));
  if (closed.exit_status() >= 0) json.number("exit_status", closed.exit_status());
  json.text("exit_signal", closed.exit_signal()).text("reference", found->second.decision);
  authority_.note(session, "channel.closed", json);
  session.row.bytes_in += closed.bytes_in();
  session.row.bytes_out += closed.bytes_out();
  session.channels.erase(found);
  authority_.store->remove_channel(session.label, closed.channel());
}

}  // namespace sallyport::authority
