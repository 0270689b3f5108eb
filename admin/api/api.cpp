#include "admin/api/api.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <utility>

#include "admin/api/call.h"

namespace sallyport::admin {
namespace {

struct Route {
  std::string_view resource;
  std::string_view methods;
  void (*serve)(const CallPtr&);
};

constexpr Route k_routes[] = {
    {"status", "GET", serve_status},
    {"sessions", "GET DELETE", serve_sessions},
    {"plan", "POST", serve_plan},
    {"apply", "POST", serve_apply},
    {"policy", "GET", serve_policy_versions},
    {"principals", "GET", serve_resources},
    {"groups", "GET", serve_resources},
    {"targets", "GET", serve_resources},
    {"roles", "GET", serve_resources},
    {"bindings", "GET", serve_resources},
    {"explain", "GET", serve_explain},
    {"locks", "GET POST DELETE", serve_locks},
    {"secrets", "GET PUT DELETE", serve_secrets},
    {"seal", "GET POST", serve_seal},
    {"unseal", "POST", serve_unseal},
    {"recordings", "POST", serve_recordings},
    {"search", "POST", serve_search},
    {"events", "GET", serve_events},
    {"keys", "GET", serve_keys},
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

class Api final : public authority::Front {
 public:
  Api(boost::asio::io_context& io, authority::Administration& administration, const Settings& settings)
      : administration_(administration),
        operators_(settings.list("admin_operators")),
        server_(io, net::HttpLimits{}, [this](net::HttpRequest request, net::HttpServer::Answer answer) {
          serve(std::move(request), std::move(answer));
        }) {}

  Result<void> open(const std::string& path) {
    // Others than the operators may connect only when some are listed; each call is judged anyway.
    return server_.listen_unix(path, operators_.empty() ? 0600 : 0666);
  }

 private:
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

  void serve(net::HttpRequest request, net::HttpServer::Answer answer) {
    auto call = std::make_shared<Call>(Call{std::move(request), std::move(answer), {}, {}, administration_});
    call->who = operator_of(call->request.peer);
    call->parts = split_path(call->request.path);
    if (!call->who.is_root && call->who.principal.empty()) return call->refuse(Error{Errc::denied, call->who.name + " is no operator of this gateway"});
    if (call->parts.size() < 2 || call->parts[0] != "v1") return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
    const auto* route = std::find_if(std::begin(k_routes), std::end(k_routes), [&](const Route& one) { return one.resource == call->parts[1]; });
    if (route == std::end(k_routes)) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
    if (route->methods.find(call->request.method) == std::string_view::npos)
      return call->refuse(Error{Errc::invalid, call->request.path + " takes " + std::string(route->methods)}, "SP-7009");
    route->serve(call);
  }

  authority::Administration& administration_;
  std::vector<std::string> operators_;
  net::HttpServer server_;
};

}  // namespace

std::unique_ptr<authority::Front> make_front(boost::asio::io_context& io, authority::Administration& administration, const Settings& settings) {
  const std::string path = settings.text("admin_socket", settings.text("run_dir", ".") + "/admin.sock");
  auto api = std::make_unique<Api>(io, administration, settings);
  if (auto opened = api->open(path); !opened) {
    std::fprintf(stderr, "authority: error: %s\n", opened.error().detail.c_str());
    return nullptr;
  }
  return api;
}

}  // namespace sallyport::admin
