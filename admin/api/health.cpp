// GET /v1/health, /v1/nodes[/{id}], /v1/checkpoints
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "admin/api/paging.h"

namespace sallyport::admin {
namespace {

json::object check(std::string_view name, bool is_right, std::string_view why) { return json::object{{"name", name}, {"ok", is_right}, {"why", is_right ? std::string_view() : why}}; }

json::object health_of(const authority::StatusReport& status) {
  json::array checks;
  checks.push_back(check("recorder", status.recorder_healthy, status.recorder_reason));
  checks.push_back(check("vault", status.vault_problem.empty() && !status.sealed, status.sealed ? "it is sealed" : std::string_view(status.vault_problem)));
  checks.push_back(check("policy", status.policy_version != 0, "none was ever applied"));
  checks.push_back(check("database", !status.older_database, "it is older than the journal"));
  checks.push_back(check("trouble", status.last_trouble.empty(), status.last_trouble));
  return json::object{{"ready", status.state == "serving" || status.state == "no policy"}, {"state", status.state}, {"checks", std::move(checks)}};
}

json::object node_of(const authority::StatusReport& status) {
  return json::object{{"id", status.node},
                      {"name", status.node},
                      {"state", status.state},
                      {"live_sessions", status.live_sessions},
                      {"policy_version", status.policy_version},
                      {"journal_sequence", status.journal_sequence},
                      {"journal_free_bytes", status.journal_free_bytes}};
}

/// Status as `tell` likes it, for who may audit.
template <class Tell>
void with_status(const CallPtr& call, Tell tell) {
  if (!call->may(policy::AdminRight::audit)) return;
  call->administration.status([call, tell](const Result<authority::StatusReport>& status) {
    if (!status) return call->refuse(status.error());
    tell(*status);
  });
}

}  // namespace

void serve_health(const CallPtr& call) {
  if (call->parts.size() > 2) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  with_status(call, [call](const authority::StatusReport& status) { call->reply(health_of(status)); });
}

/// This node is all there is as long as nodes do not share a database.
void serve_nodes(const CallPtr& call) {
  with_status(call, [call](const authority::StatusReport& status) {
    json::object node = node_of(status);
    if (call->parts.size() == 2) {
      json::array nodes;
      nodes.push_back(std::move(node));
      return reply_page(call, "nodes", std::move(nodes), "id");
    }
    if (call->parts.size() == 3 && call->parts[2] == status.node) {
      node["health"] = health_of(status);
      return call->reply(node);
    }
    call->refuse(Error{Errc::not_found, "there is no such node"});
  });
}

void serve_checkpoints(const CallPtr& call) {
  if (call->parts.size() > 2) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  with_status(call, [call](const authority::StatusReport& status) {
    json::array rows;
    const std::string& note = status.newest_checkpoint;
    if (!note.empty()) {
      // A C2SP tlog-checkpoint: origin, size, root hash.
      std::string lines[3];
      std::size_t at = 0;
      for (std::string& line : lines) {
        const auto end = note.find('\n', at);
        line = note.substr(at, end == std::string::npos ? end : end - at);
        at = end == std::string::npos ? note.size() : end + 1;
      }
      rows.push_back(json::object{{"id", lines[1]}, {"origin", lines[0]}, {"size", lines[1]}, {"root", lines[2]}, {"note", note}});
    }
    reply_page(call, "checkpoints", std::move(rows), "id", Order::falling);
  });
}

}  // namespace sallyport::admin
