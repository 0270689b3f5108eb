// Four eyes for the policy: a plan that waits for another person, as a request like any other.
#include <algorithm>

#include "platform/crypto/ulid.h"
#include "policy/authority/requests.h"

namespace sallyport::authority {
namespace {

constexpr std::chrono::hours k_waits{24};
constexpr std::chrono::hours k_good_for{24};
constexpr std::size_t k_most_plan = 16 * 1024;
constexpr std::size_t k_most_plans = 32;  // that wait at once

std::string author_of(const Operator& who) { return who.principal.empty() ? who.name : who.principal; }
std::string title_of(const std::string& hash) { return "plan " + hash + "\n"; }

}  // namespace

std::string Requests::approved_policy(const Operator& who, const std::string& hash) const {
  for (const auto& [id, open] : open_) {
    const RequestRow& row = open->row;
    if (row.kind == "policy" && row.state == "approved" && row.principal == author_of(who) && row.text.starts_with(title_of(hash))) return id;
  }
  return {};
}

void Requests::ask_for_policy(const Operator& who, const std::string& hash, const std::string& plan, const std::string& reason, Done<RequestRow> done) {
  std::size_t waiting = 0;
  for (const auto& [id, open] : open_) {
    const RequestRow& other = open->row;
    if (other.kind != "policy" || other.state != "pending") continue;
    if (other.principal == author_of(who) && other.text.starts_with(title_of(hash))) return done(other);
    ++waiting;
  }
  if (waiting >= k_most_plans) return done(fail(Errc::conflict, "too many plans wait for approval; cancel one"));
  RequestRow row;
  row.id = crypto::make_ulid(authority_.clock, authority_.random);
  row.state = "pending";
  row.kind = "policy";
  row.principal = author_of(who);
  row.text = title_of(hash) + plan.substr(0, k_most_plan);
  row.reason = reason.empty() ? "a change of the policy" : reason.substr(0, 1024);
  row.approvers = authority_.settings.text("admin_policy_approvers");
  row.created_us = authority_.now_us();
  row.decide_by_us = authority_.now().time_since_epoch().count() + std::chrono::microseconds(k_waits).count();
  row.lasts_s = std::chrono::seconds(k_good_for).count();
  write(who, row, std::move(done));
}

}  // namespace sallyport::authority
