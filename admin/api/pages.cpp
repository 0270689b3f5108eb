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
      const std::string state = status ? status->state : "no answer";
      const bool ready = state == "serving" || state == "no policy";
      call->reply(json::object{{"ready", ready}, {"state", state}}, ready ? 200 : 503);
    });
  }
  return true;
}

void serve_metrics(const CallPtr& call) {
  if (!call->may(policy::AdminRight::audit)) return;
  call->administration.status([call](const Result<authority::StatusReport>& status) {
    if (!status) return call->refuse(status.error());
    std::string out;
    number(out, "sallyport_live_sessions", "gauge", "Sessions of people and machines that are logged in.", status->live_sessions);
    number(out, "sallyport_unproven_connections", "gauge", "Connections that have proven nobody yet.", status->unproven);
    number(out, "sallyport_locks", "gauge", "Locks in force.", status->locks);
    number(out, "sallyport_policy_version", "gauge", "Number of the policy in force.", static_cast<std::uint64_t>(std::max<std::int64_t>(status->policy_version, 0)));
    number(out, "sallyport_open_requests", "gauge", "Requests that wait or stand.", call->administration.requests().list_open().size());
    number(out, "sallyport_recorder_healthy", "gauge", "1 when new sessions may be recorded.", status->recorder_healthy ? 1 : 0);
    number(out, "sallyport_vault_sealed", "gauge", "1 when the vault is sealed.", status->sealed ? 1 : 0);
    number(out, "sallyport_journal_sequence", "counter", "Entries of the journal.", status->journal_sequence);
    number(out, "sallyport_journal_free_bytes", "gauge", "Free space where the journal is.", status->journal_free_bytes);
    number(out, "sallyport_journal_unanswered", "gauge", "Events that wait for the recorder.", call->administration.authority().journal.unanswered());
    tell(call, "text/plain; version=0.0.4", out);
  });
}

}  // namespace sallyport::admin
