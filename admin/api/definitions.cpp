#include "admin/api/definitions.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <utility>

#include "admin/api/paging.h"
#include "admin/api/policy_json.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/ssh_public_key.h"
#include "platform/model/bytes.h"
#include "policy/access/edit.h"

namespace sallyport::admin {
namespace {

struct Kind {
  std::string_view name;  ///< in the path
  std::string_view list;  ///< in the policy files
  std::string_view part;  ///< of each definition of that list; empty: the whole of it
};
constexpr std::array<Kind, 8> k_kinds{Kind{"principals", "principals", ""}, Kind{"groups", "groups", ""}, Kind{"targets", "targets", ""}, Kind{"roles", "roles", ""},
                                      Kind{"bindings", "bindings", ""}, Kind{"certificate-authorities", "trusted_user_cas", ""},
                                      Kind{"accounts", "targets", "accounts"}, Kind{"guard-rules", "roles", "guard"}};

const Kind& kind_of(const Call& call) {
  const auto found = std::find_if(k_kinds.begin(), k_kinds.end(), [&](const Kind& kind) { return kind.name == call.parts[1]; });
  return found == k_kinds.end() ? k_kinds[0] : *found;
}

struct Thing {
  std::string id;
  json::object definition;
  std::string file;
};

json::object parsed(const std::string& text) {
  json::parse_options options;
  options.max_depth = 80;
  boost::system::error_code error;
  json::value value = json::parse(text, error, {}, options);
  return error || !value.is_object() ? json::object() : std::move(value.get_object());
}

std::vector<Thing> things_in(const Kind& kind, const std::vector<policy::SourceFile>& files) {
  std::vector<Thing> things;
  for (const policy::Defined& one : policy::definitions_in(files, kind.list)) {
    json::object definition = parsed(one.json);
    if (kind.part.empty()) {
      things.push_back(Thing{one.name, std::move(definition), one.file});
      continue;
    }
    json::value* part = definition.if_contains(kind.part);
    if (part == nullptr || !part->is_array()) continue;
    if (kind.name == "guard-rules") {
      things.push_back(Thing{one.name, json::object{{"guard", std::move(*part)}}, one.file});
      continue;
    }
    for (json::value& account : part->get_array())
      if (account.is_object()) things.push_back(Thing{text_of(account.get_object(), "name") + "@" + one.name, std::move(account.get_object()), one.file});
  }
  return things;
}

const Thing* find(const std::vector<Thing>& things, std::string_view id) {
  const auto found = std::find_if(things.begin(), things.end(), [&](const Thing& thing) { return thing.id == id; });
  return found == things.end() ? nullptr : &*found;
}

std::string etag_of(const Thing& thing) { return admin::etag_of(thing.id + "\n" + json::serialize(thing.definition)); }

/// The files in force, and their version.
void with_files(const CallPtr& call, std::function<void(std::int64_t, std::vector<policy::SourceFile>)> then) {
  const std::int64_t version = call->administration.authority().policy_version;
  if (version == 0) return then(0, {});
  call->administration.find_policy_version(version, [call, version, then = std::move(then)](const Result<authority::PolicyVersion>& found) {
    if (!found) return call->refuse(found.error());
    std::vector<policy::SourceFile> files;
    for (const authority::PolicyFile& file : found->files) files.push_back({file.name, file.content});
    then(version, std::move(files));
  });
}

json::object row_of(const Kind& kind, const Thing& thing) {
  json::object row{{"id", thing.id}, {"name", thing.id}};
  if (kind.name == "accounts") row["target"] = thing.id.substr(thing.id.rfind('@') + 1);
  for (const auto& [key, value] : thing.definition)
    if (key != "name") row[key] = value;
  row["definition"] = thing.definition;
  row["file"] = thing.file;
  return row;
}

void reply_thing(const CallPtr& call, const Thing& thing, json::object body) {
  body["id"] = thing.id;
  body["definition"] = thing.definition;
  body["file"] = thing.file;
  net::HttpResponse response;
  response.headers["ETag"] = etag_of(thing);
  response.body = json::serialize(body) + "\n";
  if (matches_etag(call->request.header("if-none-match"), response.headers["ETag"]) && !call->request.header("if-none-match").empty()) {
    response.status = 304;
    response.body.clear();
  }
  call->answer(std::move(response));
}

void refuse_missing(const CallPtr& call) { call->refuse(Error{Errc::not_found, "there is no " + call->parts[2] + " among the " + call->parts[1]}); }

/// False, and answered, when the state that the caller knows is not the present one.
bool knows_state(const CallPtr& call, const Thing* present) {
  const std::string wanted = call->request.header("if-match");
  if (present == nullptr) {
    if (call->request.method == "DELETE") refuse_missing(call);
    else if (!wanted.empty()) call->refuse_status(412, "SP-7021", "there is nothing here now");
    else return true;
    return false;
  }
  if (call->request.method == "POST") call->refuse(Error{Errc::conflict, present->id + " exists already; change it with PUT"});
  else if (call->request.header("if-none-match") == "*") call->refuse_status(412, "SP-7021", "it exists already");
  else if (wanted.empty()) call->refuse_status(428, "SP-7022", "");
  else if (!matches_etag(wanted, etag_of(*present))) call->refuse_status(412, "SP-7021", "");
  else return true;
  return false;
}

void refuse_at(const CallPtr& call, const std::string& pointer, const std::string& message) {
  call->refuse_with(Error{Errc::invalid, "1 problem; nothing was changed"}, "SP-7001", json::array{json::object{{"pointer", pointer}, {"message", message}}});
}

/// The definition with its name in front.
json::object named(std::string_view name, const json::object& definition) {
  json::object out{{"name", name}};
  for (const auto& [key, value] : definition)
    if (key != "name") out.emplace(key, value);
  return out;
}

/// What is to be edited in the files; nothing, and answered, when it cannot be. An empty `definition`: it goes.
std::optional<policy::Edit> edit_of(const CallPtr& call, const Kind& kind, const std::string& id, const std::optional<json::object>& definition,
                                    const std::vector<policy::SourceFile>& files) {
  if (kind.part.empty()) return policy::Edit{std::string(kind.list), id, definition ? json::serialize(named(id, *definition)) : std::string()};
  const bool is_account = kind.name == "accounts";
  const auto at = id.rfind('@');
  if (is_account && (at == std::string::npos || at == 0)) {
    call->refuse(Error{Errc::invalid, "an account is named ACCOUNT@TARGET"});
    return std::nullopt;
  }
  const std::string owner = is_account ? id.substr(at + 1) : id;
  const auto owners = things_in(Kind{kind.list, kind.list, ""}, files);
  const Thing* whole = find(owners, owner);
  if (whole == nullptr) {
    call->refuse(Error{Errc::not_found, "there is no " + owner + " among the " + std::string(kind.list)});
    return std::nullopt;
  }
  json::object changed = whole->definition;
  if (!is_account) {
    if (definition) changed["guard"] = definition->contains("guard") ? definition->at("guard") : json::value(json::array());
    else changed.erase("guard");
    return policy::Edit{std::string(kind.list), owner, json::serialize(changed)};
  }
  const std::string account = id.substr(0, at);
  json::value& accounts = changed["accounts"];
  if (!accounts.is_array()) accounts = json::array();
  json::array& all = accounts.get_array();
  const auto found = std::find_if(all.begin(), all.end(), [&](const json::value& one) { return one.is_object() && text_of(one.get_object(), "name") == account; });
  if (!definition) {
    if (found != all.end()) all.erase(found);
  } else if (found != all.end()) {
    *found = named(account, *definition);
  } else {
    all.push_back(named(account, *definition));
  }
  return policy::Edit{std::string(kind.list), owner, json::serialize(changed)};
}

/// Where in the caller's own words a complaint about the files stands.
std::string pointer_in_body(const policy::Diagnostic& problem, const policy::Edit& edit, const policy::Edited& edited, const Kind& kind) {
  std::size_t index = 0;
  for (const policy::Defined& one : policy::definitions_in(edited.files, edit.list)) {
    if (one.file != edited.file) continue;
    if (one.name == edit.name) {
      const std::string prefix = "/" + edit.list + "/" + std::to_string(index);
      if (problem.file != edited.file || !kind.part.empty() || (problem.pointer != prefix && !problem.pointer.starts_with(prefix + "/"))) return problem.pointer;
      return "/definition" + problem.pointer.substr(prefix.size());
    }
    ++index;
  }
  return problem.pointer;
}

void apply(const CallPtr& call, const Kind& kind, const policy::Edit& edit, policy::Edited edited, const std::string& id, bool is_new, const std::string& reason) {
  auto shown = std::make_shared<policy::Edited>(edited);
  call->administration.apply(call->who, std::move(edited.files), reason, {}, [call, kind, edit, shown, id, is_new](const Result<authority::PolicyAnswer>& answer) {
    if (!answer) return call->refuse(answer.error());
    if (!answer->problems.empty()) {
      json::array errors;
      for (const policy::Diagnostic& problem : answer->problems)
        errors.push_back(json::object{{"pointer", pointer_in_body(problem, edit, *shown, kind)}, {"file", problem.file}, {"line", problem.line}, {"column", problem.column}, {"message", problem.message}});
      const std::string count = std::to_string(errors.size());
      return call->refuse_with(Error{Errc::invalid, count + (count == "1" ? " problem" : " problems") + "; nothing was changed"}, "SP-7001", std::move(errors));
    }
    json::object out = plan_object(*answer);
    out["id"] = id;
    out["file"] = shown->file;
    out["comments_lost"] = shown->rewritten;
    if (call->who.dry_run) out["dry_run"] = true;
    const auto things = things_in(kind, shown->files);
    const Thing* thing = find(things, id);
    if (thing != nullptr) out["definition"] = thing->definition;
    net::HttpResponse response;
    response.status = !answer->request.empty() ? 202 : is_new ? 201 : 200;
    if (thing != nullptr && answer->applied) response.headers["ETag"] = etag_of(*thing);
    response.body = json::serialize(out) + "\n";
    call->answer(std::move(response));
  });
}

void change(const CallPtr& call, std::string id, std::optional<json::object> definition, const std::string& reason) {
  with_files(call, [call, id = std::move(id), definition = std::move(definition), reason](std::int64_t version, const std::vector<policy::SourceFile>& files) {
    const Kind& kind = kind_of(*call);
    const auto things = things_in(kind, files);
    const Thing* present = find(things, id);
    if (!knows_state(call, present)) return;
    const auto edit = edit_of(call, kind, id, definition, files);
    if (!edit) return;
    auto edited = policy::edit_policy(files, *edit);
    if (!edited) return call->refuse(edited.error());
    if (version != call->administration.authority().policy_version) return call->refuse(Error{Errc::conflict, "another policy was applied at the same time"});
    apply(call, kind, *edit, *std::move(edited), id, present == nullptr, reason);
  });
}

}  // namespace

void reply_defined(const CallPtr& call, json::object known) {
  with_files(call, [call, known = std::move(known)](std::int64_t, const std::vector<policy::SourceFile>& files) {
    const auto things = things_in(kind_of(*call), files);
    const Thing* thing = find(things, call->parts[2]);
    if (thing == nullptr) return refuse_missing(call);
    reply_thing(call, *thing, known.empty() ? row_of(kind_of(*call), *thing) : known);
  });
}

void list_definitions(const CallPtr& call) {
  with_files(call, [call](std::int64_t, const std::vector<policy::SourceFile>& files) {
    const Kind& kind = kind_of(*call);
    json::array rows;
    for (const Thing& thing : things_in(kind, files)) rows.push_back(row_of(kind, thing));
    if (kind.name != "certificate-authorities") return reply_page(call, kind.name, std::move(rows), "id");
    // With the gateway's own, which nobody changes here.
    call->administration.public_keys([call, rows = std::move(rows)](const Result<control::PublicKeySet>& keys) mutable {
      if (!keys) return call->refuse(keys.error());
      for (const auto& [id, blob] : {std::pair<const char*, const std::string&>("gateway/users", keys->user_ca()), std::pair<const char*, const std::string&>("gateway/hosts", keys->host_ca())}) {
        const auto key = crypto::SshPublicKey::parse_blob(bytes_of(blob));
        rows.push_back(json::object{{"id", id}, {"name", id}, {"own", true}, {"key", key ? key->line() : std::string()}, {"file", ""}, {"definition", json::object()}});
      }
      reply_page(call, "certificate-authorities", std::move(rows), "id");
    });
  });
}

void serve_definition(const CallPtr& call) {
  const std::string& method = call->request.method;
  if (!call->may(method == "GET" ? policy::AdminRight::audit : policy::AdminRight::policy)) return;
  const bool is_post = method == "POST";
  if (call->parts.size() != (is_post ? 2U : 3U) || (!is_post && call->parts[2].empty())) return call->refuse(Error{Errc::not_found, "there is nothing to " + method + " at " + call->request.path});
  if (method == "GET") return reply_defined(call, {});
  if (method == "DELETE") {
    const auto body = call->body({{"reason", Field::Type::text, false, 1024}});
    if (body) change(call, call->parts[2], std::nullopt, text_of(*body, "reason"));
    return;
  }
  const auto body = call->body({{"definition", Field::Type::map, true, 64}, {"id", Field::Type::text, false, 255}, {"reason", Field::Type::text, false, 1024}});
  if (!body) return;
  json::object definition = body->at("definition").get_object();
  const Kind& kind = kind_of(*call);
  const std::string given = text_of(definition, "name");
  std::string id = is_post ? text_of(*body, "id", kind.part.empty() ? given : std::string()) : call->parts[2];
  if (!is_post && body->contains("id")) return refuse_at(call, "/id", "the path names it");
  if (id.empty()) return refuse_at(call, kind.part.empty() ? "/definition/name" : "/id", "this is needed: a text");
  const std::string own_name = kind.name == "accounts" ? id.substr(0, id.rfind('@')) : id;
  if (definition.contains("name") && (kind.name == "guard-rules" || given != own_name)) return refuse_at(call, "/definition/name", "it is called " + own_name + " here, and a name does not change");
  if (kind.name == "guard-rules" && (definition.size() != 1 || !definition.contains("guard"))) return refuse_at(call, "/definition", "it holds `guard` and nothing else");
  change(call, std::move(id), std::move(definition), text_of(*body, "reason"));
}

}  // namespace sallyport::admin
