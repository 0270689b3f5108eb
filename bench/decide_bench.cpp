// bench/decide_bench.cpp -- how long one access decision takes in a large policy.
//
//   decide_bench [PRINCIPALS TARGETS ROLES ROUNDS]      default 10000 10000 1000 200000
//
// Prints the time to compile the snapshot and, for three kinds of principal, p50/p99/max of decide() in microseconds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "policy/access/engine.h"
#include "policy/access/plan.h"

namespace {

using namespace sallyport;
using namespace sallyport::policy;
using Stopwatch = std::chrono::steady_clock;

struct Size {
  std::size_t principals = 10'000;
  std::size_t targets = 10'000;
  std::size_t roles = 1'000;
  std::size_t rounds = 200'000;
};

constexpr WallTime k_now{std::chrono::microseconds(1'795'003'200'000'000)};

Documents make_documents(const Size& size) {
  Documents d;
  for (std::size_t i = 0; i < size.targets; ++i) {
    Target target;
    target.name = TargetId("target-" + std::to_string(i));
    target.address = "192.0.2.1";
    target.labels = {{"env", i % 3 == 0 ? "prod" : "staging"}, {"part", "part-" + std::to_string(i % 100)}, {"team", "team-" + std::to_string(i % 17)}};
    target.host_keys.push_back(HostKey{"blob", "ssh-ed25519", "SHA256:x"});
    for (const char* name : {"deploy", "root", "readonly"}) {
      Account account;
      account.name = AccountName(name);
      account.credentials.push_back({});
      target.accounts.push_back(account);
    }
    d.targets.push_back(std::move(target));
  }
  for (std::size_t i = 0; i < size.roles; ++i) {
    Role role;
    role.name = "role-" + std::to_string(i);
    for (int r = 0; r < 2; ++r) {
      Rule rule;
      for (const ChannelKind kind : {ChannelKind::shell, ChannelKind::exec, ChannelKind::sftp}) rule.channels.add(kind);
      rule.every_target = false;
      rule.target_labels = {{"part", {"part-" + std::to_string(i % 100), "part-" + std::to_string((i + 7) % 100)}}, {"env", {r == 0 ? "prod" : "staging"}}};
      rule.accounts = {"deploy"};
      rule.networks.push_back(*Network::parse("10.0.0.0/8"));
      rule.has_files = true;
      rule.files.push_back(FileRule{"/srv", true, true, true});
      Hours hours;
      hours.zone_name = "UTC";
      rule.hours.push_back(hours);
      rule.mfa_within = std::chrono::hours(8);
      role.allow.push_back(std::move(rule));
    }
    Rule deny;
    deny.channels = KindSet::all();
    deny.every_channel = true;
    deny.accounts = {"root"};
    role.deny.push_back(std::move(deny));
    d.roles.push_back(std::move(role));
  }
  for (std::size_t g = 0; g < 100; ++g) {
    Group group;
    group.name = "group-" + std::to_string(g);
    d.groups.push_back(std::move(group));
  }
  for (std::size_t i = 0; i < size.principals; ++i) {
    Principal principal;
    principal.name = PrincipalId("principal-" + std::to_string(i));
    principal.groups = {"group-" + std::to_string(i % 100)};
    d.principals.push_back(std::move(principal));
  }
  for (std::size_t i = 0; i < size.roles; ++i) {
    Binding binding;
    binding.role = "role-" + std::to_string(i);
    binding.groups = {"group-" + std::to_string(i % 100)};
    binding.principals = {PrincipalId("principal-0")};  // one who has every role
    d.bindings.push_back(std::move(binding));
  }
  return d;
}

void measure(const char* what, const Snapshot& snapshot, const Size& size, std::size_t rounds, bool every_role) {
  std::mt19937 random(1);
  const Locks locks;
  std::vector<double> times;
  times.reserve(rounds);
  std::size_t allowed = 0;
  for (std::size_t i = 0; i < rounds; ++i) {
    AccessRequest request;
    request.principal = PrincipalId("principal-" + std::to_string(every_role ? 0 : 1 + random() % (size.principals - 1)));
    request.target = TargetId("target-" + std::to_string(random() % size.targets));
    request.account = AccountName(random() % 8 == 0 ? "root" : "deploy");
    constexpr ChannelKind k_kinds[] = {ChannelKind::connect, ChannelKind::shell, ChannelKind::exec, ChannelKind::sftp, ChannelKind::agent};
    request.kind = k_kinds[random() % 5];
    request.source = *IpAddress::parse("10.1.2.3");
    request.factors = {{FactorKind::key, k_now, false}, {FactorKind::totp, k_now, false}};
    request.now = k_now;
    const auto start = Stopwatch::now();
    const Decision decision = decide(snapshot, locks, request);
    times.push_back(std::chrono::duration<double, std::micro>(Stopwatch::now() - start).count());
    if (decision.allowed()) ++allowed;
  }
  std::sort(times.begin(), times.end());
  std::printf("%-34s p50 %7.2f us   p99 %7.2f us   max %8.2f us   (%zu of %zu allowed)\n", what, times[rounds / 2], times[rounds * 99 / 100], times.back(), allowed, rounds);
}

}  // namespace

int main(int argc, char** argv) {
  Size size;
  if (argc > 3) {
    size.principals = std::strtoul(argv[1], nullptr, 10);
    size.targets = std::strtoul(argv[2], nullptr, 10);
    size.roles = std::strtoul(argv[3], nullptr, 10);
  }
  if (argc > 4) size.rounds = std::strtoul(argv[4], nullptr, 10);
  if (size.principals < 2 || size.targets < 1 || size.roles < 1 || size.rounds < 100) {
    std::fprintf(stderr, "usage: decide_bench [PRINCIPALS TARGETS ROLES ROUNDS]\n");
    return 2;
  }
  std::vector<Diagnostic> problems;
  Documents documents = make_documents(size);
  const auto start = Stopwatch::now();
  const auto snapshot = Snapshot::compile(documents, problems);
  if (!snapshot) {
    std::fprintf(stderr, "%s\n", problems.front().str().c_str());
    return 1;
  }
  std::printf("%zu principals, %zu targets, %zu roles: compiled in %.0f ms\n", size.principals, size.targets, size.roles,
              std::chrono::duration<double, std::milli>(Stopwatch::now() - start).count());
  measure("a principal with its group's roles", *snapshot, size, size.rounds, false);
  measure("a principal with every role", *snapshot, size, size.rounds / 10, true);

  documents.groups[0].members.push_back(PrincipalId("principal-1"));
  const auto after = Snapshot::compile(std::move(documents), problems);
  const auto plan_start = Stopwatch::now();
  const Plan plan = make_plan(*snapshot, *after, {}, {}, k_now);
  std::printf("plan of one new group member: %.0f ms, %zu rows\n", std::chrono::duration<double, std::milli>(Stopwatch::now() - plan_start).count(), plan.access_in_all);
  return 0;
}
