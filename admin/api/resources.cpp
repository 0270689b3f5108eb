// /v1/{principals,groups,targets,roles,bindings,accounts,guard-rules,certificate-authorities}[/{name}], GET /v1/targets/{name}/setup, GET /v1/explain, GET /v1/keys
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "admin/api/definitions.h"
#include "admin/api/paging.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/ssh_public_key.h"
#include "platform/model/bytes.h"
#include "platform/model/messages.h"

namespace sallyport::admin {
namespace {

std::string moment(const std::optional<WallTime>& when) { return when ? utc_text(*when) : std::string(); }

json::object object_of(const policy::Principal& principal) {
  json::array keys;
  for (const policy::LoginKey& key : principal.keys) keys.push_back(json::value(key.algorithm + " " + key.fingerprint + (key.comment.empty() ? "" : " " + key.comment)));
  json::array networks;
  for (const Network& network : principal.networks) networks.push_back(json::value(network.str()));
  json::array commands;
  for (const policy::CommandTemplate& command : principal.commands) commands.push_back(json::value(command.text()));
  return json::object{{"name", principal.name.str()},
                      {"type", principal.type == policy::PrincipalType::machine ? "machine" : "person"},
                      {"display", principal.display},
                      {"groups", json::array(principal.groups.begin(), principal.groups.end())},
                      {"keys", std::move(keys)},
                      {"password", !principal.password_hash.empty()},
                      {"totp", principal.totp_secret},
                      {"networks", std::move(networks)},
                      {"commands", std::move(commands)},
                      {"expires", moment(principal.expires)}};
}

json::object object_of(const policy::Group& group) {
  json::array members;
  for (const PrincipalId& member : group.members) members.push_back(json::value(member.str()));
  return json::object{{"name", group.name}, {"members", std::move(members)}};
}

json::object object_of(const policy::Target& target) {
  json::object labels;
  for (const auto& [key, value] : target.labels) labels[key] = value;
  json::array accounts;
  for (const policy::Account& account : target.accounts) accounts.push_back(json::value(account.name.str()));
  json::array keys;
  for (const policy::HostKey& key : target.host_keys) keys.push_back(json::value(key.algorithm + " " + key.fingerprint));
  json::array cas;
  for (const policy::HostKey& key : target.host_cas) cas.push_back(json::value(key.algorithm + " " + key.fingerprint));
  return json::object{{"name", target.name.str()},
                      {"instance", target.instance},
                      {"address", target.address},
                      {"port", target.port},
                      {"labels", std::move(labels)},
                      {"accounts", std::move(accounts)},
                      {"host_keys", std::move(keys)},
                      {"host_cas", std::move(cas)},
                      {"durability", target.durability == policy::Durability::synced ? "synced" : "written"}};
}

json::array rules_of(const std::vector<policy::Rule>& rules) {
  json::array out;
  for (const policy::Rule& rule : rules) {
    std::string text = rule.channels.str() + " on ";
    if (rule.every_target) text += "every target";
    for (const std::string& name : rule.target_names) text += name + " ";
    for (const auto& [key, values] : rule.target_labels) {
      text += key + "=";
      for (std::size_t i = 0; i < values.size(); ++i) text += (i == 0 ? "" : "|") + values[i];
      text += " ";
    }
    while (text.ends_with(' ')) text.pop_back();
    for (std::size_t i = 0; i < rule.accounts.size(); ++i) text += (i == 0 ? " as " : ", ") + rule.accounts[i];
    out.push_back(json::value(text));
  }
  return out;
}

json::object object_of(const policy::Role& role) {
  json::array rights;
  for (const policy::AdminRight right : role.admin) rights.emplace_back(policy::name_of(right));
  return json::object{{"name", role.name}, {"allow", rules_of(role.allow)}, {"deny", rules_of(role.deny)}, {"admin", std::move(rights)}};
}

template <class Rows>
void serve_rows(const CallPtr& call, const Rows& rows) {
  json::array all;
  for (const auto& row : rows) {
    json::object object = object_of(row);
    object["id"] = object["name"];
    if (call->parts.size() == 3) {
      if (std::string_view(object["name"].get_string()) == call->parts[2]) return reply_defined(call, std::move(object));
      continue;
    }
    all.push_back(std::move(object));
  }
  if (call->parts.size() == 3) return call->refuse(Error{Errc::not_found, "there is no " + call->parts[2] + " among the " + call->parts[1]});
  reply_page(call, call->parts[1], std::move(all), "id");
}

/// Every rule that was looked at, in the order of evaluation: where it stands, how she came to it, and the first thing that was missing.
json::array steps_of(const policy::Explanation& trace) {
  json::array steps;
  for (const policy::TraceStep& step : trace.steps)
    steps.push_back(json::object{{"role", step.rule.role},
                                 {"list", step.rule.is_deny ? "deny" : "allow"},
                                 {"index", step.rule.index},
                                 {"file", step.rule.place.file ? *step.rule.place.file : std::string()},
                                 {"line", step.rule.place.line},
                                 {"bound_at", step.binding.file ? step.binding.str() : std::string()},
                                 {"matched", step.matched},
                                 {"why_not", step.why_not}});
  return steps;
}

json::array key_lines(const google::protobuf::RepeatedPtrField<std::string>& blobs) {
  json::array lines;
  for (const std::string& blob : blobs)
    if (const auto key = crypto::SshPublicKey::parse_blob(bytes_of(blob))) lines.push_back(json::value(key->line()));
  return lines;
}

std::string key_line(const std::string& blob) {
  const auto key = crypto::SshPublicKey::parse_blob(bytes_of(blob));
  return key ? key->line() : std::string();
}

}  // namespace

void serve_resources(const CallPtr& call) {
  if (call->request.method != "GET") return serve_definition(call);
  if (!call->may(policy::AdminRight::audit)) return;
  const std::string& kind = call->parts[1];
  if (kind == "targets" && call->parts.size() == 4 && call->parts[3] == "setup") {
    call->administration.target_setup(call->parts[2], [call](const Result<std::string>& text) {
      if (!text) return call->refuse(text.error());
      call->reply(json::object{{"text", *text}});
    });
    return;
  }
  if (call->parts.size() > 3) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  const policy::Snapshot& snapshot = call->administration.snapshot();
  if (kind == "principals") return serve_rows(call, snapshot.principals());
  if (kind == "groups") return serve_rows(call, snapshot.groups());
  if (kind == "targets") return serve_rows(call, snapshot.targets());
  if (kind == "roles") return serve_rows(call, snapshot.roles());
  if (call->parts.size() == 3) return reply_defined(call, {});
  list_definitions(call);
}

void serve_explain(const CallPtr& call) {
  if (const std::string code = call->request.argument("code"); !code.empty()) {
    const Message* message = find_message(code);
    if (message == nullptr) return call->refuse(Error{Errc::not_found, "there is no message " + code});
    const std::string text = std::string(message->code) + " " + std::string(message->what) + "\n  why:  " + std::string(message->why) +
                             "\n  then: " + std::string(message->remedy) + "\n";
    return call->reply(json::object{{"code", message->code}, {"what", message->what}, {"why", message->why}, {"remedy", message->remedy}, {"text", text}});
  }
  if (!call->may(policy::AdminRight::audit)) return;
  authority::ExplainQuestion question;
  question.principal = call->request.argument("principal");
  question.target = call->request.argument("target");
  question.account = call->request.argument("account");
  question.channel = call->request.argument("channel");
  question.source = call->request.argument("from");
  question.session = call->request.argument("session");
  question.destination = call->request.argument("destination");
  if (const std::string at = call->request.argument("at"); !at.empty()) {
    auto moment_asked = parse_utc(at);
    if (!moment_asked) return call->refuse(moment_asked.error());
    question.at = *moment_asked;
  }
  const auto answer = call->administration.explain(question);
  if (answer) {
    json::object reply{{"allowed", answer->decision.allowed()},
                       {"code", answer->decision.code},
                       {"why", answer->decision.why},
                       {"rule", answer->decision.rule.str()},
                       {"held", answer->decision.allowed() && answer->decision.obligations.hold_tunnel},
                       {"text", answer->text}};
    reply["facts"] = json::array(answer->trace.facts.begin(), answer->trace.facts.end());
    reply["steps"] = steps_of(answer->trace);
    // For `sallyport guard check`: the compiled rules that a session of this kind would be given.
    if (const auto& rules = answer->decision.obligations.guard_rules; rules && call->request.argument("guard") == "yes") reply["guard_rules"] = crypto::to_hex(*rules);
    return call->reply(std::move(reply));
  }
  if (question.session.empty() || answer.error().code != Errc::not_found) return call->refuse(answer.error());
  // It has ended: what is known is how.
  call->administration.find_session(question.session, [call](const Result<authority::SessionRow>& row) {
    if (!row) return call->refuse(row.error());
    std::string text = "session " + row->label + " of " + (row->principal.empty() ? "nobody" : row->principal) + " from " + row->source + ": " + row->outcome;
    if (const Message* message = find_message(row->code))
      text += "\n  " + std::string(message->code) + " " + std::string(message->what) + " - " + std::string(message->why) + "\n  then: " + std::string(message->remedy);
    call->reply(json::object{{"session", row->label}, {"outcome", row->outcome}, {"code", row->code}, {"text", text + "\n"}});
  });
}

void serve_keys(const CallPtr& call) {
  if (!call->may(policy::AdminRight::audit)) return;
  call->administration.public_keys([call](const Result<control::PublicKeySet>& keys) {
    if (!keys) return call->refuse(keys.error());
    call->reply(json::object{{"host_keys", key_lines(keys->host_keys())},
                             {"user_ca", key_line(keys->user_ca())},
                             {"host_ca", key_line(keys->host_ca())},
                             {"checkpoint_key", keys->checkpoint_key()}});
  });
}

}  // namespace sallyport::admin
