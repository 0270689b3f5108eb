// What the policy tests share: a small fleet in YAML, and requests against it.
#pragma once

#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <vector>

#include "policy/access/engine.h"
#include "policy/access/load.h"

namespace sallyport::policy::test {

using namespace std::chrono_literals;

/// Wednesday, 2026-11-18 12:00:00 UTC.
constexpr WallTime k_noon{std::chrono::microseconds(1'795'003'200'000'000)};

inline const std::string k_key_a = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g";
inline const std::string k_key_b = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj9A";

inline std::string describe(const std::vector<Diagnostic>& problems) {
  std::string text;
  for (const Diagnostic& problem : problems) text += problem.str() + "\n";
  return text;
}

inline Loaded load_text(const std::string& yaml) {
  const std::vector<SourceFile> files{SourceFile{"policy.yaml", yaml}};
  return load_policy(files);
}

inline std::shared_ptr<const Snapshot> must_load(const std::string& yaml) {
  Loaded loaded = load_text(yaml);
  INFO(describe(loaded.problems));
  REQUIRE(loaded.snapshot != nullptr);
  return loaded.snapshot;
}

/// People, a machine and three targets; the roles and bindings come from the test.
inline std::string fleet_with(const std::string& roles_and_bindings) {
  return "principals:\n"
         "  - {name: engineer, keys: [\"" + k_key_a + "\"], totp: totp/engineer}\n"
         "  - {name: guest}\n"
         "  - {name: gone, expires: 2026-11-01T00:00:00Z}\n"
         "  - {name: robot, type: machine, networks: [10.20.0.0/16], commands: [\"uptime\", \"restart {part:api|ranker}\", \"deploy {version}\", \"subsystem sftp\"]}\n"
         "groups:\n"
         "  - {name: sre, members: [engineer]}\n"
         "targets:\n"
         "  - {name: api-1, instance: i-1, address: 192.0.2.1, labels: {env: prod, part: api}, host_keys: [\"" + k_key_b + "\"], accounts: [{name: deploy}, {name: root}]}\n"
         "  - {name: api-2, address: 192.0.2.2, port: 2222, labels: {env: staging, part: api}, host_keys: [\"" + k_key_b + "\"], accounts: [{name: deploy}]}\n"
         "  - {name: db-1, address: db.example, labels: {env: prod, part: db}, host_keys: [\"" + k_key_b + "\"], accounts: [{name: deploy}, {name: root}]}\n" +
         roles_and_bindings;
}

/// One role `r` for the engineer and the robot with these rules; each line of YAML indented as the text of `allow` or `deny`.
inline std::string role_with(const std::string& allow, const std::string& deny = "[]") {
  return "roles:\n  - {name: r, allow: " + allow + ", deny: " + deny + "}\nbindings:\n  - {role: r, groups: [sre], principals: [robot, gone]}\n";
}

inline std::shared_ptr<const Snapshot> policy_with(const std::string& allow, const std::string& deny = "[]") {
  return must_load(fleet_with(role_with(allow, deny)));
}

inline AccessRequest ask(ChannelKind kind, const std::string& target = "api-1", const std::string& account = "deploy") {
  AccessRequest request;
  request.principal = PrincipalId("engineer");
  request.factors = {ProvenFactor{FactorKind::key, k_noon - 1h, false}};
  request.source = *IpAddress::parse("10.1.2.3");
  request.target = TargetId(target);
  request.account = AccountName(account);
  request.kind = kind;
  request.now = k_noon;
  return request;
}

inline std::string code_of(const Snapshot& snapshot, const AccessRequest& request, const Locks& locks = {}) {
  const Decision decision = decide(snapshot, locks, request);
  // One engine: the explanation must never tell another story.
  const Explanation explanation = explain(snapshot, locks, request);
  CHECK(explanation.decision.outcome == decision.outcome);
  CHECK(explanation.decision.code == decision.code);
  CHECK(explanation.decision.rule.str() == decision.rule.str());
  CHECK_FALSE(explanation.text().empty());
  if (decision.outcome == Outcome::allow) CHECK(decision.code.empty());
  return decision.allowed() ? "allow" : decision.code;
}

}  // namespace sallyport::policy::test
