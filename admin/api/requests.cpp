// GET, POST /v1/requests, GET, DELETE /v1/requests/{id}, POST /v1/requests/{id}/approve and /deny
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "policy/authority/requests.h"

namespace sallyport::admin {
namespace {

json::object object_of(const authority::RequestRow& row) {
  json::array votes;
  for (const authority::Vote& vote : row.votes)
    votes.push_back(json::object{{"by", vote.by}, {"approve", vote.approve}, {"reason", vote.reason}, {"at", utc_text(vote.at_us)}});
  return json::object{{"id", row.id},
                      {"state", row.state},
                      {"kind", row.kind},
                      {"principal", row.principal},
                      {"role", row.role},
                      {"target", row.target},
                      {"account", row.account},
                      {"text", row.text},
                      {"reason", row.reason},
                      {"session", row.session},
                      {"approvers", row.approvers},
                      {"needed", row.needed},
                      {"created", utc_text(row.created_us)},
                      {"decide_by", utc_text(row.decide_by_us)},
                      {"lasts_seconds", row.lasts_s},
                      {"until", utc_text(row.until_us)},
                      {"votes", std::move(votes)}};
}

/// Her own, what she may decide, or everything with the right to audit.
bool may_see(const Call& call, const authority::RequestRow& row) {
  if (call.who.is_root || (row.principal == call.who.principal && !call.who.principal.empty())) return true;
  return call.administration.requests().may_decide(call.who, row).has_value() || call.administration.may(call.who, policy::AdminRight::audit).has_value();
}

void refuse(const CallPtr& call, const Error& error) {
  call->refuse(error, error.code == Errc::denied ? "SP-9205" : error.code == Errc::conflict ? "SP-9206" : "");
}

void tell(const CallPtr& call, const Result<authority::RequestRow>& row, unsigned status = 200) {
  if (!row) return refuse(call, row.error());
  json::object body = object_of(*row);
  if (call->who.dry_run) body["dry_run"] = true;
  call->reply(body, status);
}

json::array open_rows(const Call& call) {
  json::array rows;
  for (const authority::RequestRow& row : call.administration.requests().list_open())
    if (may_see(call, row)) rows.push_back(object_of(row));
  return rows;
}

void list(const CallPtr& call) {
  const std::string state = call->request.argument("state", "open");
  if (state != "open" && state != "all") return call->refuse(Error{Errc::invalid, "state is open or all"});
  if (wants_stream(*call)) {
    auto last = std::make_shared<std::string>();
    return stream(call, std::nullopt, [call, last]() -> std::string {
      std::string now = json::serialize(json::object{{"requests", open_rows(*call)}});
      if (now == *last) return {};
      *last = now;
      return sse("requests", {}, now);
    });
  }
  if (state == "open") return call->reply(json::object{{"requests", open_rows(*call)}, {"next", ""}});
  const std::uint32_t limit = call->limit(100, 1000);
  if (limit == 0) return;
  call->administration.list_requests(false, call->request.argument("cursor", call->request.argument("before")), limit, [call, limit](const Result<std::vector<authority::RequestRow>>& rows) {
    if (!rows) return call->refuse(rows.error());
    json::array out;
    for (const authority::RequestRow& row : *rows)
      if (may_see(*call, row)) out.push_back(object_of(row));
    call->reply(json::object{{"requests", std::move(out)}, {"next", rows->size() == limit ? rows->back().id : std::string()}});
  });
}

void create(const CallPtr& call) {
  const auto body = call->body({{"target", Field::Type::text, true, 255},
                                {"account", Field::Type::text, false, 255},
                                {"reason", Field::Type::text, true, 1024},
                                {"lasts", Field::Type::text, false, 32}});
  if (!body) return;
  if (call->who.principal.empty()) return call->refuse(Error{Errc::denied, "`" + call->who.name + "` is no principal; use a token of one"});
  if (!call->who.has_scope("request")) return call->refuse(Error{Errc::denied, "the token has no scope `request`"});
  authority::Wanted wanted;
  wanted.principal = call->who.principal;
  wanted.target = text_of(*body, "target");
  wanted.account = text_of(*body, "account");
  wanted.reason = text_of(*body, "reason");
  if (const std::string lasts = text_of(*body, "lasts"); !lasts.empty()) {
    const auto parsed = parse_lasts(lasts);
    if (!parsed) return call->refuse_with(parsed.error(), "SP-7001", json::array{json::object{{"pointer", "/lasts"}, {"message", parsed.error().detail}}});
    wanted.lasts = *parsed;
  }
  if (const auto source = IpAddress::parse(call->who.source)) wanted.source = *source;
  call->administration.requests().create(call->who, wanted, [call](const Result<authority::RequestRow>& row) {
    if (!row && row.error().code == Errc::not_found) return call->refuse(row.error(), "SP-9207");
    tell(call, row, 201);
  });
}

}  // namespace

void serve_requests(const CallPtr& call) {
  const std::string& method = call->request.method;
  auto& requests = call->administration.requests();
  if (call->parts.size() == 2) {
    if (method == "GET") return list(call);
    if (method == "POST") return create(call);
    return call->refuse(Error{Errc::not_found, "name one request"});
  }
  const auto row = requests.find(call->parts[2]);
  if (!row) return call->refuse(row.error());
  if (!may_see(*call, *row)) return call->refuse(Error{Errc::not_found, "no open request " + call->parts[2]});
  if (call->parts.size() == 3 && method == "GET") return call->reply(object_of(*row));
  if (call->parts.size() == 3 && method == "DELETE") {
    if (!call->body({})) return;
    if (!call->who.has_scope("request")) return call->refuse(Error{Errc::denied, "the token has no scope `request`"});
    return requests.cancel(call->who, row->id, [call](const Result<authority::RequestRow>& gone) { tell(call, gone); });
  }
  if (call->parts.size() == 4 && method == "POST" && (call->parts[3] == "approve" || call->parts[3] == "deny")) {
    const bool approve = call->parts[3] == "approve";
    const auto body = call->body({{"reason", Field::Type::text, !approve, 1024}});
    if (!body) return;
    if (!call->who.has_scope("approve")) return call->refuse(Error{Errc::denied, "the token has no scope `approve`"});
    return requests.vote(call->who, row->id, approve, text_of(*body, "reason"), [call](const Result<authority::RequestRow>& voted) { tell(call, voted); });
  }
  call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
}

}  // namespace sallyport::admin
