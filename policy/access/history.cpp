#include "policy/access/history.h"

#include <utility>

#include "platform/model/json_text.h"
#include "policy/access/request_text.h"
#include "policy/guard/guard.h"

namespace sallyport::policy {

std::string_view verdict_of(const Decision& decision) noexcept {
  switch (decision.outcome) {
    case Outcome::allow: return "allow";
    case Outcome::deny: return "deny";
    case Outcome::ask: return "ask";
  }
  return "deny";
}

namespace {

constexpr std::size_t k_most_open = 100'000;  // channels that are followed at once

std::string key_of(std::string_view session, std::string_view channel) { return std::string(session) + " " + std::string(channel); }

bool moves_files(ChannelKind kind) { return kind == ChannelKind::sftp || kind == ChannelKind::scp || kind == ChannelKind::rsync; }

}  // namespace

void History::follow_lock(bool is_set, const JsonFields& fields) {
  const std::string lock_id(fields.get("lock"));
  if (is_set) {
    Lock lock;
    lock.id = lock_id;
    lock.principal = fields.get("locked_principal");
    lock.target = fields.get("locked_target");
    lock.account = fields.get("locked_account");
    lock.reason = fields.get("reason");
    if (const auto expires = fields.number("expires_us")) lock.expires = WallTime(std::chrono::microseconds(*expires));
    locks_[lock_id] = std::move(lock);
  } else {
    locks_.erase(lock_id);
  }
  std::vector<Lock> all;
  for (const auto& [key, lock] : locks_) all.push_back(lock);
  compiled_ = std::make_shared<const Locks>(std::move(all));
}

void History::remember(const PastDecision& past, std::string_view channel) {
  if (past.verdict != "allow" || commands_.size() + transfers_.size() >= k_most_open) return;
  if (past.request.kind == ChannelKind::exec) commands_[key_of(past.session, channel)] = Opened{past, compiled_};
  if (moves_files(past.request.kind)) transfers_[past.session] = Opened{past, compiled_};
}

void History::follow_act(std::string_view name, const JsonFields& fields, std::string_view id, std::string_view session, std::int64_t at_us, const Take& take) {
  const auto tell = [&](const Opened& opened, PastAct act, std::string_view verdict, std::string_view code) {
    PastDecision past = opened.decision;
    past.event = id;
    past.at_us = at_us;
    past.act = std::move(act);
    past.verdict = verdict;
    past.code = code;
    ++decisions_;
    take(past, *opened.locks);
  };
  if (name == "session.ended") {
    transfers_.erase(std::string(session));
    const std::string prefix = key_of(session, "");
    for (auto at = commands_.lower_bound(prefix); at != commands_.end() && at->first.starts_with(prefix);) at = commands_.erase(at);
    return;
  }
  if (name == "channel.rules_changed") {  // what is refused from here on is so by another policy than the one that opened it
    transfers_.erase(std::string(session));
    return;
  }
  if (name == "channel.closed") {
    const auto found = commands_.find(key_of(session, fields.get("channel")));
    if (found == commands_.end()) return;
    const Opened opened = std::move(found->second);
    commands_.erase(found);
    return tell(opened, PastAct{PastAct::Kind::command, opened.decision.request.command, {}}, "allow", "");  // nothing was said against it
  }
  const auto reported = JsonFields::parse(fields.get("reported"));
  if (!reported) return;
  if (name == "guard.judged") {
    const auto found = commands_.find(key_of(session, reported->get("channel")));
    if (found == commands_.end() || reported->get("source") != "exec") return;
    const Opened opened = std::move(found->second);
    commands_.erase(found);
    return tell(opened, PastAct{PastAct::Kind::command, opened.decision.request.command, {}}, reported->get("verdict"), reported->get("code"));
  }
  const auto found = transfers_.find(session);
  const std::string path(reported->get("path"));
  if (found == transfers_.end() || !path.starts_with('/')) return;
  const auto tell_file = [&](bool up, std::string_view verdict) {
    tell(found->second, PastAct{PastAct::Kind::file, path, up ? FileOperation::up : FileOperation::down}, verdict, reported->get("code"));
  };
  if (name == "file.opened" && reported->get("result") == "ok") {
    const std::string_view direction = reported->get("direction");
    if (direction == "up" || direction == "down") tell_file(direction == "up", "allow");
  } else if (name == "file.refused" && reported->get("code") == "SP-6001") {
    const std::string_view operation = reported->get("operation");
    if (operation == "read" || operation == "write") tell_file(operation == "write", "deny");
  }
}

void History::feed(std::string_view name, std::string_view json, std::string_view id, std::string_view session, std::int64_t at_us, const Take& take) {
  const bool is_decision = name == "channel.decided" || name == "target.decided";
  const bool is_act = name == "guard.judged" || name == "channel.closed" || name == "channel.rules_changed" || name == "session.ended" || name == "file.opened" || name == "file.refused";
  const bool is_key = name == seal::k_text_key_event;
  if (!is_decision && !is_act && !is_key && name != "lock.set" && name != "lock.removed") return;
  if (is_act && commands_.empty() && transfers_.empty()) return;
  const auto fields = JsonFields::parse(json);
  if (!fields) return;
  if (is_act) return follow_act(name, *fields, id, session, at_us, take);
  if (is_key) {
    keys_.note(fields->get("key"), fields->get("wrapped"));
    return;
  }
  if (!is_decision) return follow_lock(name == "lock.set", *fields);
  const std::string_view input = fields->get("input");
  if (input.empty() && fields->number("policy_version")) return;  // refused for another reason than the policy's
  const std::string_view sealed = fields->get("sealed");
  if (!sealed.empty() && at_us < since_us_) return;
  ++decisions_;
  auto request = decode_request(input);
  if (!request || fields->is_true("command_truncated") || fields->is_true("command_withheld")) {
    ++not_replayed_;
    return;
  }
  std::string command(fields->get("command"));
  if (!sealed.empty()) {
    const auto opened = keys_.open(name, session, sealed);
    const auto texts = opened ? JsonFields::parse(*opened) : std::nullopt;
    if (!texts) {
      ++sealed_;
      return;
    }
    command = texts->get("command");
  }
  PastDecision past;
  past.event = id;
  past.session = session;
  past.at_us = at_us;
  past.policy_version = fields->number("policy_version").value_or(0);
  past.request = *std::move(request);
  past.request.command = std::move(command);
  past.verdict = fields->get("decision");
  past.code = fields->get("code");
  if (name == "channel.decided") remember(past, fields->get("channel"));
  take(past, *compiled_);
}

/// By their bytes: what several roles say together is put together anew for each decision.
struct Comparison::Guards {
  std::map<std::vector<std::byte>, std::shared_ptr<const guard::RuleSet>> known;
};

std::string Comparison::judge_act(const PastAct& act, Decision& now) {
  if (act.kind == PastAct::Kind::file) {
    if (!now.obligations.file_rules_apply || file_allowed(now.obligations.file_rules, normalise_path(act.text), act.operation)) return "allow";
    now.outcome = Outcome::deny;
    now.code = "SP-6001";
    now.why = "no file rule allows " + act.text;
    return "deny";
  }
  const auto& bytes = now.obligations.guard_rules;
  if (!bytes) return "allow";
  if (!guards_) guards_ = std::make_shared<Guards>();
  auto& rules = guards_->known[*bytes];
  if (!rules) {
    auto read = guard::RuleSet::from_bytes(*bytes);
    rules = read ? *read : guard::RuleSet::none();
  }
  const std::string& command = now.obligations.replaced_command.empty() ? act.text : now.obligations.replaced_command;
  const guard::Judgement judgement = guard::Guard(rules).judge(command, guard::Dialect::shell, guard::Origin::exec);
  if (judgement.verdict >= guard::Verdict::confirm) now.outcome = Outcome::deny;
  for (const guard::Finding& finding : judgement.findings) {
    if (finding.verdict != judgement.verdict) continue;
    now.code = finding.code;
    now.why = "the guard's rule " + finding.rule + ": " + finding.reason;
    break;
  }
  return std::string(guard::name_of(judgement.verdict));
}

void Comparison::judge(const PastDecision& past, const Locks& locks) {
  ++judged_;
  Decision now = decide(*policy_, locks, past.request);
  std::string verdict(verdict_of(now));
  if (past.act) {
    if (!now.allowed()) return;  // the channel itself would be another: told at its own decision
    verdict = judge_act(*past.act, now);
  }
  if (verdict == past.verdict) return;
  ++in_all_;
  if (differing_.size() < most_) differing_.push_back({past, std::move(now), std::move(verdict)});
}

}  // namespace sallyport::policy
