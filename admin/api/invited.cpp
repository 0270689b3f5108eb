// POST /v1/invited, /v1/invited/one-time-code, /v1/invited/enrol: somebody nobody knows, with an invite's code
#include <boost/json.hpp>

#include "admin/api/factor_answers.h"
#include "admin/api/web_login.h"
#include "policy/authority/sign_on.h"

namespace sallyport::admin {
namespace {

constexpr Field k_code{"code", Field::Type::text, true, 64};

}  // namespace

void serve_invited(const CallPtr& call) {
  const std::string what = call->parts.size() == 3 ? call->parts[2] : std::string();
  if (call->parts.size() > 3 || (!what.empty() && what != "one-time-code" && what != "enrol"))
    return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  if (call->request.method != "POST") return call->refuse_status(405, "SP-7009", call->request.path + " takes POST", {{"Allow", "POST"}});
  if (!call->request.peer.is_tls) return call->refuse(Error{Errc::invalid, "an invite is used over HTTPS, or over ssh"});
  if (is_from_elsewhere(call->request)) return call->refuse_status(403, "SP-9302", "an invite is used from this gateway's own page only");
  const auto body = what == "enrol" ? call->body({k_code, {"public_key", Field::Type::text, false, 8192}, {"one_time_code", Field::Type::text, false, 16}})
                                    : call->body({k_code});
  if (!body) return;
  auto& invites = call->administration.authority().sign_on->invites;
  const std::string code = text_of(*body, "code");
  const IpAddress source = source_of(call->request.peer);
  if (what.empty()) {
    return invites.look(code, source, [call](const Result<authority::InviteDesk::Welcome>& welcome) {
      if (!welcome) return refuse_coded(call, welcome.error());
      reply_once(call, json::object{{"principal", welcome->principal},
                                    {"display", welcome->display},
                                    {"expires", utc_text(welcome->expires)},
                                    {"ssh", ssh_address(*call)},
                                    {"keys", welcome->keys},
                                    {"one_time_code", welcome->code}});
    });
  }
  if (what == "one-time-code") {
    return invites.show(code, source, [call](const Result<std::string>& uri) {
      if (!uri) return refuse_coded(call, uri.error());
      reply_once(call, shown_code(*uri));
    });
  }
  invites.use(code, source, {text_of(*body, "public_key"), text_of(*body, "one_time_code")}, [call](const Result<std::string>& recovery) {
    if (!recovery) return refuse_coded(call, recovery.error());
    reply_once(call, json::object{{"enrolled", true}, {"recovery_codes", lines_of(*recovery)}});
  });
}

}  // namespace sallyport::admin
