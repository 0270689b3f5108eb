// GET /v1/status
#include <boost/json.hpp>

#include "admin/api/call.h"

namespace sallyport::admin {

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
    body["newest_checkpoint"] = status->newest_checkpoint;
    body["vault"] = !status->vault_problem.empty() ? status->vault_problem : status->sealed ? "sealed" : "unsealed";
    body["seal_source"] = status->seal_source;
    if (!status->last_trouble.empty()) body["trouble"] = status->last_trouble;
    call->reply(body);
  });
}

}  // namespace sallyport::admin
