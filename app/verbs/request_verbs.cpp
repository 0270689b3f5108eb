// request, token: asking, deciding, and the tokens with which programs and people use the admin API.
#include <boost/json.hpp>
#include <cstdio>

#include "app/verbs/admin_client.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/verb.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

struct RequestOptions {
  std::string id;
  std::string target;
  std::string account;
  std::string lasts;
  std::string reason;
  bool all = false;
};

struct TokenOptions {
  std::string principal;
  std::string name;
  std::vector<std::string> scopes;
  std::vector<std::string> networks;
  std::string lasts;
  std::string id;
};

const std::vector<Column>& request_columns() {
  static const std::vector<Column> columns{{"ID", "id"},           {"STATE", "state"},   {"WHO", "principal"}, {"KIND", "kind"},   {"ROLE", "role"},
                                           {"TARGET", "target"},   {"ACCOUNT", "account"}, {"REASON", "reason"}, {"NEEDS", "needed"}, {"UNTIL", "decide_by"}};
  return columns;
}

template <class Ask>
int show(const Common& common, Ask ask) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  const Result<json::value> answer = ask(*client);
  if (!answer) return report(answer.error());
  if (const json::object* object = answer->if_object()) print_object(common, *object);
  return k_exit_ok;
}

int list(const Common& common, const std::string& path, const char* key, const std::vector<Column>& columns, std::string_view empty) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  auto answer = client->get(path);
  if (!answer) return report(answer.error());
  const json::object* object = answer->if_object();
  const json::value* rows = object == nullptr ? nullptr : object->if_contains(key);
  print_rows(common, rows != nullptr && rows->is_array() ? rows->get_array() : json::array{}, columns, empty);
  return k_exit_ok;
}

json::object with_reason(const RequestOptions& options) { return options.reason.empty() ? json::object{} : json::object{{"reason", options.reason}}; }

json::array texts(const std::vector<std::string>& list) { return json::array(list.begin(), list.end()); }

void add_request(CLI::App& app, Common& common, Outcome& outcome) {
  static RequestOptions options;
  CLI::App& request = add_verb(app, "request", "Ask for a role on request, and decide about what others ask.",
                               "  sallyport request create prod-db-1 --for 1h --reason INC-42\n  sallyport request list\n"
                               "  SALLYPORT_TOKEN=... sallyport request approve 01K...\n");
  request.require_subcommand(1);
  CLI::App& all = add_verb(request, "list", "Show open requests: yours, and those you may decide.", "  sallyport request list --all -o json\n");
  all.add_flag("--all", options.all, "decided and lapsed ones as well");
  all.callback([&] { outcome.status = list(common, options.all ? "/v1/requests?state=all" : "/v1/requests", "requests", request_columns(), "no request is open"); });
  CLI::App& one = add_verb(request, "show", "Show one request with its votes.", "  sallyport request show 01K...\n");
  one.add_option("id", options.id)->required();
  one.callback([&] { outcome.status = show(common, [&](AdminClient& client) { return client.get("/v1/requests/" + segment_of(options.id)); }); });
  CLI::App& create = add_verb(request, "create", "Ask for access that is given on request.", "  sallyport request create prod-db-1 --for 1h --reason INC-42\n");
  create.add_option("target", options.target)->required();
  create.add_option("--account", options.account, "account on the target");
  create.add_option("--for", options.lasts, "how long: 30m, 1h, 2d");
  create.add_option("--reason", options.reason, "why; the approvers read it")->required();
  create.callback([&] {
    json::object body{{"target", options.target}, {"reason", options.reason}};
    if (!options.account.empty()) body.emplace("account", options.account);
    if (!options.lasts.empty()) body.emplace("lasts", options.lasts);
    outcome.status = show(common, [&](AdminClient& client) { return client.send("POST", "/v1/requests", body); });
  });
  for (const char* verb : {"approve", "deny"}) {
    const bool approve = std::string_view(verb) == "approve";
    CLI::App& vote = add_verb(request, verb, approve ? "Say yes." : "Say no, and why.", std::string("  sallyport request ") + verb + " 01K... --reason 'change window'\n");
    vote.add_option("id", options.id, "a whole id, or at least its last six characters")->required();
    auto* reason = vote.add_option("--reason", options.reason, "stands in the audit log");
    if (!approve) reason->required();
    vote.callback([&, verb] {
      outcome.status = show(common, [&](AdminClient& client) {
        return client.send("POST", "/v1/requests/" + segment_of(options.id) + "/" + verb, with_reason(options));
      });
    });
  }
  CLI::App& cancel = add_verb(request, "cancel", "Take a request back, or end what it gave.", "  sallyport request cancel 01K...\n");
  cancel.add_option("id", options.id)->required();
  cancel.callback([&] {
    outcome.status = show(common, [&](AdminClient& client) { return client.send("DELETE", "/v1/requests/" + segment_of(options.id), nullptr); });
  });
}

void add_token(CLI::App& app, Common& common, Outcome& outcome) {
  static TokenOptions options;
  CLI::App& token = add_verb(app, "token", "Tokens for the admin API over HTTPS, and to act as yourself.",
                             "  sallyport token create --for engineer --name laptop --scope request --lasts 30d\n  sallyport token list\n  sallyport token revoke 01K...\n");
  token.require_subcommand(1);
  CLI::App& create = add_verb(token, "create", "Make one; it is shown once.", "  sallyport token create --for ci --name terraform --scope audit --network 10.0.0.0/8\n");
  create.add_option("--for", options.principal, "principal (default: whose token you show)");
  create.add_option("--name", options.name, "what it is for")->required();
  create.add_option("--scope", options.scopes, "policy, lock, audit, view, secret, approve or request; may be repeated (default: all the principal may)");
  create.add_option("--network", options.networks, "source network it is good from; may be repeated");
  create.add_option("--lasts", options.lasts, "30d by default, at most 366d");
  create.callback([&] {
    json::object body{{"name", options.name}};
    if (!options.principal.empty()) body.emplace("principal", options.principal);
    if (!options.scopes.empty()) body.emplace("scopes", texts(options.scopes));
    if (!options.networks.empty()) body.emplace("networks", texts(options.networks));
    if (!options.lasts.empty()) body.emplace("lasts", options.lasts);
    outcome.status = show(common, [&](AdminClient& client) { return client.send("POST", "/v1/tokens", body); });
  });
  add_verb(token, "list", "Show tokens; never their secret part.", "  sallyport token list\n").callback([&] {
    outcome.status = list(common, "/v1/tokens", "tokens",
                          {{"ID", "id"}, {"PRINCIPAL", "principal"}, {"NAME", "name"}, {"SCOPES", "scopes"}, {"NETWORKS", "networks"}, {"EXPIRES", "expires"}}, "there are no tokens");
  });
  CLI::App& revoke = add_verb(token, "revoke", "Make a token good for nothing.", "  sallyport token revoke 01K...\n");
  revoke.add_option("id", options.id)->required();
  revoke.callback([&] {
    outcome.status = show(common, [&](AdminClient& client) { return client.send("DELETE", "/v1/tokens/" + segment_of(options.id), nullptr); });
  });
}

}  // namespace

void add_request_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  add_request(app, common, outcome);
  add_token(app, common, outcome);
}

}  // namespace sallyport::app
