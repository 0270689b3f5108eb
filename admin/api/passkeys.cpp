// GET, POST, DELETE /v1/passkeys, POST /v1/passkeys/challenge, POST /v1/login/passkey, POST /v1/session/passkey
#include <boost/json.hpp>

#include "admin/api/factor_answers.h"
#include "admin/api/web_login.h"
#include "platform/crypto/base64.h"
#include "platform/model/bytes.h"
#include "policy/authority/sign_on.h"

namespace sallyport::admin {
namespace {

using authority::PasskeyAsk, authority::PasskeyShown;

// As base64url, a third longer than the bytes.
constexpr std::size_t k_most_data = 5500;
constexpr std::size_t k_most_id = 1400;
constexpr std::size_t k_most_signature = 1400;

constexpr Field k_client_data{"client_data", Field::Type::text, false, k_most_data};
constexpr Field k_authenticator_data{"authenticator_data", Field::Type::text, false, k_most_data};
constexpr Field k_id{"id", Field::Type::text, false, k_most_id};
constexpr Field k_signature{"signature", Field::Type::text, false, k_most_signature};

void refuse(const CallPtr& call, const Error& error) {
  const std::string code = authority::code_of(error);
  const std::string reason = authority::reason_of(error);
  if (code == "SP-9301" || code == "SP-9304") return call->refuse_status(401, code, "");
  call->refuse_with(Error{error.code, error.code == Errc::invalid ? reason : std::string()}, code, {});
}

json::object object_of(const PasskeyAsk& ask) {
  json::array ids;
  for (const std::string& id : ask.ids) ids.emplace_back(id);
  json::object out{{"challenge", ask.challenge}, {"host", ask.host}, {"principal", ask.principal}, {"verification", ask.verified ? "required" : "preferred"}, {"ids", std::move(ids)}};
  if (!ask.user.empty()) out["user"] = ask.user;
  return out;
}

void answer_ask(const CallPtr& call, const Result<PasskeyAsk>& ask) {
  if (!ask) return refuse(call, ask.error());
  net::HttpResponse response;
  response.headers["Cache-Control"] = "no-store";
  response.body = json::serialize(object_of(*ask)) + "\n";
  call->answer(std::move(response));
}

/// Null, and answered with 400, when one of `names` is missing or no base64url.
std::optional<PasskeyShown> shown_of(const CallPtr& call, const json::object& body, std::initializer_list<std::string_view> names) {
  PasskeyShown shown;
  for (const std::string_view name : names) {
    const auto bytes = crypto::from_base64url(text_of(body, name));
    if (!bytes || bytes->empty()) {
      call->refuse_with(Error{Errc::invalid, "`" + std::string(name) + "` is base64url without padding, as the browser gives it"}, "SP-7001", {json::object{{"pointer", "/" + std::string(name)}}});
      return std::nullopt;
    }
    std::string& slot = name == "id" ? shown.id : name == "client_data" ? shown.client_data : name == "signature" ? shown.signature : shown.authenticator_data;
    slot = std::string(sallyport::text_of(*bytes));
  }
  return shown;
}

json::object object_of(const policy::Passkey& one) {
  json::object out{{"id", crypto::to_base64url(bytes_of(one.id))}, {"name", one.name}, {"enrolled", utc_text(one.enrolled)}, {"algorithm", one.algorithm}};
  if (one.used != WallTime{}) out["used"] = utc_text(one.used);
  return out;
}

void make(const CallPtr& call) {
  auto& passkeys = call->administration.authority().sign_on->passkeys;
  const bool begins = call->parts.size() == 3 && call->parts[2] == "challenge";
  if (!begins && call->parts.size() != 2) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  const auto body = begins ? call->body({})
                           : call->body({{"name", Field::Type::text, true, 60}, {"client_data", Field::Type::text, true, k_most_data}, {"authenticator_data", Field::Type::text, true, k_most_data}});
  if (!body) return;
  // Only a browser has what a passkey is made with, and only its session has a factor that may be fresh.
  if (call->who.web_session.empty()) return call->refuse_with(Error{Errc::denied, ""}, "SP-9314", {});
  if (begins) return answer_ask(call, passkeys.begin_make(call->who));
  const auto shown = shown_of(call, *body, {"client_data", "authenticator_data"});
  if (!shown) return;
  if (call->who.dry_run) return call->reply(json::object{{"dry_run", true}}, 201);
  passkeys.finish_make(call->who, text_of(*body, "name"), *shown, [call](const Result<std::string>& codes) {
    if (!codes) return refuse(call, codes.error());
    reply_once(call, json::object{{"enrolled", true}, {"recovery_codes", lines_of(*codes)}}, 201);
  });
}

}  // namespace

void serve_passkeys(const CallPtr& call) {
  auto& sign_on = *call->administration.authority().sign_on;
  const std::string& method = call->request.method;
  if (method == "POST") return make(call);
  const policy::Principal* person = call->administration.snapshot().find_principal(call->who.principal);
  const auto& hers = sign_on.enrolled.passkeys_of(call->who.principal);
  if (call->parts.size() == 2 && method == "GET") {
    json::array items;
    for (const policy::Passkey& one : hers) items.push_back(object_of(one));
    const bool may = person != nullptr && policy::may_enrol(*person, "passkeys");
    return call->reply(json::object{{"items", std::move(items)},
                                    {"may_enrol", may && sign_on.passkeys.has_origin()},
                                    {"recovery_codes", sign_on.codes.recovery_left(call->who.principal)}});
  }
  if (call->parts.size() != 3) return call->refuse_status(405, "SP-7009", "name the passkey: /v1/passkeys/ID", {{"Allow", "GET,POST"}});
  const auto found = std::find_if(hers.begin(), hers.end(), [&](const policy::Passkey& one) { return crypto::to_base64url(bytes_of(one.id)) == call->parts[2]; });
  if (found == hers.end()) return call->refuse(Error{Errc::not_found, "you have no such passkey"});
  if (method == "GET") return call->reply(json::object{{"id", call->parts[2]}, {"name", found->name}, {"enrolled", utc_text(found->enrolled)}});
  if (!call->body({})) return;
  sign_on.passkeys.remove(call->who, call->parts[2], [call](const Result<void>& gone) {
    if (!gone) return call->refuse(gone.error());
    call->reply(json::object{{"id", call->parts[2]}, {"removed", !call->who.dry_run}});
  });
}

void serve_passkey_login(const CallPtr& call) {
  if (call->request.method != "POST") return call->refuse_status(405, "SP-7009", "/v1/login/passkey takes POST", {{"Allow", "POST"}});
  if (!call->request.peer.is_tls) return call->refuse(Error{Errc::invalid, "a web login needs HTTPS"});
  if (is_from_elsewhere(call->request)) return call->refuse_status(403, "SP-9302", "a login is asked for by this gateway's own page only");
  const auto body = call->body({{"login", Field::Type::text, true, 64}, k_id, k_client_data, k_authenticator_data, k_signature});
  if (!body) return;
  auto& web = call->administration.authority().sign_on->web;
  const std::string login = text_of(*body, "login");
  if (body->size() == 1) return answer_ask(call, web.ask_passkey(login, source_of(call->request.peer)));
  const auto shown = shown_of(call, *body, {"id", "client_data", "authenticator_data", "signature"});
  if (!shown) return;
  web.go_on_passkey(login, *shown, source_of(call->request.peer), [call](authority::WebLoginAnswer answer) { answer_login(call, std::move(answer)); });
}

void serve_passkey_again(const CallPtr& call) {
  const auto body = call->body({k_id, k_client_data, k_authenticator_data, k_signature});
  if (!body) return;
  auto& web = call->administration.authority().sign_on->web;
  const std::string& session = call->who.web_session;
  if (session.empty() || web.find(session) == nullptr) return call->refuse(Error{Errc::not_found, "this request does not belong to a web session"});
  if (body->empty()) return answer_ask(call, web.ask_passkey_again(session));
  const auto shown = shown_of(call, *body, {"id", "client_data", "authenticator_data", "signature"});
  if (!shown) return;
  web.prove_again_by_passkey(session, *shown, source_of(call->request.peer), [call](const Result<void>& proven) {
    if (!proven) return refuse(call, proven.error());
    answer_own_session(call);
  });
}

}  // namespace sallyport::admin
