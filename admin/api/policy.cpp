// POST /v1/plan, POST /v1/apply, GET /v1/policy
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "platform/crypto/base64.h"
#include "platform/model/bytes.h"

namespace sallyport::admin {
namespace {

/// {"files": [{"name": "roles.yaml", "content": "..."} or {"name": "x.krl", "content_base64": "..."}]}
Result<std::vector<policy::SourceFile>> files_of(const json::object& body) {
  const json::value* list = body.if_contains("files");
  if (list == nullptr || !list->is_array()) return fail(Errc::invalid, "`files` must be a list of {name, content}");
  std::vector<policy::SourceFile> files;
  for (const json::value& each : list->get_array()) {
    if (!each.is_object()) return fail(Errc::invalid, "`files` must be a list of {name, content}");
    const json::object& entry = each.get_object();
    policy::SourceFile file;
    file.name = text_of(entry, "name");
    if (file.name.empty() || file.name.size() > 255 || file.name.find('/') != std::string::npos)
      return fail(Errc::invalid, "a file needs a plain name");
    if (entry.if_contains("content_base64") != nullptr) {
      auto bytes = crypto::from_base64(text_of(entry, "content_base64"));
      if (!bytes) return fail_in(file.name, bytes.error());
      file.content = sallyport::text_of(*bytes);
    } else {
      file.content = text_of(entry, "content");
    }
    files.push_back(std::move(file));
  }
  return files;
}

json::array problems_of(const std::vector<policy::Diagnostic>& problems) {
  json::array out;
  for (const policy::Diagnostic& problem : problems)
    out.push_back(json::object{{"pointer", problem.pointer},
                               {"file", problem.file},
                               {"line", problem.line},
                               {"column", problem.column},
                               {"message", problem.message}});
  return out;
}

json::array rights_of(const std::vector<policy::AdminRight>& rights) {
  json::array out;
  for (const policy::AdminRight right : rights) out.emplace_back(policy::name_of(right));
  return out;
}

json::object object_of(const authority::PolicyAnswer& answer) {
  const policy::Plan& plan = answer.plan;
  json::array changes;
  for (const policy::PlanChange& change : plan.changes) {
    json::array fields(change.fields.begin(), change.fields.end());
    const char* verb = change.verb == policy::PlanChange::Verb::added ? "added" : change.verb == policy::PlanChange::Verb::removed ? "removed" : "changed";
    changes.push_back(json::object{{"verb", verb}, {"kind", change.kind}, {"name", change.name}, {"fields", std::move(fields)}});
  }
  json::array access;
  for (const policy::AccessChange& change : plan.access)
    access.push_back(json::object{{"principal", change.principal.str()},
                                  {"target", change.target.str()},
                                  {"account", change.account.str()},
                                  {"gains", change.gains.str()},
                                  {"loses", change.loses.str()},
                                  {"conditions_changed", change.conditions_changed}});
  json::array admin;
  for (const policy::AdminChange& change : plan.admin)
    admin.push_back(json::object{{"principal", change.principal.str()}, {"gains", rights_of(change.gains)}, {"loses", rights_of(change.loses)}});
  json::array ending;
  for (const policy::SessionEffect& effect : plan.ending)
    ending.push_back(json::object{{"session", effect.session},
                                  {"principal", effect.principal.str()},
                                  {"target", effect.target.str()},
                                  {"account", effect.account.str()},
                                  {"code", effect.decision.code},
                                  {"why", effect.decision.why}});
  return json::object{{"text", plan.text()},
                      {"no_changes", plan.no_changes},
                      {"version", answer.version},
                      {"applied", answer.applied},
                      {"changes", std::move(changes)},
                      {"access", std::move(access)},
                      {"access_in_all", plan.access_in_all},
                      {"admin", std::move(admin)},
                      {"ending", std::move(ending)}};
}

void tell(const CallPtr& call, const authority::PolicyAnswer& answer) {
  if (!answer.problems.empty())
    return call->refuse_with(Error{Errc::invalid, std::to_string(answer.problems.size()) + " problem(s); nothing was changed"}, "SP-7001",
                             problems_of(answer.problems));
  call->reply(object_of(answer));
}

}  // namespace

void serve_plan(const CallPtr& call) {
  if (!call->may(policy::AdminRight::policy)) return;
  const auto body = call->body();
  if (!body) return;
  const auto files = files_of(*body);
  if (!files) return call->refuse(files.error());
  tell(call, call->administration.plan(*files));
}

void serve_apply(const CallPtr& call) {
  if (!call->may(policy::AdminRight::policy)) return;
  const auto body = call->body();
  if (!body) return;
  auto files = files_of(*body);
  if (!files) return call->refuse(files.error());
  call->administration.apply(call->who, std::move(*files), text_of(*body, "reason"), [call](const Result<authority::PolicyAnswer>& answer) {
    if (!answer) return call->refuse(answer.error());
    authority::PolicyAnswer told = *answer;
    if (!told.problems.empty()) return tell(call, told);
    json::object out = object_of(told);
    if (told.applied) out["text"] = std::string(std::string_view(out["text"].get_string())) + "applied as version " + std::to_string(told.version) + "\n";
    call->reply(out);
  });
}

void serve_policy_versions(const CallPtr& call) {
  if (!call->may(policy::AdminRight::audit)) return;
  call->administration.list_policy_versions([call](const Result<std::vector<authority::PolicyVersion>>& versions) {
    if (!versions) return call->refuse(versions.error());
    json::array out;
    for (const auto& version : *versions)
      out.push_back(json::object{{"version", version.version},
                                 {"applied", utc_text(version.applied_us)},
                                 {"by", version.by},
                                 {"reason", version.reason},
                                 {"digest", version.digest},
                                 {"intent_sequence", version.intent_sequence}});
    call->reply(json::object{{"versions", std::move(out)}});
  });
}

}  // namespace sallyport::admin
