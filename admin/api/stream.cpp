// Server-sent events (WHATWG HTML section 9.2): live lists and the audit log as it grows.
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "policy/authority/authority.h"
#include "policy/authority/sign_on.h"
#include "policy/authority/tokens.h"

namespace sallyport::admin {
namespace {

constexpr std::chrono::milliseconds k_look{250};
constexpr unsigned k_heartbeat = 40;  // looks without news, then a comment, so that a dead reader is noticed

struct Following {
  CallPtr call;
  std::optional<policy::AdminRight> right;
  std::function<std::string()> next;
  std::shared_ptr<net::HttpStream> to;
  unsigned quiet = 0;
};

void look(const std::shared_ptr<Following>& one) {
  if (!still_may(*one->call, one->right)) {
    one->to->push(sse("end", {}, "{\"code\":\"SP-7003\"}"));
    return one->to->close();
  }
  std::string news = one->next();
  if (news.empty() && ++one->quiet >= k_heartbeat) news = ": still here\n\n";
  if (!news.empty()) {
    one->quiet = 0;
    if (!one->to->push(std::move(news))) return;
  }
  static_cast<void>(one->call->administration.authority().deadlines.after(k_look, [one] { look(one); }));
}

}  // namespace

bool still_may(const Call& call, std::optional<policy::AdminRight> right) {
  const authority::Operator& who = call.who;
  auto& tokens = call.administration.tokens();
  const auto& authority = call.administration.authority();
  if (!who.token.empty())
    if (const auto row = tokens.find(who.token); !row || row->expires_us <= authority.now_us()) return false;
  // Signed out, closed for wrong factors, idle or over: what it had opened ends with it.
  if (!who.web_session.empty() && !authority.sign_on->web.is_live(who.web_session)) return false;
  if (const auto* principal = authority.snapshot->find_principal(who.principal);
      principal != nullptr && principal->expires && *principal->expires <= authority.now())
    return false;
  if (!who.is_root && (authority.snapshot->find_principal(who.principal) == nullptr || authority.locks.find(who.principal, {}, {}, authority.now()) != nullptr)) return false;
  return !right || call.administration.may(who, *right).has_value();
}

bool wants_stream(const Call& call) {
  return call.request.method == "GET" && (call.request.header("accept").find("text/event-stream") != std::string::npos || call.request.argument("follow") == "true");
}

std::string sse(std::string_view event, std::string_view id, std::string_view json_text) {
  std::string out = "event: " + std::string(event) + "\n";
  if (!id.empty()) out += "id: " + std::string(id) + "\n";
  return out + "data: " + std::string(json_text) + "\n\n";
}

void stream(const CallPtr& call, std::optional<policy::AdminRight> right, std::function<std::string()> next) {
  net::HttpResponse response;
  response.content_type = "text/event-stream";
  response.body = "retry: 2000\n\n";
  response.stream = [call, right, next = std::move(next)](std::shared_ptr<net::HttpStream> to) {
    look(std::make_shared<Following>(Following{call, right, next, std::move(to), 0}));
  };
  call->answer(std::move(response));
}

}  // namespace sallyport::admin
