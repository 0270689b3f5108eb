// POST /v1/login, GET and DELETE /v1/session, POST /v1/session/factor
#include "admin/api/web_login.h"

#include <openssl/crypto.h>

#include <boost/json.hpp>

#include "platform/model/messages.h"
#include "policy/authority/sign_on.h"

namespace sallyport::admin {
namespace {

std::string host_of(std::string_view address) {
  const auto colon = address.rfind(':');
  std::string_view host = address.substr(0, colon);
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return std::string(host);
}

json::object object_of(const authority::Administration& administration, const authority::WebSession& session) {
  const auto& web = administration.authority().sign_on->web;
  return json::object{{"principal", session.principal},
                      {"csrf", session.csrf},
                      {"method", session.method},
                      {"since", utc_text(session.began)},
                      {"expires", utc_text(session.expires)},
                      {"idle_seconds", std::chrono::duration_cast<std::chrono::seconds>(web.idle_for()).count()},
                      {"fresh_until", utc_text(session.proven() + std::chrono::duration_cast<std::chrono::microseconds>(web.fresh_for()))},
                      {"step_up", web.step_up_of(session.principal)},
                      {"passkey", web.has_passkeys(session.principal)}};
}

}  // namespace

void answer_login(const CallPtr& call, authority::WebLoginAnswer answer) {
  using State = authority::WebLoginAnswer::State;
  if (answer.state == State::refused) return call->refuse_status(401, answer.code, std::string(message_of(answer.code).why));
  net::HttpResponse response;
  response.headers["Cache-Control"] = "no-store";
  if (answer.state == State::code) {
    json::array ways;
    for (const std::string& way : answer.ways) ways.emplace_back(way);
    response.body = json::serialize(json::object{{"state", "code"}, {"login", answer.login}, {"ways", std::move(ways)}}) + "\n";
    return call->answer(std::move(response));
  }
  json::object body = object_of(call->administration, *answer.session);
  body["state"] = "done";
  response.headers["Set-Cookie"] = session_cookie(answer.cookie);
  response.body = json::serialize(body) + "\n";
  call->answer(std::move(response));
}

void answer_own_session(const CallPtr& call) {
  const authority::WebSession* session = call->administration.authority().sign_on->web.find(call->who.web_session);
  if (session == nullptr) return call->refuse_status(401, "SP-9301", "");
  call->reply(object_of(call->administration, *session));
}

std::string session_cookie(const Secret& cookie) {
  return std::string(k_cookie_name) + "=" + std::string(cookie.reveal_text()) + "; Path=/; Secure; HttpOnly; SameSite=Strict";
}

bool shows_csrf_of(const net::HttpRequest& request, const authority::WebSession& session) {
  const std::string shown = request.header("x-csrf-token");
  return shown.size() == session.csrf.size() && CRYPTO_memcmp(shown.data(), session.csrf.data(), shown.size()) == 0;
}

std::string cookie_of(const net::HttpRequest& request) { return cookie_value(request, k_cookie_name); }

std::string cookie_value(const net::HttpRequest& request, std::string_view name) {
  const std::string all = request.header("cookie");
  std::string_view rest = all;
  while (!rest.empty()) {
    const auto end = rest.find(';');
    std::string_view one = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    while (one.starts_with(' ')) one.remove_prefix(1);
    if (one.starts_with(name) && one.substr(name.size()).starts_with('=')) return std::string(one.substr(name.size() + 1));
  }
  return {};
}

IpAddress source_of(const net::HttpPeer& peer) { return IpAddress::parse(host_of(peer.address)).value_or(IpAddress()); }

bool is_from_elsewhere(const net::HttpRequest& request) {
  if (const std::string site = request.header("sec-fetch-site"); !site.empty() && site != "same-origin") return true;
  const std::string origin = request.header("origin");
  return !origin.empty() && origin != "https://" + request.header("host");
}

void open_web_session(const CallPtr& call, const policy::Principal& principal, std::vector<policy::ProvenFactor> factors, std::string method) {
  call->administration.authority().sign_on->web.open(principal, std::move(factors), std::move(method), source_of(call->request.peer),
                                                     [call](authority::WebLoginAnswer answer) { answer_login(call, std::move(answer)); });
}

void serve_login(const CallPtr& call) {
  if (call->request.method != "POST") return call->refuse_status(405, "SP-7009", "/v1/login takes POST", {{"Allow", "POST"}});
  // A cookie that is marked Secure has no place on another socket.
  if (!call->request.peer.is_tls) return call->refuse(Error{Errc::invalid, "a web login needs HTTPS"});
  if (is_from_elsewhere(call->request)) return call->refuse_status(403, "SP-9302", "a login is asked for by this gateway's own page only");
  const auto body = call->body({{"user", Field::Type::text, false, 63}, {"password", Field::Type::text, false, 1024}, {"login", Field::Type::text, false, 64}, {"code", Field::Type::text, false, 64}});
  if (!body) return;
  auto& web = call->administration.authority().sign_on->web;
  const auto done = [call](authority::WebLoginAnswer answer) { answer_login(call, std::move(answer)); };
  const bool is_first = body->contains("user") && body->contains("password") && !body->contains("login") && !body->contains("code");
  const bool is_second = body->contains("login") && body->contains("code") && !body->contains("user") && !body->contains("password");
  if (is_first) return web.begin(text_of(*body, "user"), Secret(text_of(*body, "password")), source_of(call->request.peer), done);
  if (is_second) return web.go_on(text_of(*body, "login"), Secret(text_of(*body, "code")), source_of(call->request.peer), done);
  call->refuse_with(Error{Errc::invalid, "send `user` and `password`, then `login` and `code`"}, "SP-7001", {});
}

void serve_own_session(const CallPtr& call) {
  auto& web = call->administration.authority().sign_on->web;
  if (call->parts.size() == 3 && call->parts[2] == "passkey" && call->request.method == "POST") return serve_passkey_again(call);
  const bool proves = call->parts.size() == 3 && call->parts[2] == "factor";
  std::unique_ptr<json::object> given;
  if (proves && call->request.method == "POST") {
    given = call->body({{"factor", Field::Type::text, true, 1024}});
    if (!given) return;
  }
  const authority::WebSession* session = call->who.web_session.empty() ? nullptr : web.find(call->who.web_session);
  if (session == nullptr) return call->refuse(Error{Errc::not_found, "this request does not belong to a web session"});
  const std::string& method = call->request.method;
  if (call->parts.size() == 2 && method == "GET") return call->reply(object_of(call->administration, *session));
  if (call->parts.size() == 2 && method == "DELETE") {
    if (!call->body({})) return;
    const bool by_provider = session->method.find("sign-on") != std::string::npos;
    const std::string provider = by_provider ? call->administration.authority().sign_on->oidc.sign_out_address() : std::string();
    if (!call->who.dry_run) web.close(call->who.web_session, "signed out");
    net::HttpResponse response;
    if (!call->who.dry_run) response.headers["Set-Cookie"] = std::string(k_cookie_name) + "=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";
    response.headers["Clear-Site-Data"] = "\"cache\", \"storage\"";
    json::object said{{"signed_out", true}};
    if (!provider.empty()) said["provider"] = provider;
    response.body = json::serialize(said) + "\n";
    return call->answer(std::move(response));
  }
  if (given) {
    return web.prove_again(call->who.web_session, Secret(text_of(*given, "factor")), source_of(call->request.peer), [call](const Result<void>& proven) {
      if (!proven) return call->refuse(proven.error(), proven.error().code == Errc::denied ? "SP-9305" : "SP-5003");
      answer_own_session(call);
    });
  }
  call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
}

bool has_fresh_factor(const Call& call) {
  if (call.who.web_session.empty()) return true;
  const auto& web = call.administration.authority().sign_on->web;
  const authority::WebSession* session = web.find(call.who.web_session);
  return session != nullptr && call.administration.authority().now() - session->proven() <= web.fresh_for();
}

bool is_fresh_enough(const CallPtr& call) {
  if (has_fresh_factor(*call)) return true;
  const auto& web = call->administration.authority().sign_on->web;
  call->administration.authority().note("web.step_up_asked", authority::EventJson().text("web_session", call->who.web_session).text("principal", call->who.principal)
                                                                 .text("path", call->request.path.substr(0, 200)).text("decision", "deny").text("code", "SP-9303"));
  call->refuse_status(403, "SP-9303", "a factor proven within the last " + std::to_string(std::chrono::duration_cast<std::chrono::minutes>(web.fresh_for()).count()) + " minutes is needed");
  return false;
}

}  // namespace sallyport::admin
