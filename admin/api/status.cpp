// GET /v1/status
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "platform/model/json_text.h"

namespace sallyport::admin {
namespace {

json::object alarm_of(const authority::RecentEvent& event) {
  json::object row{{"at", utc_text(event.at)}, {"name", event.name}, {"session", event.session}};
  const auto fields = JsonFields::parse(event.json);
  for (const std::string_view key : {"principal", "target", "account", "address", "host_key", "code", "detail", "what", "by_ms"}) {
    if (!fields) break;
    if (const std::string value(fields->get(key)); !value.empty()) row.emplace(key, value);
  }
  return row;
}

}  // namespace

void serve_status(const CallPtr& call) {
  if (!call->may(policy::AdminRight::audit)) return;
  call->administration.status([call](Result<authority::StatusReport> status) {
    if (!status) return call->refuse(status.error());
    json::object body;
    body["state"] = status->state;
    body["node"] = status->node;
    body["live_sessions"] = status->live_sessions;
    body["unproven_connections"] = status->unproven;
    body["policy_version"] = status->policy_version;
    body["policy_digest"] = status->policy_digest;
    body["locks"] = status->locks;
    body["recorder"] = status->recorder_healthy ? "healthy" : status->recorder_reason;
    body["journal_sequence"] = status->journal_sequence;
    body["journal_free_bytes"] = status->journal_free_bytes;
    const auto& journal = call->administration.authority().journal;
    body["recorder_waiting"] = journal.unanswered();
    body["store"] = journal.status().store();
    std::uint64_t guard_hits = 0;
    std::uint64_t denied = 0;
    for (const auto& [event, count] : journal.counts()) {
      if (event.first == "guard.judged") guard_hits += count;
      if (event.second) denied += count;
    }
    body["guard_hits"] = guard_hits;
    body["denied"] = denied;
    body["newest_checkpoint"] = status->newest_checkpoint;
    body["vault"] = !status->vault_problem.empty() ? status->vault_problem : status->sealed ? "sealed" : "unsealed";
    body["seal_source"] = status->seal_source;
    if (!status->last_trouble.empty()) body["trouble"] = status->last_trouble;
    json::array alarms;
    for (const authority::RecentEvent& event : status->newest_alarms) alarms.push_back(alarm_of(event));
    body["alarms"] = status->alarms;
    body["newest_alarms"] = std::move(alarms);
    call->reply(body);
  });
}

}  // namespace sallyport::admin
