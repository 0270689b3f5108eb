#include "app/verbs/guard_sources.h"

#include <boost/json.hpp>

#include "app/verbs/admin_client.h"
#include "platform/crypto/hex.h"
#include "platform/model/clock.h"
#include "policy/access/engine.h"
#include "policy/access/load.h"
#include "policy/guard/packs/packs.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

Result<GuardRules> made_of(std::span<const std::byte> bytes, std::string origin) {
  auto set = guard::RuleSet::from_bytes(bytes);
  if (!set) return tl::unexpected(set.error());
  GuardRules rules{*std::move(set), std::move(origin)};
  rules.origin += ", rule set " + rules.set->id();
  return rules;
}

Result<GuardRules> from_folder(const std::string& folder, const GuardSubject& subject) {
  auto files = policy::read_policy_folder(folder);
  if (!files) return tl::unexpected(files.error());
  const policy::Loaded loaded = policy::load_policy(*files);
  if (!loaded.snapshot) return fail(Errc::invalid, loaded.problems.empty() ? "the policy cannot be read" : loaded.problems.front().str());
  policy::AccessRequest request;
  request.principal = PrincipalId(subject.principal);
  request.target = TargetId(subject.target);
  request.account = AccountName(subject.account);
  request.kind = policy::ChannelKind::shell;
  request.now = system_clock().wall();
  request.factors = {{policy::FactorKind::key, request.now, false}, {policy::FactorKind::totp, request.now, false}};
  request.source = *IpAddress::parse("127.0.0.1");
  const policy::Target* target = loaded.snapshot->find_target(subject.target);
  if (target == nullptr) return fail(Errc::not_found, "there is no target `" + subject.target + "` in " + folder);
  policy::Decision decision;
  for (const policy::Account& account : target->accounts) {
    if (!subject.account.empty() && account.name.view() != subject.account) continue;
    request.account = account.name;
    for (const policy::ChannelKind kind : {policy::ChannelKind::shell, policy::ChannelKind::exec}) {
      request.kind = kind;
      decision = policy::decide(*loaded.snapshot, policy::Locks{}, request);
      if (decision.allowed()) break;
    }
    if (decision.allowed()) break;
  }
  if (!decision.allowed()) return fail(Errc::denied, decision.code + " " + decision.why);
  const std::string origin = request.account.str() + " at " + subject.target + ", " + decision.rule.str();
  if (!decision.obligations.guard_rules) return GuardRules{guard::RuleSet::none(), origin + ": no `guard:`, nothing is judged"};
  return made_of(*decision.obligations.guard_rules, origin);
}

Result<GuardRules> from_gateway(const Common& common, const GuardSubject& subject) {
  auto client = AdminClient::find(common);
  if (!client) return tl::unexpected(client.error());
  auto answer = client->get("/v1/explain" + query_of({{"principal", subject.principal}, {"target", subject.target}, {"account", subject.account}, {"channel", "shell"}, {"guard", "yes"}}));
  if (!answer) return tl::unexpected(answer.error());
  const json::object* object = answer->if_object();
  if (object == nullptr) return fail(Errc::corrupt, "the gateway's answer is not understood");
  const auto text_of = [&](const char* key) {
    const json::value* value = object->if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  const json::value* allowed = object->if_contains("allowed");
  if (allowed == nullptr || !allowed->is_bool() || !allowed->get_bool()) return fail(Errc::denied, text_of("code") + " " + text_of("why"));
  const std::string origin = "the running gateway, " + text_of("rule");
  const std::string hex = text_of("guard_rules");
  if (hex.empty()) return GuardRules{guard::RuleSet::none(), origin + ": no `guard:`, nothing is judged"};
  const auto bytes = crypto::from_hex(hex);
  if (!bytes) return fail(Errc::corrupt, "the gateway's rules are not understood");
  return made_of(*bytes, origin);
}

}  // namespace

Result<GuardRules> find_rules(const Common& common, const std::string& folder, const GuardSubject& subject) {
  const bool names_somebody = !subject.principal.empty() || !subject.target.empty();
  if (names_somebody && (subject.principal.empty() || subject.target.empty())) return fail(Errc::invalid, "give both --as PRINCIPAL and --target TARGET");
  if (!folder.empty() && !names_somebody) return fail(Errc::invalid, "with a folder, say for whom: --as PRINCIPAL --target TARGET");
  if (!folder.empty()) return from_folder(folder, subject);
  if (names_somebody) return from_gateway(common, subject);
  return made_of(guard::encode(guard::full_document()), "every shipped pack");
}

Result<std::vector<std::string>> policy_problems(const std::string& folder) {
  auto files = policy::read_policy_folder(folder);
  if (!files) return tl::unexpected(files.error());
  std::vector<std::string> problems;
  for (const policy::Diagnostic& problem : policy::load_policy(*files).problems) problems.push_back(problem.str());
  return problems;
}

}  // namespace sallyport::app
