// POST /v1/plan, POST /v1/apply, GET /v1/policy
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "admin/api/paging.h"
#include "admin/api/look_back.h"
#include "admin/api/policy_json.h"
#include "platform/crypto/base64.h"
#include "platform/model/bytes.h"
#include "policy/authority/authority.h"

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
    for (const auto& [key, value] : entry) {
      if (key != "name" && key != "content" && key != "content_base64") return fail(Errc::invalid, "a file has no `" + std::string(key) + "`");
      if (!value.is_string()) return fail(Errc::invalid, "a file's `" + std::string(key) + "` must be a text");
    }
    if (entry.contains("content") == entry.contains("content_base64")) return fail(Errc::invalid, "a file has either `content` or `content_base64`");
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

}  // namespace

json::object plan_object(const authority::PolicyAnswer& answer) {
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
  json::array idle;
  for (const policy::IdleRule& rule : plan.idle) idle.push_back(json::object{{"rule", rule.rule.str()}, {"why", rule.why}});
  json::array uncovered;
  for (const policy::RuleReference& rule : plan.coverage.uncovered) uncovered.push_back(json::value(rule.str()));
  std::string text = plan.text();
  if (answer.applied) text += "applied as version " + std::to_string(answer.version) + "\n";
  if (!answer.request.empty()) text += "waiting for another person's approval, request " + answer.request + "; then send the same again\n";
  return json::object{{"text", text},
                      {"plan", answer.hash},
                      {"request", answer.request},
                      {"idle_rules", std::move(idle)},
                      {"tests", plan.tests},
                      {"rules", plan.coverage.rules},
                      {"rules_tested", plan.coverage.covered},
                      {"rules_untested", std::move(uncovered)},
                      {"no_changes", plan.no_changes},
                      {"version", answer.version},
                      {"applied", answer.applied},
                      {"changes", std::move(changes)},
                      {"access", std::move(access)},
                      {"access_in_all", plan.access_in_all},
                      {"admin", std::move(admin)},
                      {"ending", std::move(ending)}};
}

namespace {

void tell(const CallPtr& call, const authority::PolicyAnswer& answer) {
  if (!answer.problems.empty())
    return call->refuse_with(Error{Errc::invalid, std::to_string(answer.problems.size()) + " problem(s); nothing was changed"}, "SP-7001",
                             problems_of(answer.problems));
  call->reply(plan_object(answer));
}

}  // namespace

void serve_plan(const CallPtr& call) {
  if (!call->may(policy::AdminRight::policy)) return;
  const auto body = call->body({{"files", Field::Type::list, true, 1000}, {"replay", Field::Type::text, false, 32}});
  if (!body) return;
  const auto files = files_of(*body);
  if (!files) return call->refuse(files.error());
  const authority::PolicyAnswer answer = call->administration.plan(*files);
  const std::string replay = text_of(*body, "replay");
  if (replay.empty() || !answer.problems.empty()) return tell(call, answer);
  const auto back = parse_lasts(replay);
  if (!back) return call->refuse_with(back.error(), "SP-7001", json::array{json::object{{"pointer", "/replay"}, {"message", back.error().detail}}});
  look_back(call, plan_object(answer), body->at("files").get_array(), *back);
}

void serve_apply(const CallPtr& call) {
  if (!call->may(policy::AdminRight::policy)) return;
  const auto body = call->body({{"files", Field::Type::list, true, 1000}, {"reason", Field::Type::text, false, 1024}, {"plan", Field::Type::text, false, 64}});
  if (!body) return;
  auto files = files_of(*body);
  if (!files) return call->refuse(files.error());
  call->administration.apply(call->who, std::move(*files), text_of(*body, "reason"), text_of(*body, "plan"), [call](const Result<authority::PolicyAnswer>& answer) {
    if (!answer) return call->refuse(answer.error());
    authority::PolicyAnswer told = *answer;
    if (!told.problems.empty()) return tell(call, told);
    json::object out = plan_object(told);
    if (call->who.dry_run) out["dry_run"] = true;
    call->reply(out, told.request.empty() ? 200 : 202);
  });
}

namespace {

json::object object_of(const authority::PolicyVersion& version) {
  return json::object{{"version", version.version},         {"applied", utc_text(version.applied_us)}, {"by", version.by},
                      {"reason", version.reason},           {"digest", version.digest},                {"intent_sequence", version.intent_sequence}};
}

/// /v1/policy/{version}
void one_version(const CallPtr& call, std::int64_t number) {
  call->administration.find_policy_version(number, [call](const Result<authority::PolicyVersion>& version) {
    if (!version) return call->refuse(version.error());
    json::object out = object_of(*version);
    json::array files;
    for (const authority::PolicyFile& file : version->files) {
      json::object entry{{"name", file.name}};
      const bool is_text = file.name.ends_with(".yaml") || file.name.ends_with(".yml") || file.name.ends_with(".json");
      if (is_text) entry.emplace("content", file.content);
      else entry.emplace("content_base64", crypto::to_base64(bytes_of(file.content)));
      files.push_back(std::move(entry));
    }
    out["files"] = std::move(files);
    call->reply(out);
  });
}

/// /v1/policy/reach?target=X&at=MOMENT: who could reach it then, by the policy of that moment (locks and approvals are not looked at).
void reach(const CallPtr& call) {
  const std::string target = call->request.argument("target");
  if (target.empty()) return call->refuse(Error{Errc::invalid, "name a target"});
  WallTime at = call->administration.authority().now();
  if (const std::string text = call->request.argument("at"); !text.empty()) {
    const auto moment = parse_utc(text);
    if (!moment) return call->refuse(moment.error());
    at = *moment;
  }
  call->administration.find_policy_at(at, [call, target, at](const Result<authority::PolicyVersion>& version) {
    if (!version) return call->refuse(Error{version.error().code, "no policy of that moment is kept: " + version.error().detail});
    std::vector<policy::SourceFile> files;
    for (const authority::PolicyFile& file : version->files) files.push_back({file.name, file.content});
    const auto loaded = policy::load_policy(files);
    if (!loaded.snapshot) return call->refuse(Error{Errc::corrupt, "the policy of that moment cannot be read any more"});
    const policy::Target* there = loaded.snapshot->find_target(target);
    if (there == nullptr) return call->refuse(Error{Errc::not_found, "policy version " + std::to_string(version->version) + " has no target " + target});
    json::array rows;
    const policy::Locks none;
    for (const policy::Principal& principal : loaded.snapshot->principals()) {
      for (const policy::Account& account : there->accounts) {
        policy::AccessRequest request;
        request.principal = principal.name;
        request.target = there->name;
        request.account = account.name;
        request.now = at;
        request.factors = {{policy::FactorKind::key, at, false}, {policy::FactorKind::totp, at, false}};
        const policy::Decision decision = policy::decide(*loaded.snapshot, none, request);
        // Where she came from and at what hour is not known here: such conditions could have been met.
        const bool could = decision.allowed() || decision.outcome == policy::Outcome::ask || decision.code == "SP-2007" || decision.code == "SP-2008" || decision.code == "SP-1010";
        if (!could) continue;
        rows.push_back(json::object{{"principal", principal.name.str()},
                                    {"account", account.name.str()},
                                    {"how", decision.allowed() ? "open" : decision.outcome == policy::Outcome::ask ? "on request" : "under conditions"},
                                    {"rule", decision.rule.str()}});
      }
    }
    call->reply(json::object{{"version", version->version}, {"target", target}, {"at", utc_text(at)}, {"reach", std::move(rows)}});
  });
}

}  // namespace

void serve_policy_versions(const CallPtr& call) {
  if (!call->may(policy::AdminRight::audit)) return;
  if (call->parts.size() == 3 && call->parts[2] == "reach") return reach(call);
  if (call->parts.size() == 3) {
    const std::string& text = call->parts[2];
    if (text.empty() || text.size() > 15 || text.find_first_not_of("0123456789") != std::string::npos) return call->refuse(Error{Errc::not_found, "no policy version " + text});
    return one_version(call, std::stoll(text));
  }
  if (call->parts.size() > 3) return call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
  call->administration.list_policy_versions([call](const Result<std::vector<authority::PolicyVersion>>& versions) {
    if (!versions) return call->refuse(versions.error());
    json::array out;
    for (const auto& version : *versions) out.push_back(object_of(version));
    reply_page(call, "versions", std::move(out), "version", Order::falling);
  });
}

}  // namespace sallyport::admin
