#include <catch2/catch.hpp>

#include "policy/access/engine.h"
#include "policy/access/load.h"
#include "policy/guard/guard.h"

using namespace sallyport;
using namespace sallyport::policy;

namespace {

constexpr const char* k_head = R"(principals:
  - name: engineer
    type: person
    keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2Fn0Z8Q9TQK5lXQ5q8mYwV1bq9mPz4dY0b0bqk1v0x engineer"]
targets:
  - {name: prod-db-1, address: 127.0.0.1, port: 22, labels: {env: prod}, host_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2Fn0Z8Q9TQK5lXQ5q8mYwV1bq9mPz4dY0b0bqk1v0x"], accounts: [{name: root}, {name: deploy}]}
  - {name: dev-1, address: 127.0.0.1, port: 22, labels: {env: dev}, host_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2Fn0Z8Q9TQK5lXQ5q8mYwV1bq9mPz4dY0b0bqk1v0x"], accounts: [{name: deploy}]}
bindings:
  - {role: operator, principals: [engineer]}
)";

Loaded load(const std::string& guard) {
  const std::string role = "roles:\n  - name: operator\n    allow:\n      - {channels: [shell, exec, sftp], targets: all, accounts: [\"*\"]}\n";
  const std::vector<SourceFile> files{{"policy.yaml", std::string(k_head) + role + guard}};
  return load_policy(files);
}
std::string problems_of(const Loaded& loaded) {
  std::string all;
  for (const Diagnostic& problem : loaded.problems) all += problem.str() + "\n";
  return all;
}
Decision ask(const Loaded& loaded, const std::string& target, ChannelKind kind = ChannelKind::shell, const std::string& account = "deploy") {
  AccessRequest request;
  request.principal = PrincipalId("engineer");
  request.target = TargetId(target);
  request.account = AccountName(account);
  request.kind = kind;
  request.source = *IpAddress::parse("127.0.0.1");
  request.factors = {{FactorKind::key, request.now, false}};
  return decide(*loaded.snapshot, Locks{}, request);
}
guard::Verdict verdict(const Decision& decision, const std::string& command) {
  REQUIRE(decision.obligations.guard_rules);
  const auto set = guard::RuleSet::from_bytes(*decision.obligations.guard_rules);
  REQUIRE(set);
  return guard::Guard(*set).judge(command, guard::Dialect::shell, guard::Origin::script).verdict;
}

}  // namespace

TEST_CASE("a role's guard goes with the decision for commands, by target label and account", "[guard][policy]") {
  const Loaded loaded = load(R"(    guard:
      - targets: {labels: {env: prod}}
        packs: [destructive]
        opaque: deny
        rules:
          - id: no-etc
            reason: prod's configuration is deployed
            verdict: approve
            writes: ["/etc/**"]
            tests:
              - {command: "cp x /etc/app.conf", expect: approve}
              - {command: "cat /etc/app.conf", expect: quiet}
        verdicts: {destructive/service-stop: confirm}
      - accounts: [root]
        allow_only: ["uptime"]
)");
  INFO(problems_of(loaded));
  REQUIRE(loaded.snapshot);
  const Decision prod = ask(loaded, "prod-db-1");
  REQUIRE(prod.allowed());
  CHECK(verdict(prod, "rm -rf /data") == guard::Verdict::deny);
  CHECK(verdict(prod, "cp x /etc/app.conf") == guard::Verdict::approve);
  CHECK(verdict(prod, "systemctl stop nginx") == guard::Verdict::confirm);
  CHECK(verdict(prod, "ssh db-2") == guard::Verdict::allow);
  CHECK_FALSE(ask(loaded, "dev-1").obligations.guard_rules);
  CHECK(ask(loaded, "prod-db-1", ChannelKind::exec).obligations.guard_rules);
  CHECK_FALSE(ask(loaded, "prod-db-1", ChannelKind::sftp).obligations.guard_rules);
  const Decision root = ask(loaded, "prod-db-1", ChannelKind::shell, "root");
  CHECK(verdict(root, "uptime") == guard::Verdict::allow);
  CHECK(verdict(root, "id") == guard::Verdict::deny);
}

TEST_CASE("wrong guard rules are refused with file, line, column, pattern and fix", "[guard][policy]") {
  const auto has = [](const std::string& guard, const std::string& text) {
    const Loaded loaded = load(guard);
    INFO(problems_of(loaded));
    CHECK_FALSE(loaded.snapshot);
    CHECK(problems_of(loaded).find(text) != std::string::npos);
    CHECK(problems_of(loaded).find("policy.yaml:") != std::string::npos);
  };
  has("    guard:\n      - packs: [destructve]\n", "did you mean `destructive`");
  has("    guard:\n      - packs: [all]\n        opaque: maybe\n", "unknown verdict `maybe`");
  has("    guard:\n      - packs: [all]\n        opaque: {unseen: deny}\n", "unknown kind `unseen`");
  has("    guard:\n      - rules:\n          - {id: x, reason: r, pattern: 'rm (', verdict: deny}\n", "rm (");
  has("    guard:\n      - rules:\n          - {id: x, reason: r, programs: [rm], tests: [{command: ls, expect: deny}]}\n", "does not fire");
  has("    guard:\n      - rules:\n          - {id: x, reason: r}\n", "every command");
  has("    guard:\n      - packs: [all]\n        verdicts: {hops/nothing: allow}\n", "no rule");
  has("    guard:\n      - {}\n", "guards nothing");
  has("    guard:\n      - allow_only: [ls]\n        features: [pipes]\n", "unknown feature `pipes`");
}
