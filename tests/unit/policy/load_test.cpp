#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "policy/access/compiled.h"
#include "policy/access/plan.h"
#include "tests/unit/policy/policy_fixture.h"

namespace sallyport::policy::test {
namespace {

std::string problems_of(const std::string& yaml) { return describe(load_text(yaml).problems); }

bool refuses(const std::string& yaml, const std::string& expected) {
  const Loaded loaded = load_text(yaml);
  const std::string text = describe(loaded.problems);
  INFO(yaml.substr(0, 400));
  INFO(text);
  CHECK(loaded.snapshot == nullptr);
  CHECK(text.find(expected) != std::string::npos);
  return loaded.snapshot == nullptr;
}

std::string rule(const std::string& text) { return fleet_with(role_with("[" + text + "]")); }
std::string deny(const std::string& text) { return fleet_with(role_with("[]", "[" + text + "]")); }

}  // namespace

TEST_CASE("unknown keys are errors with file, line, column and a suggestion", "[policy][yaml]") {
  CHECK(problems_of("principls: []\n") == "policy.yaml:1:1: unknown key `principls`; did you mean `principals`?\n");
  CHECK(problems_of("roles:\n  - name: r\n    allow:\n      - chanels: [shell]\n        targets: all\n        accounts: [\"*\"]\n").find("policy.yaml:4:9: unknown key `chanels`; did you mean `channels`?") !=
        std::string::npos);
  const Loaded loaded = load_text("principals:\n  - {name: a, ke~y/s: []}\n");
  REQUIRE(loaded.problems.size() == 1);
  CHECK(loaded.problems[0].pointer == "/principals/0/ke~0y~1s");
  CHECK(loaded.problems[0].line == 2);
  CHECK(problems_of("principals:\n  - {name: a, utterly-different: 1}\n").find("did you mean") == std::string::npos);
}

TEST_CASE("names that stand for nothing are errors with a suggestion", "[policy][yaml]") {
  CHECK(problems_of(fleet_with("bindings:\n  - {role: operatr, groups: [sre]}\nroles: [{name: operator}]\n")).find("18:12: there is no role `operatr`; did you mean `operator`?") == std::string::npos);
  refuses(fleet_with("bindings:\n  - {role: operatr, groups: [sre]}\nroles: [{name: operator}]\n"), "there is no role `operatr`; did you mean `operator`?");
  refuses(fleet_with("roles: [{name: r}]\nbindings:\n  - {role: r, groups: [sra]}\n"), "there is no group `sra`; did you mean `sre`?");
  refuses(fleet_with("roles: [{name: r}]\nbindings:\n  - {role: r, principals: [enginer]}\n"), "there is no principal `enginer`; did you mean `engineer`?");
  refuses(rule("{channels: [shell], targets: {names: [api-11]}, accounts: [deploy]}"), "there is no target `api-11`; did you mean `api-1`?");
  refuses(rule("{channels: [shell], targets: all, accounts: [depoly]}"), "no target has an account `depoly`; did you mean `deploy`?");
}

TEST_CASE("what the YAML format allows too much is refused", "[policy][yaml]") {
  refuses("groups: []\ngroups: []\n", "policy.yaml:2:1: the key `groups` stands here twice");
  refuses("groups:\n  - {name: a, name: b}\n", "the key `name` stands here twice");
  refuses("groups: [\n", "not YAML");
  refuses("groups: !!seq []\n", "tags are not used here");
  refuses("groups: []\n---\nroles: []\n", "a second document");
  refuses("? [a]\n: b\n", "a key must be a plain word");
  refuses("- a\n", "a map is needed here");
  refuses("groups: 5\n", "a list is needed here");
  refuses(std::string("groups: []\0", 11), "NUL");
  refuses("groups: &g\n  - *g\n", "");
  refuses("<<: {groups: []}\n", "unknown key `<<`");
  refuses("groups: " + std::string(64, '[') + std::string(64, ']'), "nested deeper than 64 levels");
  refuses("groups: " + std::string(10'000, '[') + std::string(10'000, ']'), "nested deeper than 64 levels");
  refuses("groups: " + std::string(100'000, '['), "");
  refuses("groups: " + std::string(100'000, '{'), "");
  std::string stairs;
  for (std::size_t i = 0; i < 70; ++i) stairs += std::string(i, ' ') + "a:\n";
  refuses(stairs, "nested deeper than 64 levels");
  std::string aliases = "groups:\n  - &a {name: g}\n";
  for (int i = 0; i < 1001; ++i) aliases += "  - *a\n";
  refuses(aliases, "more than 1000 aliases");
  std::string laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c < 'z'; ++c) {
    const std::string before(1, static_cast<char>(c - 1));
    laughs += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) laughs += (i == 0 ? "*" : ",*") + before;
    laughs += "]\n";
  }
  refuses(laughs, "the aliases stand for more than");
  refuses("# " + std::string(4 * 1024 * 1024, 'x') + "\n", "larger than 4 MiB");
  CHECK(load_text("").snapshot != nullptr);
  CHECK(load_text("# nothing\n").snapshot != nullptr);
  CHECK(load_text("principals:\ngroups: ~\n").snapshot != nullptr);
}

TEST_CASE("an alias stands for its anchor", "[policy][yaml]") {
  const auto snapshot = must_load(fleet_with("roles:\n  - {name: r, allow: [{channels: &c [shell], targets: all, accounts: &a [deploy]}, {channels: *c, targets: all, accounts: *a}]}\n"));
  CHECK(snapshot->roles()[0].allow[1].channels == snapshot->roles()[0].allow[0].channels);
}

TEST_CASE("every wrong value is named at its place", "[policy][yaml]") {
  struct Case {
    std::string yaml;
    std::string expected;
  };
  const std::vector<Case> cases{
      {"principals: [{}]", "has no `name`"},
      {"principals: [{name: Big}]", "a name has 1 to 63 characters"},
      {"principals: [{name: a}, {name: a}]", "is defined twice"},
      {"principals: [{name: a, type: robot}]", "`type` is person or machine"},
      {"principals: [{name: a, keys: [nonsense]}]", "not a public key"},
      {"principals: [{name: a, keys: ['command=\"x\" " + k_key_a + "']}]", "the key option `command` is not supported"},
      {"principals: [{name: a, keys: ['no-touch-required " + k_key_a + "']}]", "is not supported"},
      {"principals: [{name: a, keys: ['expiry-time=\"soon\" " + k_key_a + "']}]", "expiry-time="},
      {"principals: [{name: a, keys: [\"" + k_key_a + "\", \"" + k_key_a + "\"]}]", "twice"},
      {"principals: [{name: a, keys: [\"" + k_key_a + "\"]}, {name: b, keys: [\"" + k_key_a + "\"]}]", "which belongs to `a`"},
      {"principals: [{name: a, password: secret}]", "Argon2id"},
      {"principals: [{name: a, factors: 2}]", "needs 2 factors but has 0"},
      {"principals: [{name: a, factors: 2, keys: [\"" + k_key_a + "\"]}]", "needs 2 factors but has 1"},
      {"principals: [{name: a, factors: four}]", "a whole number from 1 to 3"},
      {"principals: [{name: a, totp: totp/a}]", "needs a key or a password beside it"},
      {"principals: [{name: a, commands: [x]}]", "`commands` are for machines"},
      {"principals: [{name: a, type: machine}]", "it needs `networks`"},
      {"principals: [{name: a, type: machine, networks: [10.0.0.0/8], totp: t}]", "by key or certificate only"},
      {"principals: [{name: a, networks: [10.0.0.1/8]}]", "a network is needed here"},
      {"principals: [{name: a, expires: soon}]", "a moment is needed here"},
      {"principals: [{name: a, groups: [g]}]", "there is no group `g`"},
      {"groups: [{name: g, members: [a]}]", "there is no principal `a`"},
      {"groups: [{name: g}, {name: g}]", "is defined twice"},
      {"trusted_user_cas: [{name: c}]", "has no `key`"},
      {"trusted_user_cas: [{name: c, key: x}]", "not a plain public key"},
      {"targets: [{name: t, address: a, accounts: [{name: d}]}]", "neither `host_keys` nor `host_cas`"},
      {"targets: [{name: t, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d}]}]", "has no `address`"},
      {"targets: [{name: t, address: \"127.1\", host_keys: [\"" + k_key_a + "\"], accounts: [{name: d}]}]", "a host name or an IP address"},
      {"targets: [{name: t, address: a, port: 0, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d}]}]", "from 1 to 65535"},
      {"targets: [{name: t, address: a, host_keys: [\"" + k_key_a + "\"]}]", "has no accounts"},
      {"targets: [{name: t, address: a, host_keys: [\"" + k_key_a + "\"], accounts: [{name: \"a b\"}]}]", "an account has 1 to 64 characters"},
      {"targets: [{name: t, address: a, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d}, {name: d}]}]", "twice"},
      {"targets: [{name: t, address: a, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d, credentials: [agent]}]}]", "a credential is"},
      {"targets: [{name: t, address: a, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d, credentials: [{key: a, password: b}]}]}]", "names one secret"},
      {"targets: [{name: t, address: a, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d, credentials: []}]}]", "has no credentials"},
      {"targets: [{name: t, address: a, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d, principals: [\"{user}\"]}]}]", "of braces only"},
      {"targets: [{name: t, address: a, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d, principals: []}]}]", "without principals"},
      {"targets: [{name: t, address: a, allow_networks: [lo], host_keys: [\"" + k_key_a + "\"], accounts: [{name: d}]}]", "loopback, link-local and gateway"},
      {"targets: [{name: t, address: a, durability: best, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d}]}]", "written or synced"},
      {"targets: [{name: t, instance: i, address: a, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d}]}, {name: u, instance: i, address: a, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d}]}]",
       "has the instance id `i`"},
      {rule("{targets: all, accounts: [deploy]}"), "an allow rule needs `channels`"},
      {rule("{channels: [shell], accounts: [deploy]}"), "an allow rule needs `targets`"},
      {rule("{channels: [shell], targets: all}"), "an allow rule needs `accounts`"},
      {rule("{channels: [], targets: all, accounts: [deploy]}"), "lists no channel"},
      {rule("{channels: [shel], targets: all, accounts: [deploy]}"), "unknown channel `shel`; did you mean `shell`?"},
      {rule("{channels: [connect], targets: all, accounts: [deploy]}"), "unknown channel `connect`"},
      {rule("{channels: [shell], targets: {}, accounts: [deploy]}"), "names no target"},
      {rule("{channels: [shell], targets: every, accounts: [deploy]}"), "`targets` is `all` or a map"},
      {rule("{channels: [shell], targets: all, accounts: []}"), "lists no account"},
      {rule("{channels: [tunnel-local], targets: all, accounts: [deploy]}"), "a tunnel needs its destinations"},
      {rule("{channels: [shell], targets: all, accounts: [deploy], tunnels: [\"a:1\"]}"), "is for tunnel channels"},
      {rule("{channels: [tunnel-local], targets: all, accounts: [deploy], tunnels: [\"a\"]}"), "host:port"},
      {rule("{channels: [shell], targets: all, accounts: [deploy], files: [{path: /a, allow: [up]}]}"), "are for sftp, scp and rsync"},
      {rule("{channels: [sftp], targets: all, accounts: [deploy], files: [{path: a, allow: [up]}]}"), "absolute path"},
      {rule("{channels: [sftp], targets: all, accounts: [deploy], files: [{path: /a/../b, allow: [up]}]}"), "absolute path"},
      {rule("{channels: [sftp], targets: all, accounts: [deploy], files: [{path: /a}]}"), "`allow` is missing"},
      {rule("{channels: [sftp], targets: all, accounts: [deploy], files: [{path: /a, deny: [up]}]}"), "unknown key `deny`"},
      {rule("{channels: [sftp], targets: all, accounts: [deploy], files: [{path: /a, allow: [up]}, {path: /a/, allow: []}]}"), "twice"},
      {rule("{channels: [sftp], targets: all, accounts: [deploy], directions: [sideways]}"), "unknown direction"},
      {rule("{channels: [shell], targets: all, accounts: [deploy], env: [\"*\"]}"), "a variable's name"},
      {rule("{channels: [shell], targets: all, accounts: [deploy], env: [\"A=B\"]}"), "a variable's name"},
      {rule("{channels: [shell], targets: all, accounts: [deploy], hours: {zone: Europe/Nowhere}}"), "there is no time zone"},
      {rule("{channels: [shell], targets: all, accounts: [deploy], hours: {days: [monday]}}"), "unknown day `monday`; did you mean `mon`?"},
      {rule("{channels: [shell], targets: all, accounts: [deploy], hours: {from: \"8\"}}"), "a time of day"},
      {rule("{channels: [shell], targets: all, accounts: [deploy], hours: {from: \"08:00\", to: \"08:00\"}}"), "the window is empty"},
      {rule("{channels: [shell], targets: all, accounts: [deploy], mfa_within: 15}"), "a duration is needed here"},
      {rule("{channels: [shell], targets: all, accounts: [deploy], max_sessions: 0}"), "from 1 to 100000"},
      {rule("{channels: [shell], targets: all, accounts: [deploy], record: {bulk: none}}"), "unknown bulk mode"},
      {deny("{mfa_within: 5m}"), "has no meaning in a deny rule"},
      {deny("{channels: [exec, sftp], files: [{path: /a, deny: [up]}]}"), "deny exec in a rule of its own"},
      {deny("{files: [{path: /a, allow: [up]}]}"), "unknown key `allow`"},
      {"roles: [{name: r, admin: [root]}]", "unknown admin right"},
      {"roles: [{name: r}]\nbindings: [{role: r}]", "gives the role to nobody"},
      {"bindings: [{groups: []}]", "this binding has no `role`"},
  };
  for (const Case& c : cases) refuses(c.yaml, c.expected);
}

TEST_CASE("many mistakes are reported together, up to a hundred", "[policy][yaml]") {
  std::string yaml = "principals:\n";
  for (int i = 0; i < 500; ++i) yaml += "  - {nam: x}\n";
  const Loaded loaded = load_text(yaml);
  CHECK(loaded.problems.size() == k_max_diagnostics);
}

TEST_CASE("the shipped example loads and does what its comments say", "[policy][example]") {
  const auto files = read_policy_folder(std::string(SALLYPORT_SOURCE_DIR) + "/examples/policy");
  REQUIRE(files);
  const Loaded loaded = load_policy(*files);
  INFO(describe(loaded.problems));
  REQUIRE(loaded.snapshot);
  const Snapshot& s = *loaded.snapshot;
  const auto request = [](const char* who, ChannelKind kind, const char* target, const char* account) {
    AccessRequest r = ask(kind, target, account);
    r.principal = PrincipalId(who);
    r.factors.push_back({FactorKind::totp, k_noon - 1min, false});
    return r;
  };
  CHECK(code_of(s, request("engineer", ChannelKind::shell, "recs-1", "deploy")) == "allow");
  CHECK(code_of(s, request("engineer", ChannelKind::shell, "recs-1", "root")) == "SP-2002");
  CHECK(code_of(s, request("approver", ChannelKind::shell, "recs-1", "deploy")) == "SP-2020");
  CHECK(code_of(s, request("approver", ChannelKind::shell, "recs-2", "deploy")) == "allow");
  CHECK(code_of(s, request("auditor", ChannelKind::shell, "recs-2", "deploy")) == "SP-2020");
  AccessRequest night = request("engineer", ChannelKind::shell, "recs-1", "deploy");
  night.now = k_noon + 12h;
  CHECK(code_of(s, night) == "SP-2007");
  AccessRequest bot = request("deploy-bot", ChannelKind::exec, "recs-1", "deploy");
  bot.source = *IpAddress::parse("10.20.0.5");
  bot.command = "systemctl restart recs-api";
  CHECK(code_of(s, bot) == "allow");
  bot.command = "systemctl stop recs-api";
  CHECK(code_of(s, bot) == "SP-2017");
  AccessRequest database = request("engineer", ChannelKind::tunnel_local, "features-1", "readonly");
  database.host = "localhost";
  database.port = 5432;
  CHECK(code_of(s, database) == "allow");
  CHECK(decide_admin(s, {}, {PrincipalId("admin"), AdminRight::policy, k_noon}).allowed());
  CHECK_FALSE(decide_admin(s, {}, {PrincipalId("engineer"), AdminRight::policy, k_noon}).allowed());
  CHECK(s.find_target("train-1")->certificate_principals(s.find_target("train-1")->accounts[0]) == std::vector<std::string>{"deploy@i-0b21"});
}

TEST_CASE("a folder without policy is not found", "[policy][yaml]") {
  CHECK(read_policy_folder("/nonexistent").error().code == Errc::not_found);
  CHECK(read_policy_folder(std::string(SALLYPORT_SOURCE_DIR) + "/cmake").error().code == Errc::not_found);
}

TEST_CASE("what has the name of a policy file is read or refused, never passed over", "[policy][yaml]") {
  namespace fs = std::filesystem;
  std::string pattern = (fs::temp_directory_path() / "sallyport-folder-XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  const fs::path folder = pattern;
  std::ofstream(folder / "allow.yaml") << "groups: []\n";
  REQUIRE(read_policy_folder(folder));
  const auto refused = [&] {
    const auto files = read_policy_folder(folder);
    return files ? std::string() : files.error().detail;
  };
  SECTION("a link that leads nowhere") {
    fs::create_symlink("gone", folder / "deny.yaml");
    CHECK(refused() == "deny.yaml: a link that leads nowhere");
  }
  SECTION("links in a circle") {
    fs::create_symlink("two.yaml", folder / "deny.yaml");
    fs::create_symlink("deny.yaml", folder / "two.yaml");
    CHECK(refused().find(".yaml: ") != std::string::npos);
  }
  SECTION("a folder") {
    fs::create_directory(folder / "deny.yaml");
    CHECK(refused().find("deny.yaml: is not a file") == 0);
  }
  SECTION("a pipe, which would never end") {
    REQUIRE(mkfifo((folder / "deny.yaml").c_str(), 0600) == 0);
    CHECK(refused().find("deny.yaml: is not a file") == 0);
  }
  SECTION("too large") {
    std::ofstream(folder / "deny.yaml").close();
    fs::resize_file(folder / "deny.yaml", k_max_policy_file + 1);
    CHECK(refused() == "deny.yaml: too large: at most 4 MiB");
  }
  SECTION("bytes that are no text") {
    std::ofstream(folder / "deny.yaml") << "# gr\xc3\xbc\xc3\x9f\ngroups:\n  - name: x\xff\n";
    CHECK(refused() == "deny.yaml:3:12: not UTF-8 text; save the file as UTF-8");
  }
  SECTION("an empty file is none of that") {
    std::ofstream(folder / "deny.yaml").close();
    CHECK(refused().empty());
  }
  SECTION("what has another name is nobody's business") {
    fs::create_directory(folder / "notes");
    CHECK(refused().empty());
  }
  fs::remove_all(folder);
}

TEST_CASE("a tab that indents is named", "[policy][yaml]") {
  const std::array files{SourceFile{"a.yaml", "groups: []\nprincipals:\n\t- name: x\n"}};
  const Loaded loaded = load_policy(files);
  REQUIRE(loaded.problems.size() == 1);
  CHECK(loaded.problems[0].line == 3);
  CHECK(loaded.problems[0].message.find("indented with a tab") != std::string::npos);
}

TEST_CASE("the same meaning has the same digest, whatever the layout", "[policy][plan]") {
  const std::string roles = role_with("[{channels: [shell, exec], targets: {names: [api-1, db-1]}, accounts: [deploy]}]");
  const std::string other = role_with("[{channels: [exec, shell], accounts: [\"deploy\"], targets: {names: [db-1, api-1]}}]");
  const auto a = must_load(fleet_with(roles));
  CHECK(a->digest() == must_load("# a comment\n" + fleet_with(other))->digest());
  CHECK(a->digest() != must_load(fleet_with(role_with("[{channels: [shell], targets: {names: [api-1, db-1]}, accounts: [deploy]}]")))->digest());
  const std::string text = fleet_with(roles);
  const std::size_t cut = text.find("roles:");
  const std::vector<SourceFile> two{{"b.yaml", text.substr(cut)}, {"a.yaml", text.substr(0, cut)}};
  CHECK(load_policy(two).snapshot->digest() == a->digest());
  CHECK(make_plan(*a, *load_policy(two).snapshot, {}, {}, k_noon).no_changes);
  CHECK(make_plan(*a, *load_policy(two).snapshot, {}, {}, k_noon).text() == "No changes.\n");
}

TEST_CASE("a plan names who gains or loses what and which sessions would end", "[policy][plan]") {
  const auto before = policy_with("[{channels: [shell, exec], targets: {names: [api-1]}, accounts: [deploy]}]");
  const auto after = policy_with("[{channels: [shell, sftp], targets: {names: [api-1]}, accounts: [deploy], idle_timeout: 5m}, {channels: [exec], targets: {names: [db-1]}, accounts: [root]}]");
  LiveUse shell{"S1", ask(ChannelKind::shell)};
  LiveUse exec{"S2", ask(ChannelKind::exec)};
  const std::vector<LiveUse> live{shell, exec};
  const Plan plan = make_plan(*before, *after, {}, live, k_noon);
  CHECK_FALSE(plan.no_changes);
  REQUIRE(plan.changes.size() == 1);
  CHECK(plan.changes[0].kind == "role");
  CHECK(plan.changes[0].fields == std::vector<std::string>{"allow"});
  const auto row = [&](const char* who, const char* target, const char* account) {
    for (const AccessChange& r : plan.access) {
      if (r.principal.view() == who && r.target.view() == target && r.account.view() == account) return r;
    }
    return AccessChange{};
  };
  CHECK(row("engineer", "api-1", "deploy").gains.has(ChannelKind::sftp));
  CHECK(row("engineer", "api-1", "deploy").loses.has(ChannelKind::exec));
  CHECK_FALSE(row("engineer", "api-1", "deploy").loses.has(ChannelKind::shell));
  CHECK(row("engineer", "api-1", "deploy").conditions_changed);
  CHECK(row("engineer", "db-1", "root").gains.has(ChannelKind::exec));
  CHECK_FALSE(row("robot", "api-1", "deploy").gains.has(ChannelKind::shell));
  CHECK(row("gone", "api-1", "deploy").principal.empty());
  CHECK(plan.access_in_all == 4);
  REQUIRE(plan.ending.size() == 1);
  CHECK(plan.ending[0].session == "S2");
  CHECK(plan.ending[0].decision.code == "SP-2009");
  CHECK(plan.text().find("engineer on api-1 as deploy: gains sftp; loses exec; other conditions") != std::string::npos);
  CHECK(plan.text().find("S2 engineer on api-1 as deploy: SP-2009") != std::string::npos);
}

TEST_CASE("a plan sees what labels, members, denies and admin rights change", "[policy][plan]") {
  const std::string base = fleet_with("roles:\n  - {name: r, allow: [{channels: [shell], targets: {labels: {env: prod}}, accounts: [\"*\"]}]}\n  - {name: a, admin: [audit]}\n"
                                      "bindings:\n  - {role: r, groups: [sre]}\n  - {role: a, principals: [guest]}\n");
  const auto before = must_load(base);
  const auto edited = [&](const std::string& from, const std::string& to) {
    std::string text = base;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return must_load(text.replace(at, from.size(), to));
  };
  SECTION("a target's label") {
    const Plan plan = make_plan(*before, *edited("env: staging, part: api", "env: prod, part: api"), {}, {}, k_noon);
    REQUIRE(plan.access.size() == 1);
    CHECK(plan.access[0].target.str() == "api-2");
    CHECK(plan.changes[0].fields == std::vector<std::string>{"labels"});
  }
  SECTION("a target's address changes nobody's access") {
    const Plan plan = make_plan(*before, *edited("192.0.2.1,", "192.0.2.99,"), {}, {}, k_noon);
    CHECK(plan.access.empty());
    CHECK(plan.changes.size() == 1);
    CHECK_FALSE(plan.no_changes);
  }
  SECTION("a member") {
    const Plan plan = make_plan(*before, *edited("members: [engineer]", "members: [engineer, guest]"), {}, {}, k_noon);
    CHECK(plan.access.size() == 4);
    CHECK(plan.access[0].principal.str() == "guest");
  }
  SECTION("a deny") {
    const Plan plan = make_plan(*before, *edited("accounts: [\"*\"]}]}", "accounts: [\"*\"]}], deny: [{accounts: [root]}]}"), {}, {}, k_noon);
    CHECK(plan.access.size() == 2);
    for (const AccessChange& row : plan.access) CHECK((row.account.str() == "root" && row.loses.has(ChannelKind::shell)));
  }
  SECTION("a principal that is removed") {
    const Plan plan = make_plan(*before, *must_load(fleet_with("roles: []\n")), {}, {}, k_noon);
    CHECK(plan.access.size() == 4);
    REQUIRE(plan.admin.size() == 1);
    CHECK(plan.admin[0].loses == std::vector<AdminRight>{AdminRight::audit});
  }
  SECTION("a lock that already stops a session does not blame the plan") {
    Lock lock;
    lock.principal = "engineer";
    const std::vector<LiveUse> live{{"S1", ask(ChannelKind::shell)}};
    CHECK(make_plan(*before, *Snapshot::make_empty(), Locks({lock}), live, k_noon).ending.empty());
    CHECK(make_plan(*before, *Snapshot::make_empty(), {}, live, k_noon).ending.size() == 1);
  }
}

}  // namespace sallyport::policy::test
