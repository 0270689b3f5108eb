#include "admin/api/pages.h"

#include <boost/json.hpp>

#include "policy/authority/authority.h"
#include "policy/authority/requests.h"

namespace sallyport::admin {
namespace {

void tell(const CallPtr& call, std::string_view type, std::string_view text, std::map<std::string, std::string> headers = {}) {
  net::HttpResponse response;
  response.content_type = std::string(type);
  response.headers = std::move(headers);
  response.body = std::string(text);
  call->answer(std::move(response));
}

/// Prometheus text exposition format 0.0.4.
void number(std::string& out, std::string_view name, std::string_view kind, std::string_view help, std::uint64_t value) {
  out += "# HELP " + std::string(name) + " " + std::string(help) + "\n# TYPE " + std::string(name) + " " + std::string(kind) + "\n" + std::string(name) + " " +
         std::to_string(value) + "\n";
}

/// A label's value: what may stand between quotes in the exposition format.
std::string label_value(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out + "\"";
}

bool is_ready(const authority::StatusReport& status) { return status.state == "serving" || status.state == "no policy"; }

/// Why no session is accepted, and what else is not as it should be. No address, name or path: anybody may ask.
json::array reasons_of(const Result<authority::StatusReport>& status) {
  json::array reasons;
  const auto add = [&reasons](bool blocks, std::string_view what, std::string_view why) { reasons.push_back(json::object{{"check", what}, {"blocks", blocks}, {"reason", why}}); };
  if (!status) {
    add(true, "authority", "it does not answer");
    return reasons;
  }
  if (status->older_database) add(true, "database", "it is older than the journal (SP-8004)");
  if (!status->recorder_healthy) add(true, "recorder", "sessions cannot be recorded");
  if (status->sealed) add(true, "vault", "it is sealed");
  if (!status->vault_problem.empty()) add(true, "vault", "it does not answer");
  if (status->policy_version == 0) add(false, "policy", "none is in force: nobody may do anything");
  if (!is_ready(*status) && reasons.empty()) add(true, "state", status->state);
  return reasons;
}

}  // namespace

bool serve_page(const CallPtr& call) {
  const std::string& path = call->request.path;
  const bool is_get = call->request.method == "GET" || call->request.method == "HEAD";
  if (path != "/healthz" && path != "/readyz" && path != "/openapi.yaml" && path != "/docs") return false;
  if (!is_get) {
    call->refuse_status(405, "SP-7009", path + " takes GET", {{"Allow", "GET"}});
  } else if (path == "/healthz") {
    call->reply(json::object{{"status", "ok"}});
  } else if (path == "/openapi.yaml") {
    tell(call, "application/yaml", openapi_text());
  } else if (path == "/docs") {
    // The page holds its style and no script; nothing comes from anywhere else.
    tell(call, "text/html; charset=utf-8", openapi_page(), {{"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}});
  } else {
    call->administration.status([call](const Result<authority::StatusReport>& status) {
      const bool ready = status && is_ready(*status);
      call->reply(json::object{{"ready", ready}, {"state", status ? status->state : "no answer"}, {"reasons", reasons_of(status)}}, ready ? 200 : 503);
    });
  }
  return true;
}

void serve_metrics(const CallPtr& call) {
  if (!call->may(policy::AdminRight::audit)) return;
  call->administration.status([call](const Result<authority::StatusReport>& status) {
    if (!status) return call->refuse(status.error());
    std::string out;
    number(out, "sallyport_sessions_live", "gauge", "Sessions of people and machines that are logged in.", status->live_sessions);
    number(out, "sallyport_connections_unproven", "gauge", "Connections that have proven nobody yet.", status->unproven);
    number(out, "sallyport_locks", "gauge", "Locks in force.", status->locks);
    number(out, "sallyport_policy_version", "gauge", "Number of the policy in force; 0 is none.", static_cast<std::uint64_t>(std::max<std::int64_t>(status->policy_version, 0)));
    number(out, "sallyport_requests_open", "gauge", "Requests that wait or stand.", call->administration.requests().list_open().size());
    number(out, "sallyport_ready", "gauge", "1 when new sessions are accepted, as /readyz says.", is_ready(*status) ? 1 : 0);
    number(out, "sallyport_recorder_healthy", "gauge", "1 when new sessions may be recorded.", status->recorder_healthy ? 1 : 0);
    number(out, "sallyport_vault_sealed", "gauge", "1 when the vault is sealed.", status->sealed ? 1 : 0);
    number(out, "sallyport_journal_entries_total", "counter", "Entries of the journal.", status->journal_sequence);
    number(out, "sallyport_journal_free_bytes", "gauge", "Free space where the journal is.", status->journal_free_bytes);
    number(out, "sallyport_journal_events_unanswered", "gauge", "Events that wait for the recorder.", call->administration.authority().journal.unanswered());
    number(out, "sallyport_alarms_total", "counter", "Events that somebody should look at, since the authority started.", status->alarms);
    out += "# HELP sallyport_events_total Audit events by name, since the authority started.\n# TYPE sallyport_events_total counter\n";
    for (const auto& [key, count] : call->administration.authority().journal.counts())
      out += "sallyport_events_total{event=" + label_value(key.first) + ",decision=\"" + (key.second ? "deny" : "") + "\"} " + std::to_string(count) + "\n";
    out += "# HELP sallyport_node_info Name of this gateway.\n# TYPE sallyport_node_info gauge\nsallyport_node_info{node=" + label_value(status->node) + "} 1\n";
    tell(call, "text/plain; version=0.0.4", out);
  });
}

}  // namespace sallyport::admin
