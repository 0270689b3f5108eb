// GET and POST /v1/login/oidc, GET /v1/login/oidc/callback: signing on by an OpenID provider, for browsers.
#include "admin/api/oidc_login.h"

#include <boost/json.hpp>

#include "admin/api/web_login.h"
#include "platform/model/messages.h"
#include "policy/authority/sign_on.h"

namespace sallyport::admin {
namespace {

/// Lax, since the browser comes back from another site; it opens nothing by itself.
constexpr std::string_view k_binding = "__Host-sallyport-oidc";
constexpr std::string_view k_binding_marks = "; Path=/; Secure; HttpOnly; SameSite=Lax";

void go_to(const CallPtr& call, const std::string& place, const std::string& cookie = {}) {
  net::HttpResponse response;
  response.status = 303;
  response.headers["Location"] = place;
  response.headers["Cache-Control"] = "no-store";
  if (!cookie.empty()) response.headers["Set-Cookie"] = cookie;
  call->answer(std::move(response));
}

/// A session that the request's cookie stands for, when the page itself asks (its token shows it).
std::string own_session(const CallPtr& call) {
  auto& web = call->administration.authority().sign_on->web;
  const std::string cookie = cookie_of(call->request);
  if (cookie.empty()) return {};
  const auto who = web.recognise(cookie, source_of(call->request.peer));
  const authority::WebSession* session = who ? web.find(who->web_session) : nullptr;
  return session != nullptr && shows_csrf_of(call->request, *session) ? session->id : std::string();
}

void begin(const CallPtr& call) {
  auto& oidc = call->administration.authority().sign_on->oidc;
  const auto body = call->body({{"again", Field::Type::flag, false}});
  if (!body) return;
  if (!oidc.has_web()) return call->refuse_with(Error{Errc::not_found, ""}, "SP-9706", {});
  const json::value* flag = body->if_contains("again");
  std::string session;
  if (flag != nullptr && flag->is_bool() && flag->get_bool()) {
    session = own_session(call);
    if (session.empty()) return call->refuse_status(401, "SP-9301", "");
  }
  oidc.begin_web(source_of(call->request.peer), session, [call](Result<authority::OidcSignOn::WebBegun> begun) {
    if (!begun) return call->refuse_with(Error{Errc::unavailable, ""}, begun.error().detail, {});
    net::HttpResponse response;
    response.headers["Cache-Control"] = "no-store";
    response.headers["Set-Cookie"] = std::string(k_binding) + "=" + begun->binding + std::string(k_binding_marks) + "; Max-Age=600";
    response.body = json::serialize(json::object{{"location", begun->address}}) + "\n";
    call->answer(std::move(response));
  });
}

void open_session(const CallPtr& call, const policy::SignOnWord& word) {
  call->administration.authority().sign_on->web.begin_signed_on(word, source_of(call->request.peer), [call](authority::WebLoginAnswer answer) {
    using State = authority::WebLoginAnswer::State;
    if (answer.state == State::refused) return go_to(call, "/?sign_on=" + answer.code);
    // The page asks for the second factor; the login's name is good for this source and two minutes, and stays out of the address that is sent.
    if (answer.state == State::code) {
      std::string place = "/?sign_on=code#" + answer.login;
      for (const std::string& way : answer.ways) place += "." + way;
      return go_to(call, place);
    }
    // What an earlier session of this browser was allowed ends with it.
    auto& web = call->administration.authority().sign_on->web;
    if (const std::string old = cookie_of(call->request); !old.empty())
      if (const auto who = web.recognise(old, source_of(call->request.peer)); who && who->web_session != answer.session->id) web.close(who->web_session, "signed on anew");
    go_to(call, "/?sign_on=done", session_cookie(answer.cookie));
  });
}

void finish(const CallPtr& call) {
  auto& authority = call->administration.authority();
  authority::OidcSignOn::WebAnswer answer;
  answer.state = call->request.argument("state").substr(0, 200);
  answer.code = call->request.argument("code").substr(0, 4096);
  answer.error = call->request.argument("error").substr(0, 200);
  answer.issuer = call->request.argument("iss").substr(0, 2048);
  answer.binding = cookie_value(call->request, k_binding);
  if (!authority.sign_on->oidc.has_web()) return go_to(call, "/?sign_on=SP-9706");
  authority.sign_on->oidc.finish_web(answer, source_of(call->request.peer), [call, &authority](const authority::OidcSignOn::WebProven& proven) {
    if (proven.word.state != policy::SignOnWord::State::proven) return go_to(call, "/?sign_on=" + proven.word.code);
    if (proven.web_session.empty()) return open_session(call, proven.word);
    const authority::WebSession* session = authority.sign_on->web.find(proven.web_session);
    if (session == nullptr || session->principal != proven.word.principal.view()) {
      authority.note("sign_on.refused", authority::EventJson().text("via", "web").text("web_session", proven.web_session).text("principal", proven.word.principal.view())
                                            .text("reason", "not who the session is of").text("decision", "deny").text("code", "SP-9703"));
      return go_to(call, "/?sign_on=SP-9703");
    }
    authority.sign_on->web.refresh(proven.web_session, {policy::FactorKind::sign_on, proven.word.proven, proven.word.second_factor});
    go_to(call, "/?sign_on=done");
  });
}

}  // namespace

void serve_oidc_login(const CallPtr& call) {
  if (!call->request.peer.is_tls) return call->refuse(Error{Errc::invalid, "a web login needs HTTPS"});
  const bool is_callback = call->parts.size() == 4 && call->parts[3] == "callback";
  const std::string& method = call->request.method;
  if (!is_callback && call->parts.size() != 3) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  if (is_callback) return method == "GET" ? finish(call) : call->refuse_status(405, "SP-7009", call->request.path + " takes GET", {{"Allow", "GET"}});
  if (method == "GET") return call->reply(json::object{{"available", call->administration.authority().sign_on->oidc.has_web()}});
  if (method != "POST") return call->refuse_status(405, "SP-7009", call->request.path + " takes GET and POST", {{"Allow", "GET,POST"}});
  if (is_from_elsewhere(call->request)) return call->refuse_status(403, "SP-9302", "a login is asked for by this gateway's own page only");
  begin(call);
}

}  // namespace sallyport::admin
