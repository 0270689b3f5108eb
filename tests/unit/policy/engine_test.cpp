#include "policy/access/held_roles.h"
#include "tests/unit/policy/policy_fixture.h"

namespace sallyport::policy::test {
namespace {

const std::string k_everything = "[{channels: [shell, exec, sftp, scp, rsync, subsystem, jump], targets: all, accounts: [\"*\"]}]";

struct Case {
  const char* what;
  AccessRequest request;
  std::string expected;
};

void check(const Snapshot& snapshot, const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO(c.what);
    CHECK(code_of(snapshot, c.request) == c.expected);
  }
}

AccessRequest with(AccessRequest request, const std::function<void(AccessRequest&)>& change) {
  change(request);
  return request;
}

}  // namespace

TEST_CASE("an empty policy allows nothing", "[policy][engine]") {
  const auto empty = Snapshot::make_empty();
  CHECK(code_of(*empty, ask(ChannelKind::shell)) == "SP-2001");
  CHECK(code_of(*empty, ask(ChannelKind::connect)) == "SP-2001");
  CHECK_FALSE(decide_admin(*empty, {}, {PrincipalId("engineer"), AdminRight::policy, k_noon}).allowed());
}

TEST_CASE("what no rule allows is refused with the nearest reason", "[policy][engine]") {
  const auto snapshot = policy_with(
      "[{channels: [shell, sftp], targets: {labels: {env: prod}}, accounts: [deploy], directions: [down], networks: [10.0.0.0/8]}]");
  check(*snapshot,
        {{"the rule itself", ask(ChannelKind::shell), "allow"},
         {"the session that carries it", ask(ChannelKind::connect), "allow"},
         {"the terminal of the shell", ask(ChannelKind::pty), "allow"},
         {"another target", ask(ChannelKind::shell, "api-2"), "SP-2020"},
         {"a target that does not exist", ask(ChannelKind::shell, "nowhere"), "SP-2020"},
         {"another account", ask(ChannelKind::shell, "api-1", "root"), "SP-2020"},
         {"an account that does not exist", ask(ChannelKind::shell, "api-1", "nobody"), "SP-2020"},
         {"another channel", ask(ChannelKind::exec), "SP-2009"},
         {"agent forwarding", ask(ChannelKind::agent), "SP-2018"},
         {"x11", ask(ChannelKind::x11), "SP-2019"},
         {"a jump", ask(ChannelKind::jump), "SP-2009"},
         {"another source", with(ask(ChannelKind::shell), [](auto& r) { r.source = *IpAddress::parse("192.0.2.7"); }), "SP-2008"},
         {"IPv6", with(ask(ChannelKind::shell), [](auto& r) { r.source = *IpAddress::parse("2001:db8::1"); }), "SP-2008"},
         {"IPv4 written as IPv6", with(ask(ChannelKind::shell), [](auto& r) { r.source = *IpAddress::parse("::ffff:10.1.2.3"); }), "allow"},
         {"another person", with(ask(ChannelKind::shell), [](auto& r) { r.principal = PrincipalId("guest"); }), "SP-2020"},
         {"nobody", with(ask(ChannelKind::shell), [](auto& r) { r.principal = PrincipalId("nobody"); }), "SP-2001"},
         {"nobody any more, while a session lives", with(ask(ChannelKind::shell), [](auto& r) { r.principal = PrincipalId("nobody"); r.opened = k_noon; }), "SP-2015"},
         {"an expired principal", with(ask(ChannelKind::shell), [](auto& r) { r.principal = PrincipalId("gone"); }), "SP-1009"}});
}

TEST_CASE("each channel kind is a right of its own", "[policy][engine]") {
  for (const char* granted : {"shell", "exec", "sftp", "scp", "rsync", "subsystem", "jump", "agent", "x11"}) {
    const auto snapshot = policy_with(std::string("[{channels: [") + granted + "], targets: all, accounts: [deploy]}]");
    for (const char* asked : {"shell", "exec", "sftp", "scp", "rsync", "subsystem", "jump", "agent", "x11"}) {
      INFO(granted << " granted, " << asked << " asked");
      AccessRequest request = ask(*parse_channel_kind(asked));
      request.up = asked == std::string("scp");
      CHECK((code_of(*snapshot, request) == "allow") == (std::string(granted) == asked));
    }
    CHECK(code_of(*snapshot, ask(ChannelKind::connect)) == "allow");
    const bool runs = granted == std::string("shell") || granted == std::string("exec");
    CHECK((code_of(*snapshot, ask(ChannelKind::pty)) == "allow") == runs);
  }
}

TEST_CASE("a matching deny wins over every allow", "[policy][engine]") {
  const auto snapshot = must_load(fleet_with(
      "roles:\n"
      "  - {name: wide, allow: " + k_everything + "}\n"
      "  - {name: fence, deny: [{targets: {labels: {part: db}}}, {channels: [exec], targets: {names: [api-1]}}, {accounts: [root], networks: [10.1.0.0/16]}]}\n"
      "bindings:\n  - {role: wide, principals: [engineer]}\n  - {role: fence, groups: [sre]}\n"));
  check(*snapshot, {{"not concerned", ask(ChannelKind::shell), "allow"},
                    {"a whole target", ask(ChannelKind::shell, "db-1"), "SP-2002"},
                    {"its sessions as such", ask(ChannelKind::connect, "db-1"), "SP-2002"},
                    {"jumps to it", ask(ChannelKind::jump, "db-1", ""), "SP-2002"},
                    {"one channel", ask(ChannelKind::exec), "SP-2002"},
                    {"the session beside that channel", ask(ChannelKind::connect), "allow"},
                    {"the terminal beside that channel", ask(ChannelKind::pty), "allow"},
                    {"the same channel elsewhere", ask(ChannelKind::exec, "api-2"), "allow"},
                    {"an account from a network", ask(ChannelKind::shell, "api-1", "root"), "SP-2002"},
                    {"that account from elsewhere", with(ask(ChannelKind::shell, "api-1", "root"), [](auto& r) { r.source = *IpAddress::parse("10.9.0.1"); }), "allow"}});
  const Decision decision = decide(*snapshot, {}, ask(ChannelKind::exec));
  CHECK(decision.rule.role == "fence");
  CHECK(decision.rule.is_deny);
  CHECK(decision.rule.index == 1);
  CHECK(decision.rule.str().find("policy.yaml:") != std::string::npos);
}

TEST_CASE("a deny bound until a date holds until that date", "[policy][engine]") {
  const auto snapshot = must_load(fleet_with("roles:\n  - {name: wide, allow: " + k_everything + "}\n  - {name: fence, deny: [{}]}\n"
                                             "bindings:\n  - {role: wide, principals: [engineer]}\n  - {role: fence, principals: [engineer], expires: 2026-11-18T13:00:00Z}\n"));
  CHECK(code_of(*snapshot, ask(ChannelKind::shell)) == "SP-2002");
  AccessRequest later = ask(ChannelKind::shell);
  later.now = k_noon + 1h;
  CHECK(code_of(*snapshot, later) == "allow");
}

TEST_CASE("a binding ends at its date, and the longest of several counts", "[policy][engine]") {
  const std::string role = "roles:\n  - {name: r, allow: " + k_everything + "}\nbindings:\n";
  const auto one = must_load(fleet_with(role + "  - {role: r, principals: [engineer], expires: 2026-11-18T12:00:01Z}\n"));
  AccessRequest later = ask(ChannelKind::shell);
  later.now = k_noon + 1s;
  CHECK(code_of(*one, ask(ChannelKind::shell)) == "allow");
  CHECK(code_of(*one, later) == "SP-2026");
  const auto two = must_load(fleet_with(role + "  - {role: r, principals: [engineer], expires: 2026-11-18T12:00:01Z}\n  - {role: r, groups: [sre]}\n"));
  CHECK(code_of(*two, later) == "allow");
}

TEST_CASE("locks stop principals, targets and accounts before any rule", "[policy][engine]") {
  const auto snapshot = policy_with(k_everything);
  const auto lock = [](std::string principal, std::string target, std::string account, std::optional<WallTime> expires = {}) {
    Lock l;
    l.id = "l";
    l.principal = std::move(principal);
    l.target = std::move(target);
    l.account = std::move(account);
    l.reason = "incident 7";
    l.expires = expires;
    return Locks({l});
  };
  struct LockCase {
    Locks locks;
    AccessRequest request;
    std::string expected;
  };
  const std::vector<LockCase> cases{
      {lock("engineer", "", ""), ask(ChannelKind::shell), "SP-2003"},
      {lock("guest", "", ""), ask(ChannelKind::shell), "allow"},
      {lock("", "api-1", ""), ask(ChannelKind::shell), "SP-2004"},
      {lock("", "api-1", ""), ask(ChannelKind::shell, "api-2"), "allow"},
      {lock("", "", "root"), ask(ChannelKind::shell, "api-1", "root"), "SP-2005"},
      {lock("", "", "root"), ask(ChannelKind::shell), "allow"},
      {lock("", "db-1", "root"), ask(ChannelKind::shell, "db-1", "root"), "SP-2005"},
      {lock("", "db-1", "root"), ask(ChannelKind::shell, "db-1"), "allow"},
      {lock("", "db-1", "root"), ask(ChannelKind::shell, "api-1", "root"), "allow"},
      {lock("engineer", "", "", k_noon), ask(ChannelKind::shell), "allow"},
      {lock("engineer", "", "", k_noon + 1s), ask(ChannelKind::shell), "SP-2003"},
      {lock("", "", ""), ask(ChannelKind::shell), "allow"},
      {lock("", "api-1", ""), ask(ChannelKind::jump, "api-1", ""), "SP-2004"},
  };
  for (const LockCase& c : cases) CHECK(code_of(*snapshot, c.request, c.locks) == c.expected);
  CHECK(decide(*snapshot, lock("engineer", "", ""), ask(ChannelKind::shell)).why == "incident 7");
}

TEST_CASE("a fresh second factor is asked for where a rule wants one", "[policy][engine]") {
  const auto snapshot = policy_with("[{channels: [shell], targets: all, accounts: [deploy], mfa_within: 15m}]");
  const auto factors = [](std::vector<ProvenFactor> list) { return with(ask(ChannelKind::shell), [&](auto& r) { r.factors = list; }); };
  using K = FactorKind;
  check(*snapshot, {{"none", factors({}), "SP-2006"},
                    {"a key only", factors({{K::key, k_noon, false}}), "SP-2006"},
                    {"a key and a certificate are one kind", factors({{K::key, k_noon, false}, {K::certificate, k_noon, false}}), "SP-2006"},
                    {"a password only", factors({{K::password, k_noon, false}}), "SP-2006"},
                    {"a code only", factors({{K::totp, k_noon, false}}), "SP-2006"},
                    {"key and code", factors({{K::key, k_noon - 3h, false}, {K::totp, k_noon - 15min, false}}), "allow"},
                    {"key and an old code", factors({{K::key, k_noon, false}, {K::totp, k_noon - 15min - 1s, false}}), "SP-2006"},
                    {"certificate and password", factors({{K::certificate, k_noon - 1h, false}, {K::password, k_noon - 1min, false}}), "allow"},
                    {"password and code", factors({{K::password, k_noon - 1h, false}, {K::totp, k_noon - 1min, false}}), "allow"},
                    {"a key that verified its user", factors({{K::key, k_noon - 1min, true}}), "allow"},
                    {"a code from the future: the clock was set back", factors({{K::key, k_noon, false}, {K::totp, k_noon + 1h, false}}), "SP-2006"}});
  CHECK(decide(*snapshot, {}, factors({})).second_factor_would_help);
  CHECK_FALSE(decide(*snapshot, {}, ask(ChannelKind::exec)).second_factor_would_help);

  AccessRequest open = factors({{K::key, k_noon - 2h, false}, {K::totp, k_noon - 2h, false}});
  open.opened = k_noon - 2h;
  CHECK(code_of(*snapshot, open) == "allow");  // fresh when it was opened
}

TEST_CASE("the number of parallel sessions is limited for new ones only", "[policy][engine]") {
  const auto snapshot = policy_with("[{channels: [shell], targets: all, accounts: [deploy], max_sessions: 2}]");
  AccessRequest request = ask(ChannelKind::connect);
  request.parallel_sessions = 1;
  CHECK(code_of(*snapshot, request) == "allow");
  request.parallel_sessions = 2;
  CHECK(code_of(*snapshot, request) == "SP-2012");
  request.opened = k_noon;
  CHECK(code_of(*snapshot, request) == "allow");
}

TEST_CASE("limits travel with the decision and the strictest holds", "[policy][engine]") {
  const auto snapshot = policy_with(
      "[{channels: [shell], targets: all, accounts: [deploy], max_duration: 8h, idle_timeout: 30m, env: [LANG]},"
      " {channels: [shell], targets: {names: [api-1]}, accounts: [deploy], max_duration: 2h, env: [\"LC_*\", LANG], record: {bulk: full}}]");
  const Decision narrow = decide(*snapshot, {}, ask(ChannelKind::shell));
  CHECK(narrow.obligations.max_duration == 2h);
  CHECK(narrow.obligations.idle_timeout == 30min);
  CHECK(narrow.obligations.bulk == Bulk::full);
  CHECK(narrow.obligations.env == std::vector<std::string>{"LANG", "LC_*"});
  const Decision wide = decide(*snapshot, {}, ask(ChannelKind::shell, "api-2"));
  CHECK(wide.obligations.max_duration == 8h);
  CHECK(wide.obligations.bulk == Bulk::hash);

  AccessRequest old = ask(ChannelKind::shell);
  old.opened = k_noon - 2h;
  old.session_age = 2h;
  CHECK(code_of(*snapshot, old) == "SP-2013");
  old.session_age = 2h - 1s;
  CHECK(code_of(*snapshot, old) == "allow");
}

TEST_CASE("a machine runs exactly its commands from its networks", "[policy][engine]") {
  const auto snapshot = policy_with(
      "[{channels: [shell, exec, sftp, scp, rsync, subsystem, jump, agent, x11, tunnel-local], targets: all, accounts: [deploy], tunnels: [\"localhost:80\"]}]");
  const auto robot = [](ChannelKind kind, std::string command = {}) {
    return with(ask(kind), [&](auto& r) {
      r.principal = PrincipalId("robot");
      r.source = *IpAddress::parse("10.20.1.1");
      r.command = command;
    });
  };
  check(*snapshot, {{"exact", robot(ChannelKind::exec, "uptime"), "allow"},
                    {"with more", robot(ChannelKind::exec, "uptime; id"), "SP-2017"},
                    {"a blank in front", robot(ChannelKind::exec, " uptime"), "SP-2017"},
                    {"nothing", robot(ChannelKind::exec, ""), "SP-2017"},
                    {"a choice", robot(ChannelKind::exec, "restart ranker"), "allow"},
                    {"no choice", robot(ChannelKind::exec, "restart rankers"), "SP-2017"},
                    {"a word", robot(ChannelKind::exec, "deploy 2026.11-rc1"), "allow"},
                    {"an option as word", robot(ChannelKind::exec, "deploy -rf"), "SP-2017"},
                    {"a way up as word", robot(ChannelKind::exec, "deploy ../../etc"), "SP-2017"},
                    {"shell syntax as word", robot(ChannelKind::exec, "deploy $(id)"), "SP-2017"},
                    {"a newline", robot(ChannelKind::exec, "uptime\n"), "SP-2017"},
                    {"a NUL", robot(ChannelKind::exec, std::string("uptime\0", 7)), "SP-2017"},
                    {"shell", robot(ChannelKind::shell), "SP-2017"},
                    {"terminal", robot(ChannelKind::pty), "SP-2017"},
                    {"agent", robot(ChannelKind::agent), "SP-2018"},
                    {"x11", robot(ChannelKind::x11), "SP-2019"},
                    {"scp that is not listed", robot(ChannelKind::scp, "scp -t /srv"), "SP-2017"},
                    {"sftp that is listed", robot(ChannelKind::sftp, "sftp"), "allow"},
                    {"another subsystem", robot(ChannelKind::subsystem, "netconf"), "SP-2017"},
                    {"the session", robot(ChannelKind::connect), "allow"},
                    {"from elsewhere", with(robot(ChannelKind::exec, "uptime"), [](auto& r) { r.source = *IpAddress::parse("10.21.0.1"); }), "SP-1010"}});
}

TEST_CASE("a certificate's limits hold whatever the role allows", "[policy][engine]") {
  const auto snapshot = policy_with(
      "[{channels: [shell, exec, sftp, jump, agent, x11, tunnel-local], targets: all, accounts: [deploy], tunnels: [\"localhost:80\"]}]");
  const auto limited = [](ChannelKind kind, CertificateLimits limits) {
    return with(ask(kind), [&](auto& r) {
      r.certificate = limits;
      r.host = "localhost";
      r.port = 80;
    });
  };
  const CertificateLimits bare{"", false, false, false, false};
  const CertificateLimits forced{"backup --now", true, true, true, true};
  const CertificateLimits sftp_only{"internal-sftp", true, true, true, true};
  check(*snapshot, {{"pty", limited(ChannelKind::pty, bare), "SP-2022"},
                    {"shell", limited(ChannelKind::shell, bare), "allow"},
                    {"agent", limited(ChannelKind::agent, bare), "SP-2022"},
                    {"x11", limited(ChannelKind::x11, bare), "SP-2022"},
                    {"tunnel", limited(ChannelKind::tunnel_local, bare), "SP-2022"},
                    {"jump", limited(ChannelKind::jump, bare), "SP-2022"},
                    {"forced shell", limited(ChannelKind::shell, forced), "allow"},
                    {"sftp only: sftp", limited(ChannelKind::sftp, sftp_only), "allow"},
                    {"sftp only: exec", limited(ChannelKind::exec, sftp_only), "SP-2022"},
                    {"sftp only: shell", limited(ChannelKind::shell, sftp_only), "SP-2022"}});
  for (const ChannelKind kind : {ChannelKind::shell, ChannelKind::exec, ChannelKind::sftp}) {
    CHECK(decide(*snapshot, {}, limited(kind, forced)).obligations.replaced_command == "backup --now");
  }
  CHECK(decide(*snapshot, {}, limited(ChannelKind::tunnel_local, forced)).obligations.replaced_command.empty());
  // The forced command is an exec: without the right to exec it does not run under another name.
  const auto shell_only = policy_with("[{channels: [shell], targets: all, accounts: [deploy]}]");
  CHECK(code_of(*shell_only, limited(ChannelKind::shell, forced)) == "SP-2009");
}

TEST_CASE("tunnels lead to listed destinations only", "[policy][engine]") {
  const auto snapshot = policy_with(
      "[{channels: [tunnel-local, tunnel-remote, tunnel-unix], targets: all, accounts: [deploy],"
      " tunnels: [\"localhost:8080\", \"10.0.0.0/8:443\", \"*.svc.example:9000-9010\", \"hop.example:22\", \"10.5.0.0/16:*\", \"unix:/run/app.sock\"]},"
      " {channels: [shell], targets: all, accounts: [deploy]}]",
      "[{tunnels: [\"10.66.0.0/16:*\"]}]");
  const auto tunnel = [](const std::string& host, std::uint16_t port, ChannelKind kind = ChannelKind::tunnel_local) {
    return with(ask(kind), [&](auto& r) {
      r.host = host;
      r.port = port;
    });
  };
  const auto unix_socket = [](const std::string& path) {
    return with(ask(ChannelKind::tunnel_unix), [&](auto& r) { r.path = path; });
  };
  check(*snapshot, {{"listed", tunnel("localhost", 8080), "allow"},
                    {"in capitals", tunnel("LOCALHOST.", 8080), "allow"},
                    {"another port", tunnel("localhost", 8081), "SP-2011"},
                    {"a network", tunnel("10.200.3.4", 443), "allow"},
                    {"a network, as mapped IPv6", tunnel("::ffff:10.200.3.4", 443), "allow"},
                    {"a name is in no network", tunnel("ten.example", 443), "SP-2011"},
                    {"a suffix", tunnel("a.svc.example", 9005), "allow"},
                    {"the zone itself", tunnel("svc.example", 9005), "SP-2011"},
                    {"another zone", tunnel("evilsvc.example", 9005), "SP-2011"},
                    {"an odd way to write an address", tunnel("0x0a.1", 443), "SP-2011"},
                    {"a short way to write an address", tunnel("10.1", 443), "SP-2011"},
                    {"nothing", tunnel("", 443), "SP-2011"},
                    {"a listed hop", tunnel("hop.example", 22), "allow"},
                    {"port 22 by a wildcard", tunnel("10.5.0.1", 22), "SP-6005"},
                    {"port 22 elsewhere", tunnel("localhost", 22), "SP-6005"},
                    {"denied", tunnel("10.66.0.1", 443), "SP-2002"},
                    {"remote, listed", tunnel("localhost", 8080, ChannelKind::tunnel_remote), "allow"},
                    {"remote, on every interface", tunnel("", 8080, ChannelKind::tunnel_remote), "SP-2011"},
                    {"remote, any port", tunnel("localhost", 0, ChannelKind::tunnel_remote), "SP-2011"},
                    {"dynamic is as local", tunnel("localhost", 8080, ChannelKind::tunnel_dynamic), "allow"},
                    {"a socket", unix_socket("/run/app.sock"), "allow"},
                    {"another socket", unix_socket("/run/docker.sock"), "SP-2011"},
                    {"a socket by a detour", unix_socket("/run/x/../app.sock"), "SP-2011"},
                    {"a relative socket", unix_socket("app.sock"), "SP-2011"},
                    {"the shell beside the denied tunnel", ask(ChannelKind::shell), "allow"}});
  CHECK(decide(*snapshot, {}, tunnel("localhost", 8080)).obligations.sniff_onward_hop);
  CHECK_FALSE(decide(*snapshot, {}, tunnel("hop.example", 22)).obligations.sniff_onward_hop);
}

TEST_CASE("a jump needs no account, but a target that one of the accounts may reach", "[policy][engine]") {
  const auto snapshot = policy_with("[{channels: [jump, shell], targets: {names: [api-1]}, accounts: [root]}, {channels: [shell], targets: {names: [api-2]}, accounts: [deploy]}]");
  CHECK(code_of(*snapshot, ask(ChannelKind::jump, "api-1", "")) == "allow");
  CHECK(code_of(*snapshot, ask(ChannelKind::jump, "api-1", "deploy")) == "SP-2020");
  CHECK(code_of(*snapshot, ask(ChannelKind::jump, "api-2", "")) == "SP-2009");
  CHECK(code_of(*snapshot, ask(ChannelKind::jump, "db-1", "")) == "SP-2020");
  CHECK(code_of(*snapshot, ask(ChannelKind::jump, "nowhere", "")) == "SP-2020");
  CHECK(code_of(*snapshot, ask(ChannelKind::connect, "api-1", "")) == "SP-2020");

  CHECK(snapshot->find_jump_target("api-1", 22) != nullptr);
  CHECK(snapshot->find_jump_target("i-1", 22) != nullptr);
  CHECK(snapshot->find_jump_target("api-2", 2222) != nullptr);
  CHECK(snapshot->find_jump_target("api-2", 80) == nullptr);
  CHECK(snapshot->find_jump_target("192.0.2.1", 22) == nullptr);
}

TEST_CASE("admin rights come from roles and never to machines", "[policy][engine]") {
  const auto snapshot = must_load(fleet_with("roles:\n  - {name: r, admin: [audit, view]}\n  - {name: s, admin: [approve]}\nbindings:\n"
                                             "  - {role: r, principals: [engineer, robot, gone]}\n  - {role: s, principals: [guest], expires: 2026-11-18T12:00:00Z}\n"));
  const auto may = [&](const char* who, AdminRight right) { return decide_admin(*snapshot, {}, {PrincipalId(who), right, k_noon}); };
  CHECK(may("engineer", AdminRight::audit).allowed());
  CHECK(may("engineer", AdminRight::audit).rule.role == "r");
  CHECK(may("engineer", AdminRight::policy).code == "SP-7003");
  CHECK(may("robot", AdminRight::audit).code == "SP-7003");
  CHECK(may("gone", AdminRight::audit).code == "SP-1009");
  CHECK(may("guest", AdminRight::approve).code == "SP-7003");
  CHECK(may("nobody", AdminRight::audit).code == "SP-7003");
  Lock lock;
  lock.principal = "engineer";
  CHECK(decide_admin(*snapshot, Locks({lock}), {PrincipalId("engineer"), AdminRight::audit, k_noon}).code == "SP-2003");
}

TEST_CASE("what a principal can reach is listed with its accounts", "[policy][engine]") {
  const auto snapshot = policy_with("[{channels: [shell], targets: {labels: {part: api}}, accounts: [deploy]}, {channels: [exec], targets: {names: [db-1]}, accounts: [root], mfa_within: 5m}]");
  const auto rows = list_reachable(*snapshot, {}, ask(ChannelKind::connect, "", ""));
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].target->name.str() == "api-1");
  CHECK(rows[0].account->name.str() == "deploy");
  CHECK(rows[2].target->name.str() == "db-1");
  CHECK(rows[2].needs_second_factor);
  CHECK(list_reachable(*snapshot, {}, ask(ChannelKind::connect, "", ""), 1).size() == 1);
  AccessRequest guest = ask(ChannelKind::connect, "", "");
  guest.principal = PrincipalId("guest");
  CHECK(list_reachable(*snapshot, {}, guest).empty());
}

TEST_CASE("the roles of a login are those that allow something at its target", "[policy][engine]") {
  const auto snapshot = must_load(fleet_with(
      "roles:\n"
      "  - {name: everywhere, allow: [{channels: [shell], targets: all, accounts: [\"*\"]}]}\n"
      "  - {name: api, allow: [{channels: [shell], targets: {labels: {part: api}}, accounts: [deploy], networks: [192.0.2.0/24]}]}\n"
      "  - {name: over, allow: [{channels: [shell], targets: all, accounts: [\"*\"]}]}\n"
      "  - {name: board, admin: [audit]}\n"
      "bindings:\n"
      "  - {role: api, groups: [sre]}\n"
      "  - {role: everywhere, principals: [engineer]}\n"
      "  - {role: over, principals: [engineer], expires: 2026-11-01T00:00:00Z}\n"
      "  - {role: board, principals: [engineer]}\n"));
  using Names = std::vector<std::string>;
  const auto held = [&](const char* principal, const char* target, const char* account) {
    AccessRequest request = ask(ChannelKind::connect, target, account);
    request.principal = PrincipalId(principal);
    return roles_at(*snapshot, request);
  };
  CHECK(held("engineer", "api-1", "deploy") == Names{"api", "everywhere"});
  CHECK(held("engineer", "api-1", "root") == Names{"everywhere"});
  CHECK(held("engineer", "db-1", "deploy") == Names{"everywhere"});
  CHECK(held("engineer", "", "") == Names{"api", "everywhere"});
  CHECK(held("guest", "api-1", "deploy").empty());
  CHECK(held("nobody", "api-1", "deploy").empty());
}

TEST_CASE("an explanation says for each rule why it did not match", "[policy][explain]") {
  const auto snapshot = policy_with(
      "[{channels: [exec], targets: all, accounts: [deploy]}, {channels: [shell], targets: {labels: {env: staging}}, accounts: [deploy]},"
      " {channels: [shell], targets: all, accounts: [deploy], networks: [192.0.2.0/24]}]",
      "[{accounts: [root]}]");
  const Explanation explanation = explain(*snapshot, {}, ask(ChannelKind::shell));
  REQUIRE(explanation.steps.size() == 4);
  CHECK(explanation.steps[0].rule.is_deny);
  CHECK(explanation.steps[0].why_not.find("account deploy") != std::string::npos);
  CHECK(explanation.steps[1].why_not.find("channel shell is not among") != std::string::npos);
  CHECK(explanation.steps[2].why_not.find("env in [staging]") != std::string::npos);
  CHECK(explanation.steps[3].why_not.find("10.1.2.3 is not in 192.0.2.0/24") != std::string::npos);
  CHECK(explanation.decision.code == "SP-2008");
  const std::string text = explanation.text();
  CHECK(text.find("deny SP-2008") == 0);
  CHECK(text.find("policy.yaml:") != std::string::npos);
}

}  // namespace sallyport::policy::test
