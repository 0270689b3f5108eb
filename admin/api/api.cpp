#include "admin/api/api.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <utility>

#include "admin/api/call.h"
#include "admin/api/idempotency.h"
#include "admin/api/oidc_login.h"
#include "admin/api/pages.h"
#include "admin/api/rate_limit.h"
#include "admin/api/terminals.h"
#include "admin/api/tls_identity.h"
#include "admin/api/viewings.h"
#include "admin/api/web_login.h"
#include "admin/oidc/oidc_desk.h"
#include "admin/sinks/request_news.h"
#include "admin/web/serve.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/ulid.h"
#include "platform/model/bytes.h"
#include "platform/os/log.h"
#include "policy/authority/glass.h"
#include "policy/authority/requests.h"
#include "policy/authority/sign_on.h"
#include "policy/authority/tokens.h"

namespace sallyport::admin {
namespace {

struct Route {
  std::string_view resource;
  std::string_view methods;
  void (*serve)(const CallPtr&);
  /// PUT and DELETE of one of these must name the state that they change (If-Match). The right that such a change needs;
  /// `own`: the resource itself says who sees it.
  enum class Guard { none, lock, secret, own } guard = Guard::none;
};

constexpr Route k_routes[] = {
    {"status", "GET", serve_status},
    {"whoami", "GET", serve_whoami},
    {"session", "GET DELETE POST", serve_own_session},
    {"invites", "GET POST DELETE", serve_invites},
    {"enrolments", "GET DELETE", serve_enrolments},
    {"certificates", "POST", serve_certificates},
    {"passkeys", "GET POST DELETE", serve_passkeys, Route::Guard::own},
    {"own-keys", "GET POST DELETE", serve_own_keys, Route::Guard::own},
    {"one-time-code", "GET POST", serve_one_time_code},
    {"recovery-codes", "POST", serve_recovery_codes},
    {"envelopes", "GET POST DELETE", serve_envelopes, Route::Guard::lock},
    {"sessions", "GET POST DELETE", serve_sessions},
    {"plan", "POST", serve_plan},
    {"apply", "POST", serve_apply},
    {"policy", "GET", serve_policy_versions},
    {"principals", "GET PUT POST DELETE", serve_resources},
    {"groups", "GET PUT POST DELETE", serve_resources},
    {"targets", "GET PUT POST DELETE", serve_resources},
    {"roles", "GET PUT POST DELETE", serve_resources},
    {"bindings", "GET PUT POST DELETE", serve_resources},
    {"accounts", "GET PUT POST DELETE", serve_resources},
    {"guard-rules", "GET PUT POST DELETE", serve_resources},
    {"certificate-authorities", "GET PUT POST DELETE", serve_resources},
    {"checkpoints", "GET", serve_checkpoints},
    {"nodes", "GET", serve_nodes},
    {"health", "GET", serve_health},
    {"explain", "GET", serve_explain},
    {"locks", "GET POST DELETE", serve_locks, Route::Guard::lock},
    {"secrets", "GET PUT DELETE POST", serve_secrets, Route::Guard::secret},
    {"seal", "GET POST", serve_seal},
    {"unseal", "POST", serve_unseal},
    {"recordings", "GET POST", serve_recordings},
    {"search", "POST", serve_search},
    {"viewings", "GET DELETE", serve_viewings},
    {"terminals", "GET POST DELETE", serve_terminals},
    {"access-review", "GET", serve_access_review},
    {"reachable", "GET", serve_reachable},
    {"events", "GET POST", serve_events},
    {"keys", "GET", serve_keys},
    {"requests", "GET POST DELETE", serve_requests, Route::Guard::own},
    {"tokens", "GET POST DELETE", serve_tokens, Route::Guard::own},
};

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    path.remove_prefix(1);
    const auto slash = path.find('/');
    parts.emplace_back(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash);
  }
  return parts;
}

std::string user_name(uid_t uid) {
  char buffer[4096];
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr) return found->pw_name;
  return "uid " + std::to_string(uid);
}

std::string host_of(std::string_view address) {
  const auto colon = address.rfind(':');
  std::string_view host = address.substr(0, colon);
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return std::string(host);
}

/// What a caller may choose as the name of her request, so that she finds it again in the audit log.
bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.'; });
}

class Api final : public authority::Front {
 public:
  Api(boost::asio::io_context& io, authority::Administration& administration, const Settings& settings)
      : io_(io),
        administration_(administration),
        operators_(settings.list("admin_operators")),
        callers_(administration.authority().clock, static_cast<unsigned>(settings.number("admin_requests_per_minute", 600))),
        strangers_(administration.authority().clock, std::max(60U, static_cast<unsigned>(settings.number("admin_requests_per_minute", 600)) / 10)),
        sign_ins_(administration.authority().clock, std::max(60U, static_cast<unsigned>(settings.number("admin_requests_per_minute", 600)) / 10)),
        viewings_(administration, settings),
        terminals_(administration),
        unix_server_(io, net::HttpLimits{}, handler()) {}

  Result<void> open(const std::string& path) {
    // Others than the operators may connect only when some are listed; each call is judged anyway.
    return unix_server_.listen_unix(path, operators_.empty() ? 0600 : 0666);
  }

  ~Api() override {
    administration_.requests().on_change = nullptr;
    administration_.authority().glass->on_news = nullptr;
    administration_.authority().sign_on->oidc.stop();
  }

  Result<void> open_sign_on(const Settings& settings) {
    auto options = read_oidc_options(settings);
    if (!options) return tl::unexpected(options.error());
    if (!*options) return {};
    return administration_.authority().sign_on->oidc.use(make_oidc_desk(io_, std::move(**options)));
  }

  Result<void> open_passkeys(const Settings& settings) { return administration_.authority().sign_on->passkeys.use(settings.text("admin_origin")); }

  Result<void> open_notifier(const Settings& settings) {
    auto notifier = tell_of_requests(io_, administration_, settings);
    if (!notifier) return tl::unexpected(notifier.error());
    notifier_ = std::move(*notifier);
    return {};
  }

  Result<void> open_tls(const std::string& address, const TlsIdentity& identity) {
    net::HttpLimits limits;
    limits.connections = 256;
    tls_servers_.push_back(std::make_unique<net::HttpServer>(io_, limits, handler()));
    return tls_servers_.back()->listen_tls(address, identity.certificate_pem, identity.key_pem);
  }

 private:
  net::HttpServer::Handler handler() {
    return [this](net::HttpRequest request, net::HttpServer::Answer answer) { serve(std::move(request), std::move(answer)); };
  }

  authority::Operator operator_of(const net::HttpPeer& peer) const {
    authority::Operator who;
    who.uid = peer.uid;
    if (!peer.is_local) return who;
    who.name = user_name(peer.uid);
    who.is_root = peer.uid == 0 || peer.uid == geteuid();
    const bool listed = std::any_of(operators_.begin(), operators_.end(),
                                    [&](const std::string& one) { return one == who.name || one == std::to_string(who.uid); });
    if (listed && !who.is_root) who.principal = who.name;
    return who;
  }

  /// Who asks; an empty operator for nobody. A token counts on the unix socket as well: it is then the token's principal who asks.
  Result<authority::Operator> authenticate(const net::HttpRequest& request) {
    const std::string shown = request.header("authorization");
    if (shown.empty() && request.peer.is_tls) {
      if (const std::string cookie = cookie_of(request); !cookie.empty()) return administration_.authority().sign_on->web.recognise(cookie, source_of(request.peer));
    }
    if (shown.empty()) {
      authority::Operator who = operator_of(request.peer);
      if (who.is_root || !who.principal.empty()) return who;
      if (request.peer.is_local) return fail(Errc::denied, who.name + " is no operator of this gateway");
      return fail(Errc::not_found, "no token was shown");
    }
    if (!shown.starts_with("Bearer ")) return fail(Errc::not_found, "the only way to show who you are is Authorization: Bearer");
    std::optional<IpAddress> source;
    if (!request.peer.is_local) source = IpAddress::parse(host_of(request.peer.address));
    auto who = administration_.tokens().recognise(std::string_view(shown).substr(7), source);
    if (!who) {
      auto& authority = administration_.authority();
      authority.note("api.token_refused", authority::EventJson().text("from", request.peer.address).text("why", who.error().detail).text("decision", "deny").text("code", "SP-7020"));
      return fail(Errc::not_found, "the token is not valid here");
    }
    if (source) who->source = source->str();
    return who;
  }

  void serve(net::HttpRequest request, net::HttpServer::Answer answer) {
    auto& authority = administration_.authority();
    auto call = std::make_shared<Call>(Call{std::move(request), {}, {}, {}, administration_});
    call->parts = split_path(call->request.path);
    call->viewings = &viewings_;
    call->terminals = &terminals_;
    const std::string asked_id = call->request.header("x-request-id");
    const std::string id = is_request_id(asked_id) ? asked_id : crypto::make_ulid(authority.clock, authority.random);
    auto extra = std::make_shared<std::map<std::string, std::string>>();
    call->answer = [answer = std::move(answer), id, extra, is_tls = call->request.peer.is_tls, is_get = call->request.method == "GET" || call->request.method == "HEAD",
                    known = call->request.header("if-none-match")](net::HttpResponse response) {
      response.headers.merge(*extra);
      response.headers["X-Request-Id"] = id;
      response.headers["X-Content-Type-Options"] = "nosniff";
      response.headers.emplace("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
      response.headers["Cross-Origin-Opener-Policy"] = "same-origin";
      response.headers["Referrer-Policy"] = "no-referrer";
      if (is_tls) response.headers["Strict-Transport-Security"] = "max-age=31536000";
      if (is_get && response.status == 200 && !response.stream && !response.headers.contains("ETag")) {
        const std::string etag = etag_of(response.body);
        response.headers["ETag"] = etag;
        if (!known.empty() && matches_etag(known, etag)) {
          response.status = 304;
          response.body.clear();
        }
      }
      answer(std::move(response));
    };
    if (serve_page(call)) return;
    // The web page is for browsers, over TLS only.
    if (call->request.peer.is_tls && call->request.path != "/metrics") {
      if (auto page = web::serve(call->request)) return call->answer(std::move(*page));
    }

    const bool is_oidc = call->request.path.starts_with("/v1/login/oidc");
    const bool is_passkey = call->request.path == "/v1/login/passkey";
    const bool is_invited = call->request.path == "/v1/invited" || call->request.path.starts_with("/v1/invited/");
    const bool is_login = call->request.path == "/v1/login" || is_oidc || is_passkey || is_invited;
    if (is_login) {
      if (const auto verdict = sign_ins_.take(call->request.peer.is_local ? "unix" : host_of(call->request.peer.address)); !verdict.allowed) return too_many(call, verdict);
      return is_invited ? serve_invited(call) : is_oidc ? serve_oidc_login(call) : is_passkey ? serve_passkey_login(call) : serve_login(call);
    }
    const auto holder = terminals_.holder_of(call->request);
    auto who = holder ? Result<authority::Operator>(*holder) : authenticate(call->request);
    if (!who) {
      const RateLimit::Verdict verdict = strangers_.take(call->request.peer.is_local ? "unix" : host_of(call->request.peer.address));
      if (!verdict.allowed) return too_many(call, verdict);
      if (call->request.header("authorization").empty() && !cookie_of(call->request).empty() && call->request.peer.is_tls)
        return call->refuse_status(401, "SP-9301", "", {{"Set-Cookie", std::string(k_cookie_name) + "=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"}});
      if (who.error().code == Errc::denied) return call->refuse(who.error());
      return call->refuse_status(401, "SP-7020", who.error().detail, {{"WWW-Authenticate", "Bearer realm=\"sallyport\""}});
    }
    call->who = std::move(*who);
    call->who.request = id;
    if (!call->who.web_session.empty() && !is_get_or_head(call->request) && !comes_from_page(call)) return;
    if (!call->who.is_root) {
      const RateLimit::Verdict verdict = callers_.take(call->who.token.empty() ? call->who.name : call->who.token);
      (*extra)["RateLimit-Limit"] = std::to_string(verdict.limit);
      (*extra)["RateLimit-Remaining"] = std::to_string(verdict.remaining);
      (*extra)["RateLimit-Reset"] = std::to_string(verdict.reset.count());
      if (!verdict.allowed) return too_many(call, verdict);
    }
    if (call->request.path == "/metrics" && call->request.method == "GET") return serve_metrics(call);
    if (call->parts.size() < 2 || call->parts[0] != "v1") return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
    const auto* route = std::find_if(std::begin(k_routes), std::end(k_routes), [&](const Route& one) { return one.resource == call->parts[1]; });
    if (route == std::end(k_routes)) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
    const std::string& method = call->request.method;
    if (!allows(*route, method)) {
      std::string list(route->methods);
      std::replace(list.begin(), list.end(), ' ', ',');
      return call->refuse_status(405, "SP-7009", call->request.path + " takes " + std::string(route->methods), {{"Allow", list}});
    }
    const std::string dry_run = call->request.argument("dry_run", "false");
    if (dry_run != "true" && dry_run != "false") return call->refuse(Error{Errc::invalid, "dry_run is true or false"});
    call->who.dry_run = dry_run == "true" && method != "GET";
    if (call->who.dry_run && (route->resource == "recordings" || route->resource == "viewings" || route->resource == "search" || route->resource == "unseal" ||
                              route->resource == "events"))
      return call->refuse(Error{Errc::invalid, "this cannot be tried out: it gives or takes a secret"});
    constexpr std::string_view k_sensitive[] = {
        "principals",    "groups",        "targets", "roles",      "bindings",     "accounts",  "guard-rules", "certificate-authorities",
        "apply",         "locks",         "secrets", "recordings", "search",       "events",    "tokens",      "seal",
        "unseal",        "sessions",      "invites", "enrolments", "certificates", "envelopes", "passkeys",    "own-keys",
        "one-time-code", "recovery-codes"};
    const bool asks_itself =
        route->resource == "sessions" && call->parts.size() == 4 && (call->parts[3] == "join" || call->parts[3] == "keyboard" || call->parts[3] == "keys");
    // A yes lets another person's act go on: whoever sits down at an open browser must not be able to say it. A no, and
    // asking for access, take nothing that a factor would protect, and a no must be quick.
    const bool says_yes = route->resource == "requests" && call->parts.size() == 4 && call->parts[3] == "approve";
    const bool is_sensitive = says_yes || (!asks_itself && std::find(std::begin(k_sensitive), std::end(k_sensitive), route->resource) != std::end(k_sensitive));
    if (!is_get_or_head(call->request) && !call->who.dry_run && is_sensitive && !is_fresh_enough(call)) return;
    if (method == "POST" && !idempotency_.admit(call)) return;
    if ((method == "PUT" || method == "DELETE") && call->parts.size() >= 3 && route->guard != Route::Guard::none) return guarded(call, *route);
    route->serve(call);
  }

  static bool is_get_or_head(const net::HttpRequest& request) { return request.method == "GET" || request.method == "HEAD"; }

  /// A cookie goes with every request of the browser: a change must also know what only our page was told.
  bool comes_from_page(const CallPtr& call) {
    auto& authority = administration_.authority();
    const authority::WebSession* session = authority.sign_on->web.find(call->who.web_session);
    if (session != nullptr && shows_csrf_of(call->request, *session) && !is_from_elsewhere(call->request)) return true;
    authority.note("web.forged_request", authority::EventJson().text("web_session", call->who.web_session).text("principal", call->who.principal)
                                             .text("path", call->request.path.substr(0, 200)).text("origin", call->request.header("origin").substr(0, 200))
                                             .text("decision", "deny").text("code", "SP-9302"));
    call->refuse_status(403, "SP-9302", "");
    return false;
  }

  static bool allows(const Route& route, std::string_view method) {
    std::string_view rest = route.methods;
    while (!rest.empty()) {
      const auto space = rest.find(' ');
      if (rest.substr(0, space) == method) return true;
      rest = space == std::string_view::npos ? std::string_view{} : rest.substr(space + 1);
    }
    return false;
  }

  static void too_many(const CallPtr& call, const RateLimit::Verdict& verdict) {
    call->refuse_status(429, "SP-7023", "", {{"Retry-After", std::to_string(verdict.reset.count())}});
  }

  /// Reads the present state the way a GET would, and compares.
  void guarded(const CallPtr& call, const Route& route) {
    if (route.guard == Route::Guard::lock && !call->may(policy::AdminRight::lock)) return;
    if (route.guard == Route::Guard::secret && !call->may(policy::AdminRight::secret)) return;
    auto reading = std::make_shared<Call>(Call{call->request, {}, call->who, call->parts, call->administration});
    reading->request.method = "GET";
    reading->request.body.clear();
    reading->request.query.clear();
    reading->request.headers.erase("accept");
    if (route.guard != Route::Guard::own) reading->who.is_root = true;  // the right to change was judged above
    reading->answer = [call, serve = route.serve](const net::HttpResponse& present) {
      const std::string wanted = call->request.header("if-match");
      const std::string absent = call->request.header("if-none-match");
      if (present.status == 404) {
        // RFC 9110 section 13.2.1: what would be refused anyhow is refused for that.
        if (!wanted.empty() && call->request.method == "PUT") return call->refuse_status(412, "SP-7021", "there is nothing here now");
        return serve(call);  // makes it, or says 404
      }
      if (present.status != 200) return call->answer(present);
      if (absent == "*") return call->refuse_status(412, "SP-7021", "it exists already");
      if (wanted.empty()) return call->refuse_status(428, "SP-7022", "");
      if (!matches_etag(wanted, etag_of(present.body))) return call->refuse_status(412, "SP-7021", "");
      serve(call);
    };
    route.serve(reading);
  }

  boost::asio::io_context& io_;
  authority::Administration& administration_;
  std::vector<std::string> operators_;
  RateLimit callers_;
  RateLimit strangers_;
  RateLimit sign_ins_;
  Idempotency idempotency_;
  Viewings viewings_;
  Terminals terminals_;
  std::unique_ptr<Notifier> notifier_;
  net::HttpServer unix_server_;
  std::vector<std::unique_ptr<net::HttpServer>> tls_servers_;
};

}  // namespace

std::unique_ptr<authority::Front> make_front(boost::asio::io_context& io, authority::Administration& administration, const Settings& settings) {
  const std::string path = settings.text("admin_socket", settings.text("run_dir", ".") + "/admin.sock");
  auto api = std::make_unique<Api>(io, administration, settings);
  const auto complain = [](const Error& error) { os::log_line(os::LogEvent::authority_listen_failed, error.detail); };
  if (auto opened = api->open(path); !opened) {
    complain(opened.error());
    return nullptr;
  }
  if (auto told = api->open_notifier(settings); !told) {
    complain(told.error());
    return nullptr;
  }
  if (auto passkeys = api->open_passkeys(settings); !passkeys) {
    complain(passkeys.error());
    return nullptr;
  }
  if (auto sign_on = api->open_sign_on(settings); !sign_on) {
    complain(sign_on.error());
    return nullptr;
  }
  const auto addresses = settings.list("admin_listen");
  if (addresses.empty()) return api;
  auto identity = load_tls_identity(settings);
  if (!identity) {
    complain(identity.error());
    return nullptr;
  }
  for (const std::string& address : addresses) {
    if (auto opened = api->open_tls(address, *identity); !opened) {
      complain(Error{opened.error().code, "admin.listen: " + opened.error().detail});
      return nullptr;
    }
  }
  return api;
}

}  // namespace sallyport::admin
