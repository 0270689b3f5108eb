// GET /v1/access-review: who can reach what by the policy in force, and when it was used last. GET /v1/reachable: what the caller can.
#include <boost/json.hpp>
#include <map>
#include <tuple>

#include "admin/api/call.h"
#include "policy/authority/authority.h"

namespace sallyport::admin {
namespace {

using Key = std::tuple<std::string, std::string, std::string>;

std::string cursor_of(const Key& key) { return std::get<0>(key) + "+" + std::get<2>(key) + "+" + std::get<1>(key); }

void answer(const CallPtr& call, const std::vector<authority::UseRow>& uses, std::uint32_t limit, std::int64_t unused_days) {
  const authority::Authority& authority = call->administration.authority();
  std::map<Key, const authority::UseRow*> used;
  for (const authority::UseRow& use : uses) used[{use.principal, use.target, use.account}] = &use;
  const std::string principal = call->request.argument("principal"), target = call->request.argument("target"), after = call->request.argument("after");
  const std::int64_t oldest = authority.now_us() - unused_days * 86'400'000'000;
  std::map<Key, policy::Reachable> rows;  // sorted, so that a page goes on where the last one ended
  for (const policy::Principal& one : authority.snapshot->principals()) {
    if (!principal.empty() && one.name.view() != principal) continue;
    policy::AccessRequest request;
    request.principal = one.name;
    request.now = authority.now();
    request.groups = authority.groups_of(one.name.view());
    for (const policy::Reachable& row : policy::list_reachable(*authority.snapshot, authority.locks, request, 100'000))
      if (target.empty() || row.target->name.view() == target) rows.emplace(Key{one.name.str(), row.target->name.str(), row.account->name.str()}, row);
  }
  json::array out;
  std::string next;
  bool begun = after.empty();
  for (const auto& [key, row] : rows) {
    if (!begun) {
      begun = cursor_of(key) == after;
      continue;
    }
    const auto use = used.find(key);
    if (unused_days > 0 && use != used.end() && use->second->last_us > oldest) continue;
    if (out.size() == limit) {
      next = std::string(out.back().as_object().at("cursor").as_string());
      break;
    }
    out.push_back(json::object{{"principal", std::get<0>(key)}, {"target", std::get<1>(key)}, {"account", std::get<2>(key)},
                               {"second_factor", row.needs_second_factor}, {"approval", row.needs_approval},
                               {"last_used", use == used.end() ? std::string() : utc_text(use->second->last_us)},
                               {"sessions", use == used.end() ? std::uint64_t{0} : use->second->sessions}, {"cursor", cursor_of(key)}});
  }
  call->reply(json::object{{"access", std::move(out)}, {"next", next}});
}

}  // namespace

void serve_access_review(const CallPtr& call) {
  if (!call->may(policy::AdminRight::audit)) return;
  if (call->parts.size() != 2) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  const std::uint32_t limit = call->limit(1000, 100'000);
  if (limit == 0) return;
  const auto days = call->number("unused_days", 0);
  if (!days) return;
  if (*days < 0 || *days > 36'500) return call->refuse(Error{Errc::invalid, "unused_days is between 0 and 36500"});
  call->administration.authority().store->list_uses([call, limit, days = *days](const Result<std::vector<authority::UseRow>>& uses) {
    if (!uses) return call->refuse(uses.error());
    answer(call, *uses, limit, days);
  });
}

void serve_reachable(const CallPtr& call) {
  if (call->parts.size() != 2) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  const std::uint32_t limit = call->limit(10'000, 100'000);
  if (limit == 0) return;
  const authority::Authority& authority = call->administration.authority();
  json::array out;
  if (const auto* principal = authority.snapshot->find_principal(call->who.principal)) {
    policy::AccessRequest request;
    request.principal = principal->name;
    request.now = authority.now();
    request.groups = authority.groups_of(principal->name.view());
    if (const auto source = IpAddress::parse(call->who.source)) request.source = *source;
    for (const policy::Reachable& row : policy::list_reachable(*authority.snapshot, authority.locks, request, limit)) {
      json::object labels;
      for (const auto& [key, value] : row.target->labels) labels[key] = value;
      out.push_back(json::object{{"target", row.target->name.str()}, {"account", row.account->name.str()}, {"labels", std::move(labels)},
                                 {"second_factor", row.needs_second_factor}, {"approval", row.needs_approval}});
    }
  }
  call->reply(json::object{{"principal", call->who.principal}, {"reachable", std::move(out)}});
}

}  // namespace sallyport::admin
