#include "policy/access/history.h"

#include "platform/model/json_text.h"
#include "policy/access/request_text.h"

namespace sallyport::policy {

std::string_view verdict_of(const Decision& decision) noexcept {
  switch (decision.outcome) {
    case Outcome::allow: return "allow";
    case Outcome::deny: return "deny";
    case Outcome::ask: return "ask";
  }
  return "deny";
}

void History::feed(std::string_view name, std::string_view json, std::string_view id, std::string_view session, std::int64_t at_us,
                   const std::function<void(const PastDecision&, const Locks&)>& take) {
  const bool is_decision = name == "channel.decided" || name == "target.decided";
  if (!is_decision && name != "lock.set" && name != "lock.removed") return;
  const auto fields = JsonFields::parse(json);
  if (!fields) return;
  if (!is_decision) {
    const std::string lock_id(fields->get("lock"));
    if (name == "lock.set") {
      Lock lock;
      lock.id = lock_id;
      lock.principal = fields->get("locked_principal");
      lock.target = fields->get("locked_target");
      lock.account = fields->get("locked_account");
      lock.reason = fields->get("reason");
      if (const auto expires = fields->number("expires_us")) lock.expires = WallTime(std::chrono::microseconds(*expires));
      locks_[lock_id] = std::move(lock);
    } else {
      locks_.erase(lock_id);
    }
    std::vector<Lock> all;
    for (const auto& [key, lock] : locks_) all.push_back(lock);
    compiled_ = Locks(std::move(all));
    return;
  }
  const std::string_view input = fields->get("input");
  if (input.empty() && fields->number("policy_version")) return;  // refused for another reason than the policy's
  ++decisions_;
  auto request = decode_request(input);
  if (!request || fields->is_true("command_truncated")) {
    ++not_replayed_;
    return;
  }
  PastDecision past;
  past.event = id;
  past.session = session;
  past.at_us = at_us;
  past.policy_version = fields->number("policy_version").value_or(0);
  past.request = *std::move(request);
  past.request.command = fields->get("command");
  past.verdict = fields->get("decision");
  past.code = fields->get("code");
  take(past, compiled_);
}

void Comparison::judge(const PastDecision& past, const Locks& locks) {
  ++judged_;
  Decision now = decide(*policy_, locks, past.request);
  if (verdict_of(now) == past.verdict) return;
  ++in_all_;
  if (differing_.size() < most_) differing_.push_back({past, std::move(now)});
}

}  // namespace sallyport::policy
