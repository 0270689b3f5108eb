// GET, POST /v1/envelopes, GET, DELETE /v1/envelopes/{id}, POST /v1/envelopes/{id}/drill
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "policy/authority/glass.h"

namespace sallyport::admin {
namespace {

json::array texts(const std::vector<std::string>& list) { return json::array(list.begin(), list.end()); }

json::object object_of(const authority::GlassRow& row) {
  const policy::Envelope& e = row.envelope;
  json::object out{{"id", e.id}, {"state", row.state}, {"principal", e.principal}, {"targets", texts(e.targets)}, {"accounts", texts(e.accounts)}, {"needed", e.needed}};
  json::array approvers;
  for (const auto& approver : e.approvers) approvers.emplace_back(approver.name);
  out["approvers"] = std::move(approvers);
  out["signed_by"] = texts(row.signed_by);
  out["not_before"] = utc_text(e.not_before);
  out["not_after"] = utc_text(e.not_after);
  out["lasts_s"] = e.lasts.count();
  out["drill"] = e.drill;
  out["reason"] = e.reason;
  out["problem"] = row.problem;
  if (row.spent_us != 0) out["spent"] = utc_text(row.spent_us);
  if (row.until_us != 0) out["until"] = utc_text(row.until_us);
  return out;
}

/// A refusal of the desk begins with its code.
void refuse(const CallPtr& call, const Error& error) {
  const auto space = error.detail.find(' ');
  if (!error.detail.starts_with("SP-") || space == std::string::npos) return call->refuse(error);
  call->refuse(Error{error.code, error.detail.substr(space + 1)}, error.detail.substr(0, space));
}

void drill(const CallPtr& call, const std::string& id) {
  if (!call->may(policy::AdminRight::audit) || !call->body({})) return;
  call->administration.authority().glass->drill(call->who, id, [call](const Result<authority::GlassDrill>& drill) {
    if (!drill) return refuse(call, drill.error());
    json::array checks;
    for (const auto& check : drill->checks) checks.push_back(json::object{{"check", check.what}, {"ok", check.ok}, {"detail", check.detail}});
    call->reply(json::object{{"id", drill->envelope}, {"ok", drill->ok()}, {"checks", std::move(checks)}});
  });
}

}  // namespace

void serve_envelopes(const CallPtr& call) {
  auto& desk = *call->administration.authority().glass;
  const std::string& method = call->request.method;
  const std::size_t size = call->parts.size();
  if (method == "GET") {
    if (!call->may(policy::AdminRight::audit)) return;
    if (size == 3) {
      const auto row = desk.find(call->parts[2]);
      return row ? call->reply(object_of(*row)) : call->refuse(row.error());
    }
    json::array rows;
    for (const auto& row : desk.list()) rows.push_back(object_of(row));
    return call->reply(json::object{{"envelopes", std::move(rows)}});
  }
  if (method == "POST" && size == 4 && call->parts[3] == "drill") return drill(call, call->parts[2]);
  const auto answer = [call](unsigned status) {
    return [call, status](const Result<authority::GlassRow>& row) {
      if (!row) return refuse(call, row.error());
      json::object out = object_of(*row);
      if (call->who.dry_run) out["dry_run"] = true;
      call->reply(out, status);
    };
  };
  if (method == "POST" && size == 2) {
    if (!call->may(policy::AdminRight::policy)) return;
    const auto body = call->body({{"envelope", Field::Type::text, true, policy::k_max_envelope}});
    if (body) desk.add(call->who, text_of(*body, "envelope"), answer(201));
    return;
  }
  if (method != "DELETE" || size != 3) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  if (!call->may(policy::AdminRight::lock)) return;
  const auto body = call->body({{"reason", Field::Type::text, false, 1024}});
  if (!body) return;
  if (text_of(*body, "reason").empty()) return call->refuse(Error{Errc::invalid, ""}, "SP-7005");
  desk.revoke(call->who, call->parts[2], text_of(*body, "reason"), answer(200));
}

}  // namespace sallyport::admin
