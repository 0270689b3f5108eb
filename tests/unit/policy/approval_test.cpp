// Roles on request: when the engine asks, what an approval opens, what stays closed.
#include "policy_fixture.h"

#include "policy/access/plan.h"

namespace sallyport::policy::test {
namespace {

const std::string k_on_request =
    "groups:\n  - {name: seniors, members: [guest]}\n"
    "roles:\n"
    "  - {name: r, approval: {approvers: seniors, count: 2, within: 5m, lasts: 1h}, allow: [{channels: [shell, exec], targets: all, accounts: [deploy]}],"
    " deny: [{targets: {names: [db-1]}}]}\n"
    "  - {name: plain, allow: [{channels: [exec], targets: {names: [api-2]}, accounts: [deploy]}]}\n"
    "bindings:\n  - {role: r, principals: [engineer]}\n  - {role: plain, principals: [engineer]}\n";

std::string with_groups() {
  std::string text = fleet_with("");
  const auto at = text.find("groups:\n");
  const auto end = text.find("targets:\n");
  return text.substr(0, at) + text.substr(end) + k_on_request;
}

TEST_CASE("a role on request makes the engine ask, with the approvers that the policy names", "[policy][approval]") {
  const auto snapshot = must_load(with_groups());
  const Decision decision = decide(*snapshot, {}, ask(ChannelKind::shell));
  CHECK(decision.outcome == Outcome::ask);
  CHECK(decision.code == "SP-9201");
  CHECK(decision.rule.role == "r");
  CHECK(decision.approval.approvers == "seniors");
  CHECK(decision.approval.count == 2);
  CHECK(decision.approval.within == 5min);
  CHECK(decision.approval.lasts == 1h);
  CHECK(code_of(*snapshot, ask(ChannelKind::connect)) == "SP-9201");
}

TEST_CASE("an approval opens what its role allows and nothing else", "[policy][approval]") {
  const auto snapshot = must_load(with_groups());
  AccessRequest request = ask(ChannelKind::shell);
  request.approvals = {"r"};
  CHECK(code_of(*snapshot, request) == "allow");
  request.kind = ChannelKind::sftp;
  CHECK(code_of(*snapshot, request) == "SP-2009");
  request.kind = ChannelKind::shell;
  request.approvals = {"other"};
  CHECK(code_of(*snapshot, request) == "SP-9201");
}

TEST_CASE("a deny rule of a role on request holds with and without an approval", "[policy][approval]") {
  const auto snapshot = must_load(with_groups());
  AccessRequest request = ask(ChannelKind::shell, "db-1");
  CHECK(code_of(*snapshot, request) == "SP-2002");
  request.approvals = {"r"};
  CHECK(code_of(*snapshot, request) == "SP-2002");
}

TEST_CASE("what another role gives without asking is not asked for", "[policy][approval]") {
  const auto snapshot = must_load(with_groups());
  CHECK(code_of(*snapshot, ask(ChannelKind::exec, "api-2")) == "allow");
  CHECK(code_of(*snapshot, ask(ChannelKind::shell, "api-2")) == "SP-9201");
}

TEST_CASE("a jump asks only in the session that it leads to", "[policy][approval]") {
  const auto snapshot = must_load(fleet_with("roles:\n  - {name: r, approval: {}, allow: [{channels: [shell, jump], targets: all, accounts: [deploy]}]}\n"
                                             "bindings:\n  - {role: r, principals: [engineer]}\n"));
  AccessRequest request = ask(ChannelKind::jump);
  request.account = AccountName();
  CHECK(code_of(*snapshot, request) == "allow");
  const Decision decision = decide(*snapshot, {}, ask(ChannelKind::shell));
  CHECK(decision.approval.approvers.empty());
  CHECK(decision.approval.count == 1);
}

TEST_CASE("targets on request are listed as such", "[policy][approval]") {
  const auto snapshot = must_load(with_groups());
  const auto rows = list_reachable(*snapshot, {}, ask(ChannelKind::connect));
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].needs_approval);
  CHECK_FALSE(rows[0].needs_second_factor);
  CHECK_FALSE(rows[1].needs_approval);
}

TEST_CASE("making a role one on request is a change that the plan names", "[policy][approval]") {
  const std::string with = with_groups();
  std::string without = with;
  const std::string clause = "approval: {approvers: seniors, count: 2, within: 5m, lasts: 1h}, ";
  without.erase(without.find(clause), clause.size());
  const auto before = must_load(without);
  const auto after = must_load(with);
  CHECK(before->digest() != after->digest());
  const Plan plan = make_plan(*before, *after, {}, {}, k_noon);
  REQUIRE(plan.access.size() >= 1);
  CHECK(plan.access.front().conditions_changed);
}

TEST_CASE("a wrong approval is refused with its place", "[policy][approval]") {
  for (const char* wrong : {"{approvers: nobody}", "{count: 0}", "{count: 11}", "{within: 8d}", "{within: soon}", "{many: 2}", "[]"}) {
    const Loaded loaded = load_text(fleet_with(std::string("roles:\n  - {name: r, approval: ") + wrong + ", allow: [{channels: [shell], targets: all, accounts: [deploy]}]}\n"));
    INFO(wrong);
    CHECK(loaded.snapshot == nullptr);
    REQUIRE_FALSE(loaded.problems.empty());
    CHECK(loaded.problems.front().line > 0);
  }
}

TEST_CASE("a machine has rights on the admin side only by a token, and never the one to approve", "[policy][approval]") {
  const auto snapshot = must_load(fleet_with("roles:\n  - {name: a, admin: [audit, approve]}\nbindings:\n  - {role: a, principals: [robot, engineer]}\n"));
  const auto may = [&](const char* who, AdminRight right, bool by_token) { return decide_admin(*snapshot, {}, {PrincipalId(who), right, k_noon, by_token}).allowed(); };
  CHECK_FALSE(may("robot", AdminRight::audit, false));
  CHECK(may("robot", AdminRight::audit, true));
  CHECK_FALSE(may("robot", AdminRight::approve, true));
  CHECK(may("engineer", AdminRight::approve, false));
}

}  // namespace
}  // namespace sallyport::policy::test
