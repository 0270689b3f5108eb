// A real listener process between a fake keeper, a fake authority and clients on loopback addresses.
#include <dirent.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <set>

#include "fake_keeper.h"

using namespace sallyport;
using namespace sallyport::tests;
using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

namespace {

std::string what_is(pid_t pid, const std::string& number) {
  char text[256] = {};
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + number;
  if (readlink(path.c_str(), text, sizeof text - 1) < 0) return "?";
  const std::string target = text;
  return target.substr(0, target.find(':'));
}

std::map<std::string, std::string> descriptors_of(pid_t pid) {
  std::map<std::string, std::string> found;
  DIR* folder = opendir(("/proc/" + std::to_string(pid) + "/fd").c_str());
  REQUIRE(folder != nullptr);
  while (const dirent* entry = readdir(folder))
    if (entry->d_name[0] != '.') found[entry->d_name] = what_is(pid, entry->d_name);
  closedir(folder);
  return found;
}

bool is_alive(pid_t pid) { return kill(pid, 0) == 0; }

std::string proxy_header(const std::string& signature = std::string("\r\n\r\n\0\r\nQUIT\n", 12)) {
  return signature + std::string("\x21\x11\x00\x0c", 4) + std::string("\xcb\x00\x71\x07", 4) + std::string("\x0a\x00\x00\x01", 4) +
         std::string("\x30\x39", 2) + std::string("\x08\xae", 2);
}

}  // namespace

TEST_CASE("a session process holds exactly the descriptors it was handed", "[gateway][listener]") {
  FakeKeeper keeper;
  Client client = keeper.connect();
  const auto said = hello(client);
  REQUIRE(said);
  const auto started = keeper.started(said->session);
  REQUIRE(started);
  if (geteuid() != 0) {
    WARN("skipped: only root may look into a process that is not dumpable");
    return;
  }
  const std::map<std::string, std::string> exact{{"0", "/dev/null"}, {"1", "/dev/null"}, {"2", "/dev/null"}, {"3", "socket"},
                                                 {"4", "socket"},    {"5", "socket"},    {"6", "socket"}};
  CHECK(descriptors_of(started->pid()) == exact);
}

TEST_CASE("the authority learns who came and how the session ended", "[gateway][listener]") {
  FakeKeeper keeper;
  Client client = keeper.connect("127.0.7.7");
  const auto said = hello(client);
  REQUIRE(said);
  CHECK(said->peer == "127.0.7.7");
  const auto started = keeper.started(said->session);
  REQUIRE(started);
  CHECK(started->peer_address() == "127.0.7.7");
  CHECK(std::to_string(started->peer_port()) == said->port);
  CHECK(started->local_address() == "127.0.0.1");
  CHECK(started->local_port() == keeper.port());
  CHECK(is_alive(started->pid()));
  client.send("ring\n");
  CHECK(client.line() == "8192");
  client.send("exit 7\n");
  const auto exited = keeper.exited(said->session);
  REQUIRE(exited);
  CHECK(exited->exit_code() == 7);
  CHECK(exited->signal() == 0);
  CHECK(exited->cpu_us() > 0);
  CHECK(!is_alive(started->pid()));
}

TEST_CASE("IPv6 and IPv4 arrive on one socket under their own names", "[gateway][listener]") {
  FakeKeeper keeper(FakeKeeper::Options{{}, {}, true, true, true});
  Client six = Client::connect6(keeper.port());
  Client four = keeper.connect("127.0.0.3");
  const auto said_six = hello(six);
  const auto said_four = hello(four);
  REQUIRE((said_six && said_four));
  CHECK(said_six->peer == "::1");
  CHECK(said_four->peer == "127.0.0.3");
}

TEST_CASE("a source at its limit loses its own oldest unproven connection", "[gateway][listener]") {
  FakeKeeper keeper(FakeKeeper::Options{{{"max_unauthenticated_per_source", "3"}}, {}, true, true, false});
  Client other = keeper.connect("127.0.0.20");
  REQUIRE(hello(other));
  std::vector<Client> clients;
  std::vector<std::string> sessions;
  const auto come = [&] {
    clients.push_back(keeper.connect("127.0.0.21"));
    const auto said = hello(clients.back());
    REQUIRE(said);
    sessions.push_back(said->session);
  };
  come();
  keeper.prove(sessions[0]);
  for (int i = 0; i < 4; ++i) come();
  const auto exited = keeper.exited(sessions[1]);  // the oldest that had proven nothing
  REQUIRE(exited);
  CHECK(exited->signal() == SIGKILL);
  CHECK(clients[1].is_closed_within(milliseconds(2000)));
  for (const std::size_t lives : {0UL, 2UL, 3UL, 4UL}) {
    clients[lives].send("echo here\n");
    CHECK(clients[lives].line() == "here");
  }
  other.send("echo there\n");
  CHECK(other.line() == "there");
}

TEST_CASE("a source that failed waits, another does not", "[gateway][listener]") {
  FakeKeeper keeper;
  keeper.penalise("127.0.0.30", milliseconds(1500));
  Client probe = keeper.connect("127.0.0.32");  // its answer comes after the penalty was read
  REQUIRE(hello(probe));
  const auto before = Steady::now();
  Client slow = keeper.connect("127.0.0.30");
  Client quick = keeper.connect("127.0.0.31");
  REQUIRE(hello(quick));
  CHECK(Steady::now() - before < milliseconds(1000));
  REQUIRE(hello(slow));
  CHECK(Steady::now() - before > milliseconds(1000));
}

TEST_CASE("a long penalty closes the connection with a line that says why", "[gateway][listener]") {
  FakeKeeper keeper;
  keeper.penalise("127.0.0.33/32", milliseconds(60'000));
  Client probe = keeper.connect("127.0.0.34");
  REQUIRE(hello(probe));
  Client client = keeper.connect("127.0.0.33");
  const auto line = client.line();
  REQUIRE(line);
  CHECK(line->find("SP-5003") != std::string::npos);
  CHECK(client.is_closed_within(milliseconds(1000)));
}

TEST_CASE("the authority can kill a session", "[gateway][listener]") {
  FakeKeeper keeper;
  Client client = keeper.connect();
  const auto said = hello(client);
  REQUIRE(said);
  keeper.kill_session(said->session);
  const auto exited = keeper.exited(said->session);
  REQUIRE(exited);
  CHECK(exited->signal() == SIGKILL);
}

TEST_CASE("after a violation the fork server is a new execution that keeps sockets, kits and children", "[gateway][listener]") {
  for (const std::string how : {"crash", "segv"}) {
    FakeKeeper keeper;
    Client before = keeper.connect("127.0.0.40");
    const auto said_before = hello(before);
    REQUIRE(said_before);
    before.send("layout\n");
    const auto old_layout = before.line();
    Client attacker = keeper.connect("127.0.0.41");
    const auto said = hello(attacker);
    REQUIRE(said);
    attacker.send(how + "\n");
    const auto exited = keeper.exited(said->session);
    REQUIRE(exited);
    // A sanitizer's own handler of SIGSEGV makes forbidden calls.
    CHECK((exited->signal() == SIGSYS || (how == "segv" && exited->signal() == SIGSEGV)));
    REQUIRE(keeper.noted("executing the fork server anew"));

    Client after = keeper.connect("127.0.0.42");
    const auto said_after = hello(after);
    REQUIRE(said_after);
    after.send("layout\n");
    const auto new_layout = after.line();
    CHECK(new_layout != old_layout);
    // The attacker's source is not served, by the new execution either.
    Client again = keeper.connect("127.0.0.41");
    const auto refusal = again.line();
    REQUIRE(refusal);
    CHECK(refusal->find("SP-5003") != std::string::npos);
    // The session of the old execution lives, and is still ours to reap.
    before.send("echo alive\n");
    CHECK(before.line() == "alive");
    before.send("exit 5\n");
    const auto old_exited = keeper.exited(said_before->session);
    REQUIRE(old_exited);
    CHECK(old_exited->exit_code() == 5);
    CHECK(is_alive(keeper.pid()));
    // The kits asked for by the first execution were used by the second: no more than pool and sessions.
    CHECK(keeper.kits_made() <= 4 + 16);
  }
}

TEST_CASE("the fork server is executed anew when its time is over, and again", "[gateway][listener]") {
  FakeKeeper keeper(FakeKeeper::Options{{{"fork_server_age_ms", "300"}}, {}, true, true, false});
  Client client = keeper.connect();
  REQUIRE(hello(client));
  REQUIRE(keeper.noted("its hour is over"));
  std::set<std::string> layouts;
  for (int i = 0; i < 4; ++i) {
    Client one = keeper.connect();
    REQUIRE(hello(one));
    one.send("layout\n");
    layouts.insert(one.line().value_or(""));
    usleep(400'000);
  }
  CHECK(layouts.size() >= 3);
  client.send("echo still\n");
  CHECK(client.line() == "still");
}

TEST_CASE("a new generation of the keeper makes the fork server execute its program anew", "[gateway][listener]") {
  FakeKeeper keeper(FakeKeeper::Options{{{"generation", "1"}}, {}, true, true, false});
  Client client = keeper.connect();
  REQUIRE(hello(client));
  client.send("layout\n");
  const auto old_layout = client.line();
  keeper.send_settings({{"generation", "2"}});
  REQUIRE(keeper.noted("anew: upgrade"));
  Client later = keeper.connect();
  REQUIRE(hello(later));
  later.send("layout\n");
  CHECK(later.line() != old_layout);
  client.send("echo still\n");
  CHECK(client.line() == "still");
}

TEST_CASE("without the authority connections wait, sessions live on", "[gateway][listener]") {
  FakeKeeper keeper;
  Client live = keeper.connect();
  const auto said = hello(live);
  REQUIRE(said);
  keeper.close_authority();
  REQUIRE(keeper.noted("authority's link is closed"));
  Client held = keeper.connect("127.0.0.50");
  CHECK(!held.line(milliseconds(700)));
  live.send("echo alive\n");
  CHECK(live.line() == "alive");
  live.send("exit 3\n");
  usleep(100'000);
  keeper.attach_authority();
  CHECK(hello(held));
  const auto exited = keeper.exited(said->session);  // told to the new authority
  REQUIRE(exited);
  CHECK(exited->exit_code() == 3);
}

TEST_CASE("without kits a connection is closed in bounded time, and served again when they come", "[gateway][listener]") {
  FakeKeeper keeper(FakeKeeper::Options{{{"kit_wait_ms", "600"}}, {}, false, true, false});
  Client client = keeper.connect();
  const auto before = Steady::now();
  const auto line = client.line();
  REQUIRE(line);
  CHECK(line->find("SP-5004") != std::string::npos);
  CHECK(Steady::now() - before < milliseconds(2000));
  keeper.give_kits(true);
  usleep(1'200'000);
  Client next = keeper.connect();
  CHECK(hello(next));
}

TEST_CASE("who waits behind others is not refused while kits come", "[gateway][listener]") {
  FakeKeeper::Options slow{{{"kit_wait_ms", "600"}, {"kits_low", "1"}, {"kits_high", "1"}}, {}, true, true, false};
  slow.kit_pause = milliseconds(100);
  FakeKeeper keeper(slow);
  std::vector<Client> others;
  for (int i = 0; i < 20; ++i) others.push_back(keeper.connect("127.0.1." + std::to_string(1 + i)));
  Client last = keeper.connect();
  const auto before = Steady::now();
  CHECK(hello(last, milliseconds(20'000)));  // 20 kits before hers, 100 ms each
  CHECK(Steady::now() - before > milliseconds(1000));
  for (Client& one : others) CHECK(hello(one));
}

TEST_CASE("when the keeper is gone nothing is accepted and no session outlives the drain time", "[gateway][listener]") {
  FakeKeeper keeper(FakeKeeper::Options{{{"drain_ms", "2000"}}, {}, true, true, false});
  Client client = keeper.connect();
  const auto said = hello(client);
  REQUIRE(said);
  const auto started = keeper.started(said->session);
  REQUIRE(started);
  keeper.close_keeper();
  client.send("echo alive\n");
  CHECK(client.line() == "alive");
  CHECK(client.is_closed_within(milliseconds(3000)));
  CHECK(keeper.ended_within(milliseconds(2000)) == 1);
  CHECK(!is_alive(started->pid()));
}

TEST_CASE("a shutdown closes the sockets, gives kits back and lets sessions end", "[gateway][listener]") {
  FakeKeeper keeper;
  Client client = keeper.connect();
  REQUIRE(hello(client));
  keeper.shut_down(milliseconds(10'000));
  client.send("echo alive\n");
  CHECK(client.line() == "alive");
  for (int i = 0; i < 200 && keeper.discarded().size() < 4; ++i) usleep(10'000);
  CHECK(keeper.discarded().size() >= 4);
  client.close();
  CHECK(keeper.ended_within(milliseconds(3000)) == 0);
}

TEST_CASE("a shutdown without grace kills what is left", "[gateway][listener]") {
  FakeKeeper keeper;
  Client client = keeper.connect();
  REQUIRE(hello(client));
  keeper.shut_down(milliseconds(0));
  CHECK(client.is_closed_within(milliseconds(1000)));
  CHECK(keeper.ended_within(milliseconds(2000)) == 0);
}

TEST_CASE("a listed proxy names the client, others are taken as they are", "[gateway][listener]") {
  FakeKeeper keeper(FakeKeeper::Options{{{"proxy_protocol_from", "127.0.1.0/24"}, {"proxy_wait_ms", "500"}}, {}, true, true, false});
  Client direct = keeper.connect("127.0.2.1");
  const auto said_direct = hello(direct);
  REQUIRE(said_direct);
  CHECK(said_direct->peer == "127.0.2.1");

  Client proxied = keeper.connect("127.0.1.1");
  const std::string header = proxy_header();
  proxied.send(header.substr(0, 5));
  usleep(50'000);
  proxied.send(header.substr(5) + "echo first bytes\n");
  const auto said = hello(proxied);
  REQUIRE(said);
  CHECK(said->peer == "203.0.113.7");
  CHECK(said->port == "12345");
  CHECK(proxied.line() == "first bytes");  // nothing behind the header was eaten

  Client naked = keeper.connect("127.0.1.2");
  naked.send("SSH-2.0-OpenSSH_9.2\r\n");
  CHECK(naked.is_closed_within(milliseconds(400)));
  Client silent = keeper.connect("127.0.1.3");
  CHECK(silent.is_closed_within(milliseconds(1500)));
}

TEST_CASE("a jump gets a session of its own that ends with the outer one", "[gateway][listener]") {
  FakeKeeper keeper(FakeKeeper::Options{{{"max_jumps_per_session", "2"}}, {}, true, true, false});
  Client outer = keeper.connect("127.0.0.60");
  const auto said_outer = hello(outer);
  REQUIRE(said_outer);
  std::vector<Client> inner;
  const auto jump = [&] {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const Fd theirs(pair[1]);
    inner.emplace_back(Fd(pair[0]));
    return keeper.spawn_inner(said_outer->session, "recs-1", theirs);
  };
  const auto first = jump();
  REQUIRE((first && first->has_session_started()));
  const auto said = hello(inner[0]);
  REQUIRE(said);
  CHECK(said->session == first->session_started().session());
  CHECK(said->outer == said_outer->session);
  CHECK(said->target == "recs-1");
  CHECK(said->peer == "127.0.0.60");
  CHECK(first->session_started().outer_session() == said_outer->session);
  REQUIRE(jump());
  const auto third = jump();
  REQUIRE((third && third->has_failure()));
  CHECK(third->failure().detail().find("too many jumps at once") != std::string::npos);

  outer.send("exit 0\n");
  const auto exited = keeper.exited(said->session);  // it ignores the outer's end; the listener does not
  REQUIRE(exited);
  CHECK(exited->signal() == SIGKILL);
}

TEST_CASE("jumps of one session are limited in rate, and need a live outer session", "[gateway][listener]") {
  FakeKeeper keeper(FakeKeeper::Options{{{"jumps_per_second", "1"}}, {}, true, true, false});
  Client outer = keeper.connect();
  const auto said = hello(outer);
  REQUIRE(said);
  int refused = 0;
  for (int i = 0; i < 5; ++i) {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const Fd mine(pair[0]);
    const Fd theirs(pair[1]);
    const auto answer = keeper.spawn_inner(i == 4 ? "no such session" : said->session, "recs-1", theirs);
    REQUIRE(answer);
    if (answer->has_failure()) ++refused;
  }
  CHECK(refused == 3);
}
