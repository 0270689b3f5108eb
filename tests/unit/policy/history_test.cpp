// Tests that a policy carries, rules that do nothing, and past decisions made again.
#include "policy_fixture.h"

#include "policy/access/history.h"
#include "policy/access/policy_tests.h"
#include "policy/access/request_text.h"

namespace sallyport::policy::test {
namespace {

std::string event_of(const AccessRequest& request, const Decision& decision, int version) {
  AccessRequest input = request;
  input.command.clear();
  return "{\"command\":\"" + request.command + "\",\"decision\":\"" + std::string(verdict_of(decision)) + "\",\"code\":\"" + decision.code +
         "\",\"policy_version\":" + std::to_string(version) + ",\"input\":" + encode_request(input) + "}";
}

TEST_CASE("a request comes back from its text as it was", "[policy][history]") {
  AccessRequest request = ask(ChannelKind::tunnel_local);
  request.factors.push_back({FactorKind::totp, k_noon - 5min, true});
  request.certificate = CertificateLimits{"uptime", true, false, true, false};
  request.host = "db";
  request.port = 5432;
  request.path = "/run/x";
  request.up = true;
  request.opened = k_noon - 1h;
  request.session_age = 90s;
  request.parallel_sessions = 3;
  request.approvals = {"a", "b"};
  const auto back = decode_request(encode_request(request));
  REQUIRE(back);
  CHECK(encode_request(*back) == encode_request(request));
  CHECK(back->approvals == request.approvals);
  CHECK(back->opened == request.opened);
  CHECK(back->certificate->force_command == "uptime");
  CHECK_FALSE(back->certificate->permit_port_forwarding);
  for (const char* wrong : {"", "{}", "[]", "{\"kind\":\"shell\"}", "{\"kind\":\"nothing\",\"now\":1}"}) CHECK_FALSE(decode_request(wrong));
}

TEST_CASE("past decisions are made again with the same verdicts under the policy and the locks of their time", "[policy][history]") {
  const auto then = policy_with("[{channels: [shell, exec], targets: {labels: {env: prod}}, accounts: [deploy]}]", "[{channels: [exec], targets: {names: [db-1]}}]");
  const auto draft = policy_with("[{channels: [shell], targets: {labels: {env: prod}}, accounts: [deploy]}]");
  Lock lock;
  lock.id = "L";
  lock.target = "api-1";
  const Locks locks({lock});
  History history;
  Comparison same(then);
  Comparison other(draft);
  const auto take = [&](const PastDecision& past, const Locks& at) {
    same.judge(past, at);
    other.judge(past, at);
  };
  int number = 0;
  const auto feed = [&](const AccessRequest& request, const Locks& in_force) {
    ++number;
    history.feed("channel.decided", event_of(request, decide(*then, in_force, request), 7), "E" + std::to_string(number), "S", number, take);
  };
  feed(ask(ChannelKind::shell), {});
  feed(ask(ChannelKind::exec), {});
  feed(ask(ChannelKind::exec, "db-1"), {});
  feed(ask(ChannelKind::shell, "api-2"), {});
  history.feed("lock.set", R"({"lock":"L","locked_target":"api-1","reason":"x"})", "L1", "", 5, take);
  feed(ask(ChannelKind::shell), locks);
  history.feed("lock.removed", R"({"lock":"L"})", "L2", "", 6, take);
  feed(ask(ChannelKind::shell), {});
  history.feed("channel.decided", R"({"decision":"deny","code":"SP-5008","policy_version":7})", "E9", "S", 9, take);  // not the policy's
  history.feed("channel.decided", R"({"decision":"allow"})", "E10", "S", 10, take);  // of an older program
  // A command that may not be read, or not wholly, is none of nothing: what the guard said of it cannot be asked again.
  for (const char* mark : {"command_withheld", "command_truncated"}) {
    std::string event = event_of(ask(ChannelKind::exec), decide(*then, {}, ask(ChannelKind::exec)), 7);
    event.insert(event.size() - 1, std::string(",\"") + mark + "\":true,\"command_bytes\":9");
    history.feed("channel.decided", event, std::string("E-") + mark, "S", 10, take);
  }
  history.feed("session.started", "{}", "E11", "S", 11, take);
  history.feed("channel.decided", "no json", "E12", "S", 12, take);
  CHECK(same.judged() == 6);
  CHECK(same.differ_in_all() == 0);
  CHECK(history.not_replayed() == 3);
  REQUIRE(other.differ_in_all() == 1);  // exec on api-1; exec on db-1 was denied and still is
  CHECK(other.differing().front().past.event == "E2");
  CHECK(other.differing().front().past.verdict == "allow");
  CHECK(other.differing().front().past.policy_version == 7);
  CHECK_FALSE(other.differing().front().now.allowed());
}

TEST_CASE("a sealed command is judged by who may unseal it, and counted by who may not", "[policy][history]") {
  const auto then = policy_with("[{channels: [exec], targets: {labels: {env: prod}}, accounts: [deploy]}]");
  const auto draft = policy_with("[]");
  const std::string bytes(32, 'k');
  seal::TextKey key(Secret(std::string_view(bytes)), "0123456789abcdef");
  AccessRequest request = ask(ChannelKind::exec);
  const auto event = [&](std::string_view session, seal::TextKey& by) {
    std::string json = event_of(request, decide(*then, {}, request), 7);
    return "{\"sealed\":\"" + by.seal("channel.decided", session, R"({"command":"mysqldump payroll"})") + "\"," + json.substr(json.find("\"decision\""));
  };
  unsigned asked = 0;
  std::vector<std::string> commands;
  const auto feed_all = [&](History& history) {
    commands.clear();
    const auto take = [&](const PastDecision& past, const Locks&) { commands.push_back(past.request.command); };
    history.feed("channel.decided", event("S", key), "E1", "S", 100, take);  // its key does not stand before it
    history.feed(seal::k_text_key_event, R"({"key":"0123456789abcdef","recipients":"r","wrapped":"d3JhcHBlZA=="})", "E2", "", 101, take);
    history.feed("channel.decided", event("S", key), "E3", "S", 5, take);  // long ago
    history.feed("channel.decided", event("S", key), "E4", "S", 102, take);
    history.feed("channel.decided", event("S", key), "E5", "S", 103, take);
    history.feed("channel.decided", event("S", key), "E6", "elsewhere", 104, take);                           // moved to another session
    history.feed("channel.decided", event_of(request, decide(*then, {}, request), 7), "E7", "S", 105, take);  // of an older program: in the clear
  };
  History may(
      [&](std::string_view wrapped) {
        ++asked;
        CHECK(wrapped == "d3JhcHBlZA==");
        return Secret(std::string_view(bytes));
      },
      50);
  feed_all(may);
  CHECK(asked == 1);
  CHECK(commands == std::vector<std::string>{"mysqldump payroll", "mysqldump payroll", ""});
  CHECK(may.sealed() == 2);
  History may_not([&](std::string_view) -> std::optional<Secret> { return std::nullopt; }, 50);
  feed_all(may_not);
  CHECK(commands == std::vector<std::string>{""});
  CHECK(may_not.sealed() == 4);
  CHECK(may_not.not_replayed() == 0);
  History unasked;
  feed_all(unasked);
  CHECK(unasked.sealed() == 5);
}

TEST_CASE("commands and files of the past are judged again: all the same under the policy of their time, and what another one changes", "[policy][history]") {
  const std::string allow = "[{channels: [exec], targets: all, accounts: [deploy]}, {channels: [sftp], targets: all, accounts: [deploy], files: [{path: /srv, allow: [up, down]}]}]";
  const auto guarded = [&](const std::string& rules, const std::string& guard) {
    return must_load(fleet_with("roles:\n  - name: r\n    allow: " + rules + "\n    guard: [" + guard + "]\nbindings: [{role: r, principals: [engineer]}]\n"));
  };
  const auto then = guarded(allow, "{deny: [\"reboot*\"]}");
  const auto stricter = guarded("[{channels: [exec], targets: all, accounts: [deploy]}, {channels: [sftp], targets: all, accounts: [deploy], files: [{path: /srv/a, allow: [down]}]}]",
                                "{deny: [\"reboot*\", uptime]}");
  const auto looser = guarded("[{channels: [exec, sftp], targets: all, accounts: [deploy]}]", "{deny: [halt]}");
  History history;
  Comparison same(then), strict(stricter), loose(looser);
  const auto take = [&](const PastDecision& past, const Locks& at) {
    same.judge(past, at);
    strict.judge(past, at);
    loose.judge(past, at);
  };
  int number = 0;
  const auto feed = [&](const std::string& name, const std::string& json) {
    ++number;
    history.feed(name, json, "E" + std::to_string(number), "S", number, take);
  };
  const auto open = [&](ChannelKind kind, const std::string& channel, const std::string& command) {
    AccessRequest request = ask(kind);
    request.command = command;
    std::string json = event_of(request, decide(*then, {}, request), 7);
    json.insert(1, "\"channel\":" + channel + ",");
    feed("channel.decided", json);
  };
  open(ChannelKind::exec, "0", "uptime");
  open(ChannelKind::exec, "1", "reboot now");
  feed("guard.judged", R"({"session":"S","reported":{"channel":1,"source":"exec","verdict":"deny","decision":"deny","code":"SP-9110","text":"reboot now"}})");
  feed("channel.closed", R"({"channel":1})");
  feed("channel.closed", R"({"channel":0})");
  open(ChannelKind::sftp, "2", "");
  feed("file.opened", R"({"reported":{"path":"/srv/b","direction":"up","flags":"w","result":"ok"}})");
  feed("file.opened", R"({"reported":{"path":"/srv/a/x","direction":"down","flags":"r","result":"ok"}})");
  feed("file.refused", R"({"reported":{"operation":"read","path":"/etc/passwd","decision":"deny","code":"SP-6001"}})");
  feed("file.refused", R"({"reported":{"operation":"mkdir","path":"/etc/x","decision":"deny","code":"SP-6002"}})");
  CHECK(history.decisions() == 8);
  CHECK(same.judged() == 8);
  CHECK(same.differ_in_all() == 0);
  REQUIRE(strict.differ_in_all() == 2);
  CHECK(strict.differing()[0].past.act->text == "uptime");
  CHECK(strict.differing()[0].verdict == "deny");
  CHECK(strict.differing()[1].past.act->text == "/srv/b");
  CHECK(strict.differing()[1].now.code == "SP-6001");
  REQUIRE(loose.differ_in_all() == 2);
  CHECK(loose.differing()[0].past.act->text == "reboot now");
  CHECK(loose.differing()[1].past.act->text == "/etc/passwd");
  CHECK(loose.differing()[1].verdict == "allow");
  // After a change of rules in mid-transfer, and after the session, nothing is followed any more.
  feed("channel.rules_changed", R"({"channel":2})");
  feed("file.opened", R"({"reported":{"path":"/srv/b","direction":"up","flags":"w","result":"ok"}})");
  open(ChannelKind::exec, "3", "uptime");
  feed("session.ended", "{}");
  feed("channel.closed", R"({"channel":3})");
  CHECK(history.decisions() == 9);
}

TEST_CASE("a policy whose own tests fail is refused at the test's place", "[policy][tests]") {
  const std::string base = fleet_with(role_with("[{channels: [shell], targets: {names: [api-1]}, accounts: [deploy]}]"));
  const auto with = [&](const std::string& test) { return load_text(base + "tests:\n  - " + test + "\n"); };
  CHECK(with("{name: a, who: engineer, target: api-1, account: deploy, channel: shell, expect: allow}").snapshot != nullptr);
  CHECK(with("{name: a, who: engineer, target: api-1, account: deploy, channel: exec, expect: deny, code: SP-2009}").snapshot != nullptr);
  CHECK(with("{name: a, who: stranger, target: api-1, account: deploy, expect: deny}").snapshot != nullptr);
  const Loaded failing = with("{name: shells are closed, who: engineer, target: api-1, account: deploy, channel: shell, expect: deny}");
  REQUIRE(failing.snapshot == nullptr);
  REQUIRE(failing.problems.size() == 1);
  CHECK(failing.problems.front().message.find("shells are closed") != std::string::npos);
  CHECK(failing.problems.front().pointer == "/tests/0");
  CHECK(failing.problems.front().line > 0);
  for (const char* wrong : {"{}", "{name: a, who: engineer, target: api-1, account: deploy, expect: maybe}", "{name: a, who: engineer, target: api-1, account: deploy, expect: allow, when: now}",
                            "{name: a, who: engineer, target: api-1, account: deploy, channel: teleport, expect: allow}"})
    CHECK(with(wrong).snapshot == nullptr);
}

TEST_CASE("what tests reach is counted rule by rule", "[policy][tests]") {
  const auto snapshot = must_load(
      fleet_with(role_with("[{channels: [shell], targets: {names: [api-1]}, accounts: [deploy]}, {channels: [exec], targets: all, accounts: [deploy]}]", "[{targets: {names: [db-1]}}]") +
                 "tests:\n  - {name: a, who: engineer, target: api-1, account: deploy, channel: shell, expect: allow}\n"
                 "  - {name: b, who: engineer, target: db-1, account: deploy, channel: shell, expect: deny}\n"));
  const Coverage coverage = coverage_of(*snapshot, snapshot->tests());
  CHECK(coverage.rules == 3);
  CHECK(coverage.covered == 2);
  REQUIRE(coverage.uncovered.size() == 1);
  CHECK(coverage.uncovered.front().index == 1);
}

TEST_CASE("rules that do nothing are named with the reason", "[policy][tests]") {
  const auto why = [](const std::string& roles) {
    std::vector<std::string> words;
    for (const IdleRule& rule : find_idle_rules(*must_load(fleet_with(roles)))) words.push_back(rule.why);
    return words;
  };
  CHECK(why(role_with("[{channels: [shell], targets: all, accounts: [deploy]}]")).empty());
  CHECK(why("roles:\n  - {name: r, allow: [{channels: [shell], targets: all, accounts: [deploy]}]}\n") == std::vector<std::string>{"dead: nobody has the role"});
  CHECK(why(role_with("[{channels: [shell], targets: {labels: {env: moon}}, accounts: [deploy]}]")) == std::vector<std::string>{"dead: it reaches no account of any target"});
  CHECK(why(role_with("[{channels: [shell], targets: {names: [api-2]}, accounts: [root]}]")) == std::vector<std::string>{"dead: it reaches no account of any target"});
  const auto shadowed = why(role_with("[{channels: [shell, exec], targets: all, accounts: [\"*\"]}, {channels: [exec], targets: {names: [api-1]}, accounts: [deploy]}]"));
  REQUIRE(shadowed.size() == 1);
  CHECK(shadowed.front().find("shadowed by role r, allow 1") == 0);
  // A condition, a limit or a wider reach makes it a rule of its own.
  CHECK(why(role_with("[{channels: [shell], targets: {names: [api-1]}, accounts: [deploy]}, {channels: [shell], targets: all, accounts: [deploy], networks: [10.0.0.0/8]}]")).empty());
  CHECK(why(role_with("[{channels: [shell], targets: all, accounts: [deploy]}, {channels: [shell], targets: {names: [api-1]}, accounts: [deploy], max_duration: 1h}]")).empty());
  CHECK(why(role_with("[{channels: [shell], targets: all, accounts: [deploy]}, {channels: [shell], targets: all, accounts: [deploy]}]")).size() == 1);
  const auto denied = why(role_with("[{channels: [exec], targets: {names: [api-1]}, accounts: [deploy]}]", "[{targets: all}]"));
  REQUIRE(denied.size() == 1);
  CHECK(denied.front().find("denies all of it") != std::string::npos);
}

}  // namespace
}  // namespace sallyport::policy::test
