// Properties that must hold for any policy: random policies, random questions.
#include <algorithm>
#include <random>

#include "tests/unit/policy/policy_fixture.h"

namespace sallyport::policy::test {
namespace {

using Random = std::mt19937;

std::size_t below(Random& random, std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random); }
bool chance(Random& random, unsigned percent) { return below(random, 100) < percent; }

constexpr ChannelKind k_kinds[] = {ChannelKind::shell, ChannelKind::exec, ChannelKind::sftp, ChannelKind::scp, ChannelKind::tunnel_local, ChannelKind::jump};

Rule make_rule(Random& random, bool is_deny) {
  Rule rule;
  for (const ChannelKind kind : k_kinds) {
    if (chance(random, 40)) rule.channels.add(kind);
  }
  if (is_deny && chance(random, 20)) {
    rule.channels = KindSet::all();
    rule.every_channel = true;
  }
  if (rule.channels.empty()) rule.channels.add(ChannelKind::shell);
  if (chance(random, 60)) {
    rule.every_target = false;
    rule.target_labels["env"] = {chance(random, 50) ? "prod" : "staging"};
  }
  if (chance(random, 50)) rule.accounts = {chance(random, 50) ? "deploy" : "root"};
  if (chance(random, 30)) rule.networks.push_back(*Network::parse(chance(random, 50) ? "10.0.0.0/8" : "192.0.2.0/24"));
  if (chance(random, 20)) {
    Hours hours;
    hours.from = std::chrono::hours(below(random, 12));
    hours.to = std::chrono::hours(12 + below(random, 12));
    rule.hours.push_back(hours);
  }
  if (rule.channels.has(ChannelKind::tunnel_local) && !rule.every_channel) {
    rule.has_tunnels = !is_deny || chance(random, 50);
    if (rule.has_tunnels) rule.tunnels.push_back(*TunnelPattern::parse(chance(random, 50) ? "*:80" : "db:5432"));
  }
  if (chance(random, 30) && !rule.every_channel) {
    rule.has_files = true;
    rule.files.push_back(FileRule{chance(random, 50) ? "/srv" : "/srv/a/b", chance(random, 50), chance(random, 50), chance(random, 50)});
  }
  if (chance(random, 20) && !rule.every_channel) (chance(random, 50) ? rule.up : rule.down) = false;
  if (!is_deny && chance(random, 20)) rule.mfa_within = 15min;
  if (!is_deny && chance(random, 20)) rule.max_sessions = 1;
  return rule;
}

Documents make_documents(Random& random) {
  Documents d;
  Principal engineer;
  engineer.name = PrincipalId("engineer");
  d.principals.push_back(engineer);
  for (int i = 0; i < 3; ++i) {
    Target target;
    target.name = TargetId("t" + std::to_string(i));
    target.address = "192.0.2.1";
    target.labels["env"] = i == 0 ? "prod" : "staging";
    target.host_keys.push_back(HostKey{"blob", "ssh-ed25519", "SHA256:x"});
    for (const char* name : {"deploy", "root"}) {
      Account account;
      account.name = AccountName(name);
      account.credentials.push_back({});
      target.accounts.push_back(account);
    }
    d.targets.push_back(target);
  }
  for (int r = 0; r < 3; ++r) {
    Role role;
    role.name = "r" + std::to_string(r);
    for (std::size_t i = below(random, 4); i > 0; --i) role.allow.push_back(make_rule(random, false));
    for (std::size_t i = below(random, 2); i > 0; --i) role.deny.push_back(make_rule(random, true));
    d.roles.push_back(role);
    Binding binding;
    binding.role = role.name;
    binding.principals = {PrincipalId("engineer")};
    if (chance(random, 20)) binding.expires = k_noon + (chance(random, 50) ? 1h : -1h);
    d.bindings.push_back(binding);
  }
  return d;
}

AccessRequest make_request(Random& random) {
  AccessRequest r = ask(chance(random, 15) ? ChannelKind::connect : k_kinds[below(random, std::size(k_kinds))], "t" + std::to_string(below(random, 3)),
                        chance(random, 50) ? "deploy" : "root");
  if (r.kind == ChannelKind::scp) (chance(random, 50) ? r.up : r.down) = true;
  r.host = chance(random, 50) ? "db" : "10.0.0.1";
  r.port = chance(random, 50) ? 80 : 5432;
  r.source = *IpAddress::parse(chance(random, 60) ? "10.1.1.1" : "198.51.100.1");
  r.now = k_noon + std::chrono::hours(below(random, 24));
  if (chance(random, 50)) r.factors.push_back({FactorKind::totp, r.now - 1min, false});
  r.parallel_sessions = static_cast<std::uint32_t>(below(random, 2));
  return r;
}

std::shared_ptr<const Snapshot> compile(Documents d) {
  std::vector<Diagnostic> problems;
  auto snapshot = Snapshot::compile(std::move(d), problems);
  INFO(describe(problems));
  REQUIRE(snapshot != nullptr);
  return snapshot;
}

/// What the decision opens, as a set that can be compared: the outcome and the rights on some paths.
std::vector<bool> rights_of(const Decision& d) {
  std::vector<bool> rights{d.allowed()};
  for (const char* path : {"/", "/srv", "/srv/a", "/srv/a/b", "/srv/a/b/c", "/etc"}) {
    for (const FileOperation op : {FileOperation::up, FileOperation::down, FileOperation::change}) {
      rights.push_back(d.allowed() && (!d.obligations.file_rules_apply || file_allowed(d.obligations.file_rules, path, op)));
    }
  }
  return rights;
}

bool is_subset(const std::vector<bool>& a, const std::vector<bool>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] && !b[i]) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("the order of roles, rules and bindings never changes a decision", "[policy][property]") {
  Random random(20261118);
  for (int round = 0; round < 300; ++round) {
    Documents d = make_documents(random);
    const auto one = compile(d);
    for (Role& role : d.roles) {
      std::shuffle(role.allow.begin(), role.allow.end(), random);
      std::shuffle(role.deny.begin(), role.deny.end(), random);
    }
    std::shuffle(d.bindings.begin(), d.bindings.end(), random);
    std::shuffle(d.targets.begin(), d.targets.end(), random);
    // Roles under other names sort elsewhere.
    for (Role& role : d.roles) role.name = "x" + std::to_string(9 - (role.name.back() - '0'));
    for (Binding& binding : d.bindings) binding.role = "x" + std::to_string(9 - (binding.role.back() - '0'));
    const auto other = compile(d);
    for (int i = 0; i < 20; ++i) {
      const AccessRequest request = make_request(random);
      const Decision a = decide(*one, {}, request);
      const Decision b = decide(*other, {}, request);
      REQUIRE(a.outcome == b.outcome);
      REQUIRE(a.code == b.code);
      REQUIRE(rights_of(a) == rights_of(b));
    }
  }
}

TEST_CASE("adding a deny rule never grants anything", "[policy][property]") {
  Random random(7);
  for (int round = 0; round < 500; ++round) {
    Documents d = make_documents(random);
    const auto before = compile(d);
    d.roles[below(random, d.roles.size())].deny.push_back(make_rule(random, true));
    const auto after = compile(d);
    for (int i = 0; i < 20; ++i) {
      const AccessRequest request = make_request(random);
      REQUIRE(is_subset(rights_of(decide(*after, {}, request)), rights_of(decide(*before, {}, request))));
    }
  }
}

TEST_CASE("adding an allow rule without limits never takes anything", "[policy][property]") {
  Random random(8);
  for (int round = 0; round < 500; ++round) {
    Documents d = make_documents(random);
    const auto before = compile(d);
    d.roles[below(random, d.roles.size())].allow.push_back(make_rule(random, false));
    const auto after = compile(d);
    for (int i = 0; i < 20; ++i) {
      const AccessRequest request = make_request(random);
      REQUIRE(is_subset(rights_of(decide(*before, {}, request)), rights_of(decide(*after, {}, request))));
    }
  }
}

TEST_CASE("a deny of everything leaves nothing, wherever it stands", "[policy][property]") {
  Random random(9);
  for (int round = 0; round < 200; ++round) {
    Documents d = make_documents(random);
    Rule everything;
    everything.channels = KindSet::all();
    everything.every_channel = true;
    const std::size_t place = below(random, d.roles.size());
    auto& deny = d.roles[place].deny;
    deny.insert(deny.begin() + static_cast<std::ptrdiff_t>(below(random, deny.size() + 1)), everything);
    for (Binding& binding : d.bindings) binding.expires.reset();
    const auto snapshot = compile(d);
    for (int i = 0; i < 20; ++i) REQUIRE(decide(*snapshot, {}, make_request(random)).code == "SP-2002");
  }
}

TEST_CASE("the explanation always tells the decision", "[policy][property]") {
  Random random(10);
  for (int round = 0; round < 200; ++round) {
    const auto snapshot = compile(make_documents(random));
    for (int i = 0; i < 10; ++i) {
      const AccessRequest request = make_request(random);
      const Decision a = decide(*snapshot, {}, request);
      const Decision b = explain(*snapshot, {}, request).decision;
      REQUIRE(a.outcome == b.outcome);
      REQUIRE(a.code == b.code);
      REQUIRE(rights_of(a) == rights_of(b));
    }
  }
}

}  // namespace sallyport::policy::test
