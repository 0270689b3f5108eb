#include "policy/authority/requests.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "platform/crypto/ulid.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/request_limits.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_text = 16 * 1024;
constexpr std::chrono::seconds k_longest_wait{600};  // of a session; then the client is told

std::string approvers_text(const RequestRow& row) {
  const std::string who = row.approvers.empty() ? "who may approve" : "of " + row.approvers;
  return std::to_string(row.needed) + " " + who;
}

}  // namespace

std::string utc_line(std::int64_t moment) {
  const std::time_t seconds = moment / 1'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts));
}

std::string in_her_words(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    out += c;
    if (c == '\n') out += "            | ";
  }
  return out;
}

void Requests::remember(std::vector<RequestRow> rows) {
  for (RequestRow& row : rows) {
    auto open = std::make_unique<Open>();
    open->row = std::move(row);
    if (open->row.state == "approved") ++granted_[open->row.principal];
    watch(*open);
    const std::string id = open->row.id;
    open_.emplace(id, std::move(open));
  }
}

std::vector<std::string> Requests::standing(const std::string& principal, const std::string& target, const std::string& account,
                                            const std::string& session) const {
  std::vector<std::string> roles;
  if (granted_.empty() || !granted_.contains(principal)) return roles;
  const std::int64_t now = authority_.now().time_since_epoch().count();
  for (const auto& [id, open] : open_) {
    const RequestRow& row = open->row;
    if (row.state != "approved" || row.kind != "access" || row.principal != principal || row.target != target || row.account != account) continue;
    if (row.until_us == 0 ? row.session != session : row.until_us <= now) continue;
    roles.push_back(row.role);
  }
  return roles;
}

Requests::Open* Requests::find_open(std::string_view id) const {
  const auto found = open_.find(id);
  return found == open_.end() ? nullptr : found->second.get();
}

std::size_t Requests::count_pending(const std::string& principal) const {
  return static_cast<std::size_t>(std::count_if(
      open_.begin(), open_.end(), [&](const auto& one) { return one.second->row.state == "pending" && one.second->row.principal == principal; }));
}

EventJson Requests::event_of(const RequestRow& row) const {
  EventJson json;
  json.text("request", row.id).text("kind", row.kind).text("requester", row.principal).text("role", row.role);
  json.text("target", row.target).text("account", row.account).text("text", row.text.substr(0, 4096)).text("reason", row.reason);
  json.text("approvers", row.approvers).number("needed", row.needed).number("lasts_s", row.lasts_s).text("waiting_session", row.session);
  return json;
}

void Requests::changed(const RequestRow& row, const std::string& event) const {
  if (on_change) on_change(row, event);
}

// ---------------------------------------------------------------- sessions

void Requests::wait_for_access(Session& session, std::uint32_t channel, const policy::Decision& asked, Decided decided) {
  RequestRow row;
  row.kind = "access";
  row.role = asked.rule.role;
  row.target = session.identity->target.str();
  row.account = session.identity->account.str();
  row.approvers = asked.approval.approvers;
  row.needed = asked.approval.count;
  row.lasts_s = asked.approval.lasts.count();
  row.decide_by_us = authority_.now().time_since_epoch().count() + microseconds_of(std::min(asked.approval.within, k_longest_wait));
  open_for(session, std::move(row), channel, std::move(decided));
}

void Requests::wait_for_act(Session& session, std::uint32_t channel, const std::string& kind, std::string text, const policy::Approval& who, Decided decided) {
  RequestRow row;
  row.kind = kind;
  row.target = session.identity->target.str();
  row.account = session.identity->account.str();
  row.text = text.substr(0, k_most_text);
  row.approvers = who.approvers;
  row.needed = who.count;
  row.decide_by_us = authority_.now().time_since_epoch().count() + microseconds_of(std::min(who.within, k_longest_wait));
  open_for(session, std::move(row), channel, std::move(decided));
}

void Requests::wait_for_presence(Session& session, std::uint32_t channel, const std::string& role, const policy::Moderation& needed, Decided decided) {
  RequestRow row;
  row.kind = "presence";
  row.role = role;
  row.target = session.identity->target.str();
  row.account = session.identity->account.str();
  row.text = "a moderator in the session " + session.label;
  row.approvers = needed.moderators;
  row.needed = 1;
  row.decide_by_us = authority_.now().time_since_epoch().count() + microseconds_of(std::min(needed.within, k_longest_wait));
  open_for(session, std::move(row), channel, std::move(decided));
}

void Requests::joined(const Operator& who, const std::string& session, const std::vector<std::string>& roles) {
  std::vector<std::string> fulfilled;
  for (const auto& [id, open] : open_) {
    const RequestRow& row = open->row;
    if (row.kind == "presence" && row.state == "pending" && row.session == session && std::find(roles.begin(), roles.end(), row.role) != roles.end()) fulfilled.push_back(id);
  }
  for (const std::string& id : fulfilled) cast(who, id, true, "joined the session", [](const Result<RequestRow>&) {});
}

void Requests::on_ask(Session& session, const control::Envelope& question) {
  const control::ApprovalAsk& ask = question.approval_ask();
  RequestRow row;
  row.kind = ask.kind() == "file" || ask.kind() == "tunnel" ? ask.kind() : std::string("command");
  row.target = session.identity->target.str();
  row.account = session.identity->account.str();
  row.text = ask.text().substr(0, k_most_text);
  row.reason = ask.why().substr(0, k_most_reason);
  auto within = k_longest_wait;
  // Who decides about a held act: the approvers of the role on request that opened the session, else all who may approve.
  for (const std::string& name : standing(session.identity->principal.str(), row.target, row.account, session.label)) {
    for (const policy::Role& role : authority_.snapshot->roles()) {
      if (role.name != name || !role.approval) continue;
      row.role = role.name;
      row.approvers = role.approval->approvers;
      row.needed = role.approval->count;
      within = std::min(role.approval->within, within);
    }
  }
  // What a rule holds is decided by whom the rule names.
  if (const auto found = session.channels.find(ask.channel()); row.kind == "file" && found != session.channels.end()) {
    for (policy::AccessRequest asked : found->second.requests) {
      const policy::AccessRequest present = authority_.request_of(session);
      asked.now = present.now;
      asked.approvals = present.approvals;
      asked.moderated = present.moderated;
      asked.groups = present.groups;
      const policy::Decision decision = authority_.decide(asked);
      if (!decision.obligations.hold) continue;
      row.approvers = decision.obligations.hold->approvers;
      row.needed = decision.obligations.hold->count;
      within = std::min(decision.obligations.hold->within, k_longest_wait);
      break;
    }
  }
  row.decide_by_us = authority_.now().time_since_epoch().count() + microseconds_of(within);
  control::Envelope call;
  call.set_call(question.call());
  open_for(session, std::move(row), ask.channel(), [this, label = session.label, call](const Verdict& verdict) {
    Session* here = authority_.find(label);
    if (here == nullptr || here->link == nullptr) return;
    control::Envelope envelope;
    auto* body = envelope.mutable_approval_answer();
    body->set_outcome(verdict.outcome);
    if (!verdict.granted()) *body->mutable_refusal() = refusal_of(verdict.notice);
    for (const Vote& vote : verdict.request.votes) {
      if (vote.approve == verdict.granted()) body->add_approvers(vote.by);
      if (!vote.reason.empty()) body->set_reason(vote.reason);
    }
    body->set_request(verdict.request.id);
    here->link->answer(call, std::move(envelope));
  });
}

void Requests::open_for(Session& session, RequestRow row, std::uint32_t channel, Decided decided) {
  row.principal = session.identity->principal.str();
  for (const auto& [id, open] : open_) {
    const RequestRow& other = open->row;
    const bool same = other.state == "pending" && other.kind == row.kind && other.principal == row.principal && other.target == row.target &&
                      other.account == row.account && other.role == row.role && other.text == row.text;
    // A yes to one held act lets one act go on: who asks twice at a time, over two channels, is asked about twice. A request
    // that nobody waits for was open before the authority began anew, and whoever asks again is who asked then.
    if (row.kind != "access" && row.kind != "presence" && !open->waiters.empty()) continue;
    // What is good for one session alone is asked for by each.
    if (!same || (other.session != session.label && (row.kind != "access" || other.lasts_s == 0))) continue;
    return add_waiter(*open, session, channel, std::move(decided));
  }
  if (count_pending(row.principal) >= k_most_pending || open_.size() >= k_most_open) {
    Verdict verdict;
    verdict.notice = make_notice("SP-9208");
    authority_.note(session, "request.refused", authority_.event_of(session).text("decision", "deny").text("code", "SP-9208"));
    return decided(verdict);
  }
  row.id = crypto::make_ulid(authority_.clock, authority_.random);
  row.state = "pending";
  row.session = session.label;
  row.created_us = authority_.now_us();
  auto fresh = std::make_unique<Open>();
  fresh->row = row;
  fresh->stored = false;
  Open& open = *fresh;
  open_.emplace(row.id, std::move(fresh));
  watch(open);
  add_waiter(open, session, channel, std::move(decided));
  EventJson json = event_of(row);
  json.text("principal", row.principal).number("decide_by_us", row.decide_by_us).text("source", session.row.source);
  authority_.journal.append(
      "request.created", json.str(), session.label,
      [this, row](const Result<Appended>& stored) {
        if (!stored) return close(row.id, "cancelled", "it could not be written to the journal");
        if (find_open(row.id) == nullptr) return;  // given up meanwhile, and stored as that
        authority_.store->put_request(row, {}, [this, id = row.id](const Result<void>&) {
          Open* here = find_open(id);
          if (here == nullptr) return;
          here->stored = true;
          tell_waiters(*here);
        });
        changed(row, "request.created");
      },
      true);
}

void Requests::add_waiter(Open& open, const Session& session, std::uint32_t channel, Decided decided) {
  auto waiter = std::make_shared<Waiter>(Waiter{session.label, channel, std::move(decided), 0});
  open.waiters.push_back(waiter);
  // A request that was made in advance may wait for days; a session does not.
  waiter->deadline = authority_.deadlines.after(k_longest_wait, [this, id = open.row.id, weak = std::weak_ptr(waiter)] {
    const auto late = weak.lock();
    Open* here = find_open(id);
    if (!late || here == nullptr) return;
    std::erase(here->waiters, late);
    late->decided(Verdict{control::ApprovalAnswer::EXPIRED, make_notice("SP-9203", "nobody decided within 10 minutes"), here->row});
  });
  tell_waiters(open, waiter.get());
}

void Requests::tell_waiters(const Open& open, const Waiter* only) {
  if (!open.stored) return;
  const RequestRow& row = open.row;
  std::string text = row.kind == "presence" ? "waiting for one of " + row.approvers + " to join: ssh NAME@gateway join " + row.session
                                            : "waiting for the approval of " + approvers_text(row) + ", request " + row.id;
  if (const std::size_t yes = yes_of(row); yes > 0) text += ", " + std::to_string(yes) + " said yes";
  text += " (until " + utc_line(row.decide_by_us) + ", Ctrl-C gives up)";
  for (const auto& waiter : open.waiters) {
    if (only != nullptr && waiter.get() != only) continue;
    const Session* session = authority_.find(waiter->session);
    if (session == nullptr || session->link == nullptr) continue;
    control::Envelope told;
    told.mutable_approval_notice()->set_channel(waiter->channel);
    told.mutable_approval_notice()->set_text(text);
    session->link->send(std::move(told));
  }
}

void Requests::on_cancel(Session& session, std::uint32_t channel) {
  std::vector<std::string> left;
  for (const auto& [id, open] : open_) {
    const auto mine = std::find_if(open->waiters.begin(), open->waiters.end(), [&](const auto& waiter) {
      return waiter->session == session.label && waiter->channel == channel;
    });
    if (mine == open->waiters.end()) continue;
    const auto waiter = *mine;
    open->waiters.erase(mine);
    authority_.deadlines.cancel(waiter->deadline);
    waiter->decided(Verdict{control::ApprovalAnswer::CANCELLED, make_notice("SP-9204"), open->row});
    if (open->waiters.empty() && open->row.session == session.label && open->row.state == "pending") left.push_back(id);
  }
  for (const std::string& id : left) close(id, "cancelled", "the person gave up");
}

void Requests::on_session_gone(const std::string& label) {
  std::vector<std::string> left;
  std::vector<std::string> over;
  for (const auto& [id, open] : open_) {
    for (const auto& waiter : open->waiters)
      if (waiter->session == label) authority_.deadlines.cancel(waiter->deadline);
    std::erase_if(open->waiters, [&](const auto& waiter) { return waiter->session == label; });
    if (open->row.session != label) continue;
    if (open->row.state == "pending" && open->waiters.empty()) left.push_back(id);
    if (open->row.state == "approved" && open->row.until_us == 0) over.push_back(id);
  }
  for (const std::string& id : left) close(id, "cancelled", "the session that waited has ended");
  for (const std::string& id : over) close(id, "ended", "the session that it was good for has ended");
}

// ---------------------------------------------------------------- time and ends

void Requests::watch(Open& open) {
  authority_.deadlines.cancel(open.deadline);
  const std::int64_t due = open.row.state == "pending" ? open.row.decide_by_us : open.row.until_us;
  if (due == 0) return;
  const std::int64_t left = std::max<std::int64_t>(due - authority_.now().time_since_epoch().count(), 0);
  open.deadline = authority_.deadlines.after(std::chrono::microseconds(left), [this, id = open.row.id] { on_time(id); });
}

void Requests::on_time(const std::string& id) {
  const Open* open = find_open(id);
  if (open == nullptr) return;
  if (open->row.state == "pending") return close(id, "expired", "nobody decided in time");
  close(id, "ended", "the time it was given for is over");
}

void Requests::close(const std::string& id, const std::string& state, const std::string& why) {
  Open* open = find_open(id);
  if (open == nullptr) return;
  authority_.deadlines.cancel(open->deadline);
  const bool was_granted = open->row.state == "approved";
  open->row.state = state;
  const std::string event = "request." + state;
  EventJson json = event_of(open->row);
  json.text("why", why);
  if (state == "expired") json.text("decision", "deny").text("code", "SP-9203");
  authority_.journal.append(event, json.str(), open->row.session);
  authority_.store->put_request(open->row, {}, [](const Result<void>&) {});
  if (state == "expired") release(*open, control::ApprovalAnswer::EXPIRED, make_notice("SP-9203", {}, id));
  if (state == "cancelled") release(*open, control::ApprovalAnswer::CANCELLED, make_notice("SP-9204", why, id));
  const RequestRow row = open->row;
  if (was_granted) {
    const auto granted = granted_.find(row.principal);
    if (granted != granted_.end() && --granted->second == 0) granted_.erase(granted);
  }
  open_.erase(id);
  changed(row, event);
  if (!was_granted || row.until_us == 0) return;
  ++authority_.generation;
  authority_.live->judge_all();
}

void Requests::release(Open& open, control::ApprovalAnswer::Outcome outcome, const Notice& notice) {
  const RequestRow row = open.row;
  for (const auto& waiter : std::exchange(open.waiters, {})) {
    authority_.deadlines.cancel(waiter->deadline);
    if (const Session* session = authority_.find(waiter->session); session != nullptr && session->link != nullptr) {
      control::Envelope told;
      told.mutable_approval_notice()->set_channel(waiter->channel);
      told.mutable_approval_notice()->set_over(true);
      session->link->send(std::move(told));
      tell_others_of(waiter->session, waiter->channel);
    }
    waiter->decided(Verdict{outcome, notice, row});
  }
}

// The line that just went away may still be true for another act of the channel.
void Requests::tell_others_of(const std::string& session, std::uint32_t channel) {
  for (const auto& [id, other] : open_) {
    const bool waits = std::any_of(other->waiters.begin(), other->waiters.end(), [&](const auto& one) { return one->session == session && one->channel == channel; });
    if (waits) return tell_waiters(*other);
  }
}

std::map<std::string, std::string> Requests::waiting() const {
  std::map<std::string, std::string> kinds;
  for (const auto& [id, open] : open_)
    for (const auto& waiter : open->waiters) kinds.try_emplace(waiter->session, open->row.kind);
  return kinds;
}

}  // namespace sallyport::authority
