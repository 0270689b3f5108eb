// What people do about requests: ask in advance, vote, take back, look. The waiting of sessions: requests.cpp; of policies: policy_requests.cpp.
#include <algorithm>
#include <utility>

#include "platform/crypto/ulid.h"
#include "policy/authority/request_limits.h"
#include "policy/authority/requests.h"

namespace sallyport::authority {
namespace {

constexpr std::chrono::seconds k_default_lasts{3600};  // of access that was asked for in advance
constexpr std::chrono::seconds k_longest_lasts{7 * 24 * 3600};
constexpr std::size_t k_least_suffix = 6;

}  // namespace

void Requests::create(const Operator& who, const Wanted& wanted, Done<RequestRow> done) {
  if (wanted.reason.empty()) return done(fail(Errc::invalid, "a request needs a reason"));
  if (wanted.reason.size() > k_most_reason) return done(fail(Errc::invalid, "the reason is longer than 1024 bytes"));
  if (wanted.lasts > k_longest_lasts) return done(fail(Errc::invalid, "access is given for 7 days at most"));
  if (count_pending(wanted.principal) >= k_most_pending || open_.size() >= k_most_open)
    return done(fail(Errc::conflict, "too many requests are open; cancel one"));
  const policy::Target* target = authority_.snapshot->find_target(wanted.target);
  policy::AccessRequest request;
  request.principal = PrincipalId(wanted.principal);
  request.target = TargetId(wanted.target);
  request.source = wanted.source;
  request.now = authority_.now();
  // Two fresh factors: whether she has them is judged when she comes.
  request.factors = {{policy::FactorKind::key, request.now, true}, {policy::FactorKind::totp, request.now, false}};
  request.groups = authority_.groups_of(wanted.principal);
  policy::Decision asked;
  std::string account;
  std::string accounts;
  std::size_t found = 0;
  bool open_already = false;
  if (target != nullptr) {
    for (const policy::Account& one : target->accounts) {
      if (!wanted.account.empty() && one.name.view() != wanted.account) continue;
      request.account = one.name;
      const policy::Decision decision = authority_.decide(request);
      open_already = open_already || decision.allowed();
      if (decision.outcome != policy::Outcome::ask) continue;
      asked = decision;
      account = one.name.str();
      accounts += (accounts.empty() ? "" : ", ") + account;
      ++found;
    }
  }
  if (found == 0) {
    authority_.note("request.refused", EventJson()
                                           .text("principal", wanted.principal)
                                           .text("target", wanted.target)
                                           .text("account", wanted.account)
                                           .text("decision", "deny")
                                           .text("code", "SP-9207"));
    return done(fail(Errc::not_found,
                     open_already ? "this is open to you already, without a request" : "no role on request would open `" + wanted.target + "` to you"));
  }
  if (found > 1) return done(fail(Errc::invalid, "which account? One of " + accounts));
  RequestRow row;
  row.id = crypto::make_ulid(authority_.clock, authority_.random);
  row.state = "pending";
  row.kind = "access";
  row.principal = wanted.principal;
  row.role = asked.rule.role;
  row.target = wanted.target;
  row.account = account;
  row.reason = wanted.reason;
  row.approvers = asked.approval.approvers;
  row.needed = asked.approval.count;
  row.created_us = authority_.now_us();
  row.decide_by_us = authority_.now().time_since_epoch().count() + microseconds_of(asked.approval.within);
  auto lasts = wanted.lasts.count() > 0 ? wanted.lasts : asked.approval.lasts.count() > 0 ? asked.approval.lasts : k_default_lasts;
  if (asked.approval.lasts.count() > 0) lasts = std::min(lasts, asked.approval.lasts);
  row.lasts_s = lasts.count();
  for (const auto& [id, open] : open_) {
    const RequestRow& other = open->row;
    if (other.state == "pending" && other.kind == "access" && other.principal == row.principal && other.role == row.role && other.target == row.target &&
        other.account == row.account && other.session.empty())
      return done(fail(Errc::conflict, "the same is asked for already: " + id));
  }
  if (who.dry_run) return done(row);
  write(who, row, std::move(done));
}

void Requests::write(const Operator& who, const RequestRow& row, Done<RequestRow> done) {
  run_act(
      authority_, who, "request.create", event_of(row),
      [this, row](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->put_request(row, intent, [this, row, outcome](const Result<void>& stored) {
          if (!stored) return outcome(tl::unexpected(stored.error()));
          auto open = std::make_unique<Open>();
          open->row = row;
          watch(*open);
          open_.emplace(row.id, std::move(open));
          outcome(event_of(row).number("decide_by_us", row.decide_by_us));
        });
      },
      [this, row, done = std::move(done)](const Result<void>& made) {
        if (!made) return done(tl::unexpected(made.error()));
        changed(row, "request.created");
        done(row);
      });
}

Result<void> Requests::may_decide(const Operator& who, const RequestRow& row) const {
  if (who.principal.empty()) return fail(Errc::denied, "a decision has a person's name; `" + who.name + "` is no principal");
  if (who.principal == row.principal) return fail(Errc::denied, "nobody decides her own request");
  const policy::Principal* principal = authority_.snapshot->find_principal(who.principal);
  if (principal == nullptr || principal->type == policy::PrincipalType::machine) return fail(Errc::denied, "only people decide");
  if (principal->expires && *principal->expires <= authority_.now()) return fail(Errc::denied, "`" + who.principal + "` has expired");
  if (authority_.locks.find(who.principal, {}, {}, authority_.now()) != nullptr) return fail(Errc::denied, "`" + who.principal + "` is locked");
  const std::vector<std::string> added = authority_.groups_of(who.principal);
  if (!row.approvers.empty()) {
    if (std::find(principal->groups.begin(), principal->groups.end(), row.approvers) != principal->groups.end()) return {};
    if (std::find(added.begin(), added.end(), row.approvers) != added.end()) return {};
    return fail(Errc::denied, "it is decided by members of `" + row.approvers + "`");
  }
  if (policy::decide_admin(*authority_.snapshot, authority_.locks, {principal->name, policy::AdminRight::approve, authority_.now(), false, added}).allowed())
    return {};
  return fail(Errc::denied, "no role of `" + who.principal + "` has the right to approve");
}

void Requests::vote(const Operator& who, const std::string& id, bool approve, const std::string& reason, Done<RequestRow> done) {
  if (const auto row = find(id); approve && row && row->kind == "presence")
    return done(fail(Errc::invalid, "a session waits for somebody to be there, not for a yes; join it: ssh " +
                                        (who.principal.empty() ? std::string("NAME") : who.principal) + "@gateway join " + row->session));
  cast(who, id, approve, reason, std::move(done));
}

void Requests::cast(const Operator& who, const std::string& id, bool approve, const std::string& reason, Done<RequestRow> done) {
  const auto row = find(id);
  if (!row) return done(tl::unexpected(row.error()));
  if (auto may = may_decide(who, *row); !may) {
    authority_.note(
        "request.decision_refused",
        event_of(*row).text("principal", who.principal).text("by", who.name).text("decision", "deny").text("code", "SP-9205").text("why", may.error().detail));
    return done(tl::unexpected(may.error()));
  }
  if (reason.size() > k_most_reason) return done(fail(Errc::invalid, "the reason is longer than 1024 bytes"));
  const auto check = [this, full = row->id, by = who.principal]() -> Result<Open*> {
    Open* open = find_open(full);
    if (open == nullptr || open->row.state != "pending") return fail(Errc::conflict, "it is decided already");
    const bool again = std::any_of(open->row.votes.begin(), open->row.votes.end(), [&](const Vote& vote) { return vote.by == by; });
    if (again) return fail(Errc::conflict, "you have said yes already; another person is needed");
    return open;
  };
  if (auto now = check(); !now) return done(tl::unexpected(now.error()));
  auto after = std::make_shared<RequestRow>(*row);
  if (who.dry_run) {
    after->votes.push_back({who.principal, approve, reason, authority_.now_us()});
    if (!approve || yes_of(*after) >= after->needed) after->state = approve ? "approved" : "denied";
    return done(*after);
  }
  run_act(
      authority_, who, approve ? "request.approve" : "request.deny", event_of(*row).text("vote_reason", reason),
      [this, check, after, vote = Vote{who.principal, approve, reason, authority_.now_us()}](const std::string& intent, std::uint64_t,
                                                                                             const std::function<void(Result<EventJson>)>& outcome) {
        auto open = check();  // another vote may have come while the intent was written
        if (!open) return outcome(tl::unexpected(open.error()));
        RequestRow& fresh = (*open)->row;
        fresh.votes.push_back(vote);
        if (!vote.approve) {
          fresh.state = "denied";
        } else if (yes_of(fresh) >= fresh.needed) {
          fresh.state = "approved";
          if (fresh.lasts_s > 0) fresh.until_us = authority_.now().time_since_epoch().count() + fresh.lasts_s * 1'000'000;
        }
        *after = fresh;
        EventJson json = event_of(fresh);
        json.text("vote_reason", vote.reason).text("state", fresh.state).number("votes", static_cast<std::int64_t>(fresh.votes.size()));
        if (!vote.approve) json.text("decision", "deny").text("code", "SP-9202");
        if (fresh.until_us != 0) json.number("until_us", fresh.until_us);
        authority_.store->put_request(fresh, intent, [json, outcome](const Result<void>& stored) {
          if (!stored) return outcome(tl::unexpected(stored.error()));
          outcome(json);
        });
      },
      [this, after, approve, done = std::move(done)](const Result<void>& voted) {
        if (!voted) return done(tl::unexpected(voted.error()));
        if (Open* open = find_open(after->id)) decide(*open);
        changed(*after, approve ? "request.approved" : "request.denied");
        done(*after);
      });
}

// The vote stands in the journal and the database: what follows from it.
void Requests::decide(Open& open) {
  const std::string id = open.row.id;
  if (open.row.state == "pending") return tell_waiters(open);
  authority_.deadlines.cancel(open.deadline);
  if (open.row.state == "denied") {
    const Vote& no = open.row.votes.back();
    release(open, control::ApprovalAnswer::DENIED, make_notice("SP-9202", no.reason.empty() ? no.by + " said no" : no.by + " said no: " + no.reason, id));
    open_.erase(id);
    return;
  }
  const bool is_kept = open.row.kind == "access" || open.row.kind == "policy";
  if (is_kept) {
    ++granted_[open.row.principal];
    watch(open);
  }
  release(open, control::ApprovalAnswer::GRANTED, {});
  if (!is_kept) open_.erase(id);
}

void Requests::cancel(const Operator& who, const std::string& id, Done<RequestRow> done) {
  const auto row = find(id);
  if (!row) return done(tl::unexpected(row.error()));
  if (who.principal != row->principal && !who.is_root) return done(fail(Errc::denied, "only who asked may take it back"));
  auto after = std::make_shared<RequestRow>(*row);
  after->state = row->state == "approved" ? "ended" : "cancelled";
  if (who.dry_run) return done(*after);
  run_act(
      authority_, who, "request.cancel", event_of(*row),
      [this, after](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        if (find_open(after->id) == nullptr) return outcome(fail(Errc::conflict, "it is over already"));
        authority_.store->put_request(*after, intent, [this, after, outcome](const Result<void>& stored) {
          if (!stored) return outcome(tl::unexpected(stored.error()));
          outcome(event_of(*after).text("state", after->state));
        });
      },
      [this, after, by = who.principal.empty() ? who.name : who.principal, done = std::move(done)](const Result<void>& gone) {
        if (!gone) return done(tl::unexpected(gone.error()));
        close(after->id, after->state, by + " took it back");
        done(*after);
      });
}

std::vector<RequestRow> Requests::list_open() const {
  std::vector<RequestRow> rows;
  for (auto at = open_.rbegin(); at != open_.rend(); ++at) rows.push_back(at->second->row);
  return rows;
}

Result<RequestRow> Requests::find(std::string_view id) const {
  if (const Open* open = find_open(id)) return open->row;
  const Open* match = nullptr;
  if (id.size() >= k_least_suffix) {
    for (const auto& [full, open] : open_) {
      if (!full.ends_with(id)) continue;
      if (match != nullptr) return fail(Errc::conflict, "more than one open request ends in " + printable(id));
      match = open.get();
    }
  }
  if (match == nullptr) return fail(Errc::not_found, "no open request " + printable(id.substr(0, 40)));
  return match->row;
}

}  // namespace sallyport::authority
