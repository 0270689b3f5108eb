// GET, POST /v1/tokens, GET, DELETE /v1/tokens/{id}, GET /v1/whoami
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "admin/api/paging.h"
#include "policy/authority/authority.h"
#include "policy/authority/self_service.h"
#include "policy/authority/tokens.h"

namespace sallyport::admin {
namespace {

json::array words(std::string_view text) {
  json::array out;
  while (!text.empty()) {
    const auto space = text.find(' ');
    out.emplace_back(json::string_view(text.data(), std::min(space, text.size())));
    text = space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
  }
  return out;
}

json::object object_of(const authority::TokenRow& row) {
  return json::object{{"id", row.id},
                      {"principal", row.principal},
                      {"name", row.name},
                      {"scopes", words(row.scopes)},
                      {"networks", words(row.networks)},
                      {"by", row.created_by},
                      {"created", utc_text(row.created_us)},
                      {"expires", utc_text(row.expires_us)}};
}

bool owns(const Call& call, const authority::TokenRow& row) { return call.who.is_root || row.principal == call.who.principal; }

/// A list of texts in a body; nothing, and answered, when something else is in it.
std::optional<std::vector<std::string>> texts_of(const CallPtr& call, const json::object& body, std::string_view key) {
  std::vector<std::string> texts;
  const json::value* list = body.if_contains(key);
  if (list == nullptr) return texts;
  json::array errors;
  for (std::size_t i = 0; i < list->get_array().size(); ++i) {
    const json::value& one = list->get_array()[i];
    if (one.is_string() && !one.get_string().empty() && one.get_string().size() <= 64 && one.get_string().find(' ') == json::string::npos)
      texts.emplace_back(std::string_view(one.get_string()));
    else
      errors.push_back(json::object{{"pointer", "/" + std::string(key) + "/" + std::to_string(i)}, {"message", "this must be a word of at most 64 bytes"}});
  }
  if (errors.empty()) return texts;
  call->refuse_with(Error{Errc::invalid, "a list of words is needed"}, "SP-7001", std::move(errors));
  return std::nullopt;
}

void create(const CallPtr& call) {
  const auto body = call->body({{"principal", Field::Type::text, false, 255},
                                {"name", Field::Type::text, true, 255},
                                {"scopes", Field::Type::list, false, 16},
                                {"networks", Field::Type::list, false, 64},
                                {"lasts", Field::Type::text, false, 32}});
  if (!body) return;
  authority::TokenWanted wanted;
  wanted.principal = text_of(*body, "principal", call->who.principal);
  wanted.name = text_of(*body, "name");
  auto scopes = texts_of(call, *body, "scopes");
  if (!scopes) return;
  auto networks = texts_of(call, *body, "networks");
  if (!networks) return;
  wanted.scopes = std::move(*scopes);
  wanted.networks = std::move(*networks);
  if (const std::string lasts = text_of(*body, "lasts"); !lasts.empty()) {
    const auto parsed = parse_lasts(lasts);
    if (!parsed) return call->refuse_with(parsed.error(), "SP-7001", json::array{json::object{{"pointer", "/lasts"}, {"message", parsed.error().detail}}});
    wanted.lasts = *parsed;
  }
  // A token for somebody else would be that person: only this machine's root gives one. A scoped token makes no others.
  if (!call->who.is_root && (wanted.principal != call->who.principal || !call->who.scopes.empty()))
    return call->refuse(Error{Errc::denied, "a token is made by its principal, with a token that has all her rights, or by root on the gateway"});
  call->administration.tokens().create(call->who, wanted, [call](const Result<std::shared_ptr<authority::TokenMade>>& made) {
    if (!made) return call->refuse(made.error());
    json::object out = object_of((*made)->row);
    if (call->who.dry_run) out["dry_run"] = true;
    else out["token"] = std::string((*made)->token.reveal_text());
    call->reply(out, 201);
  });
}

}  // namespace

void serve_tokens(const CallPtr& call) {
  const std::string& method = call->request.method;
  auto& tokens = call->administration.tokens();
  if (call->parts.size() == 2 && method == "POST") return create(call);
  const bool may_audit = call->administration.may(call->who, policy::AdminRight::audit).has_value();
  if (call->parts.size() == 2 && method == "GET") {
    json::array rows;
    for (const authority::TokenRow& row : tokens.list())
      if (may_audit || owns(*call, row)) rows.push_back(object_of(row));
    return reply_page(call, "tokens", std::move(rows), "id", Order::falling);
  }
  if (call->parts.size() != 3) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  const auto row = tokens.find(call->parts[2]);
  const bool may_lock = call->administration.may(call->who, policy::AdminRight::lock).has_value();
  if (!row || (!owns(*call, *row) && !may_audit && !may_lock)) return call->refuse(Error{Errc::not_found, "no token " + call->parts[2]});
  if (method == "GET") return call->reply(object_of(*row));
  if (!call->body({})) return;
  if (!owns(*call, *row) && !may_lock) return call->refuse(Error{Errc::denied, "a token is revoked by its principal or by somebody with the right `lock`"});
  tokens.revoke(call->who, row->id, [call](const Result<authority::TokenRow>& gone) {
    if (!gone) return call->refuse(gone.error());
    json::object out{{"id", gone->id}, {"revoked", true}};
    if (call->who.dry_run) out["dry_run"] = true;
    call->reply(out);
  });
}

json::object ssh_address(const Call& call) {
  auto gateway = authority::split_host_port(call.administration.authority().settings.text("public_address"));
  if (gateway.host == "*" || gateway.host == "0.0.0.0" || gateway.host == "::") gateway.host.clear();  // every address of it
  return json::object{{"host", gateway.host}, {"port", gateway.port}};
}

void serve_whoami(const CallPtr& call) {
  json::array rights;
  for (const auto right : {policy::AdminRight::policy, policy::AdminRight::lock, policy::AdminRight::audit, policy::AdminRight::view,
                           policy::AdminRight::secret, policy::AdminRight::approve, policy::AdminRight::input, policy::AdminRight::retention, policy::AdminRight::reveal})
    if (call->administration.may(call->who, right)) rights.emplace_back(policy::name_of(right));
  call->reply(json::object{{"name", call->who.name},
                           {"ssh", ssh_address(*call)},
                           {"principal", call->who.principal},
                           {"is_root", call->who.is_root},
                           {"token", call->who.token},
                           {"source", call->who.source},
                           {"rights", std::move(rights)}});
}

}  // namespace sallyport::admin
