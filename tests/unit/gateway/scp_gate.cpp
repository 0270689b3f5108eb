#include <catch2/catch.hpp>

#include "gateway/ssh/transfer_gate.h"
#include "tests/unit/gateway/gate_events.h"

using namespace sallyport;
using namespace sallyport::gateway;
using namespace sallyport::gateway::test;

namespace {

constexpr std::string_view k_ack("\0", 1);

struct Line {
  explicit Line(std::string_view command, FileRules rules = {}) : gate(make_scp_gate(command, std::move(rules), events.sink())) {
    REQUIRE(gate);
  }
  Passed client(std::string_view text) { return client_sends(*gate, bytes_of(text)); }
  Passed target(std::string_view text) { return target_sends(*gate, bytes_of(text)); }
  void up(std::string_view text) {
    const Passed passed = client(text);
    REQUIRE(passed.sound);
    REQUIRE(text_of(passed.to_target) == text);
    REQUIRE(passed.to_client.empty());
  }
  void down(std::string_view text) {
    const Passed passed = target(text);
    REQUIRE(passed.sound);
    REQUIRE(text_of(passed.to_client) == text);
    REQUIRE(passed.to_target.empty());
  }
  Told transferred() {
    const auto told = events.named("file.transferred");
    REQUIRE(told.size() == 1);
    return told.front();
  }
  GateEvents events;
  std::unique_ptr<StreamFilter> gate;
};

const FileRules k_srv = rules_for({{"/srv/closed", false, false, false}, {"/srv", true, true, true}});

}  // namespace

TEST_CASE("only a plain scp server call is taken", "[gateway][scp]") {
  GateEvents events;
  const auto taken = [&](std::string_view command) { return make_scp_gate(command, {}, events.sink()) != nullptr; };
  CHECK(taken("scp -t /srv"));
  CHECK(taken("scp -v -r -p -d -t -- /srv"));
  CHECK(taken("scp -rf '/srv/a b' /srv/c"));
  CHECK_FALSE(taken("scp -t -f /srv"));
  CHECK_FALSE(taken("scp /srv /other"));
  CHECK_FALSE(taken("scp -t /srv /other"));
  CHECK_FALSE(taken("scp -t"));
  CHECK_FALSE(taken("scp -t -S /bin/sh /srv"));
  CHECK_FALSE(taken("scp -o ProxyCommand=x -t /srv"));
  CHECK_FALSE(taken("scp -t /srv; id"));
  CHECK_FALSE(taken("scp -t $(id)"));
  CHECK_FALSE(taken("/usr/bin/scp -t /srv"));
}

TEST_CASE("an scp upload is told with its size and hash", "[gateway][scp]") {
  Line line("scp -p -t /srv/", k_srv);
  line.down(k_ack);
  line.up("T1700000000 0 1700000001 0\n");
  line.down(k_ack);
  line.up("C0644 6 file\n");
  line.down(k_ack);
  line.up("abc");
  line.up("def");
  line.up(k_ack);
  line.down(k_ack);
  CHECK(line.transferred().has(R"("path":"/srv/file")"));
  CHECK(line.transferred().has(R"("direction":"up","size":6,"complete":true)"));
  CHECK(line.transferred().has(sha256_hex("abcdef")));
  line.gate->finish();
  CHECK(line.events.named("file.transferred").size() == 1);
}

TEST_CASE("contents that look like control lines stay contents", "[gateway][scp]") {
  Line line("scp -t /srv/", k_srv);
  line.down(k_ack);
  line.up("C0644 23 file\n");
  line.down(k_ack);
  line.up("C0644 3 ../../etc/x\nabc");
  REQUIRE(line.client("xC0644 1 more\n").sound == false);  // two bytes too many: the trailer must be a zero byte
}

TEST_CASE("an scp upload to a refused path never reaches the target", "[gateway][scp]") {
  for (const auto& [command, announced] : std::vector<std::pair<std::string, std::string>>{
           {"scp -t /etc/", "C0644 3 passwd\n"},
           {"scp -t /srv/../etc/", "C0644 3 passwd\n"},
           {"scp -t /srv/closed", "C0644 3 x\n"},
           {"scp -t /srv/", "C0644 3 closed\n"},
           {"scp -t /srv", "C0644 3 closed\n"},    // if /srv is a directory
           {"scp -t relative/", "C0644 3 x\n"},    // only the target's shell knows where that is
           {"scp -t '~/'", "C0644 3 x\n"},
           {"scp -t /srv/", "C0644 3 ..\n"},
           {"scp -t /srv/", "C0644 3 a/b\n"},
           {"scp -t /srv/", "C0644 3 /etc/x\n"},
           {"scp -r -t /srv/", "D0755 0 ..\n"}}) {
    CAPTURE(command, announced);
    Line line(command, k_srv);
    line.down(k_ack);
    const Passed passed = line.client(announced);
    REQUIRE(passed.sound);
    CHECK(passed.to_target.empty());
    CHECK(text_of(passed.to_client).starts_with("\x01scp: "));
    CHECK(text_of(passed.to_client).find("SP-6001") != std::string_view::npos);
    CHECK(text_of(passed.to_client).ends_with("\n"));
    CHECK(line.events.named("file.refused").size() == 1);
    CHECK_FALSE(line.client("E\n").sound);  // no directory was entered
  }
}

TEST_CASE("contents sent before the answer wait, and are contents only if the target agreed", "[gateway][scp]") {
  Line line("scp -t /srv/");
  line.down(k_ack);
  const Passed passed = line.client("C0644 3 a\nabc");
  CHECK(text_of(passed.to_target) == "C0644 3 a\n");
  SECTION("it did") {
    CHECK(text_of(line.target(k_ack).to_target) == "abc");
    CHECK(line.client(k_ack).sound);
    CHECK(line.target(k_ack).sound);
    CHECK(line.transferred().has(sha256_hex("abc")));
  }
  SECTION("it did not: what follows must be a control line again") {
    static_cast<void>(line.target("\x01scp: a: Permission denied\n"));
    CHECK_FALSE(line.client("more\n").sound);
    CHECK(line.events.named("file.transferred").at(0).has(R"("complete":false)"));
  }
}

TEST_CASE("folders of an scp upload are entered and left", "[gateway][scp]") {
  Line line("scp -r -t /srv/new/", rules_for({{"/srv/new/d/closed", false, false, false}, {"/srv/new", true, false, false}}));
  line.down(k_ack);
  line.up("D0755 0 d\n");
  line.down(k_ack);
  CHECK(line.client("D0755 0 closed\n").to_target.empty());
  line.up("C0600 0 empty\n");
  line.down(k_ack);
  line.up(k_ack);
  line.down(k_ack);
  CHECK(line.transferred().has(R"("path":"/srv/new/d/empty")"));
  CHECK(line.transferred().has(R"("complete":true)"));
  line.up("E\n");
  line.down(k_ack);
  CHECK_FALSE(line.client("E\n").sound);
}

TEST_CASE("a refused scp download is stopped before the target's first word", "[gateway][scp]") {
  Line line("scp -f /srv/a /etc/shadow", k_srv);
  CHECK(line.events.named("file.refused").at(0).has("/etc/shadow"));
  const Passed passed = line.client(k_ack);
  CHECK(passed.to_target.empty());
  CHECK(text_of(passed.to_client).starts_with("\x02scp: sallyport: SP-6001"));
  CHECK(line.target("C0644 3 shadow\nabc").to_client.empty());
  CHECK(line.client("whatever").to_target.empty());
}

TEST_CASE("an scp download is told with its hash, a forbidden part of a tree is left out", "[gateway][scp]") {
  Line line("scp -r -f /srv", k_srv);
  line.up(k_ack);
  line.down("D0755 0 srv\n");
  line.up(k_ack);
  const Passed passed = line.target("D0755 0 closed\n");
  REQUIRE(passed.sound);
  CHECK(text_of(passed.to_target).starts_with("\x01"));  // the source goes on with the next
  CHECK(text_of(passed.to_client).starts_with("\x01"));  // the person reads why
  line.down("C0644 3 open\n");
  line.up(k_ack);
  line.down("abc");
  line.down(k_ack);
  line.up(k_ack);
  CHECK(line.transferred().has(R"("path":"/srv/open","direction":"down","size":3,"complete":true)"));
}

TEST_CASE("a client that agrees in advance cannot make a refused file pass", "[gateway][scp]") {
  Line line("scp -r -f /srv", k_srv);
  CHECK(text_of(line.client(std::string(5, '\0')).to_target) == k_ack);  // the rest is not due
  CHECK(text_of(line.target("D0755 0 srv\n").to_target) == k_ack);
  const Passed passed = line.target("C0644 3 closed\n");
  CHECK(text_of(passed.to_target).starts_with("\x01"));
  CHECK(line.target("abc").to_client.empty());
}

TEST_CASE("the target's names cannot lead a client out of its folder", "[gateway][scp]") {
  Line line("scp -f /srv/a");
  line.up(k_ack);
  const Passed passed = line.target("C0644 3 ../.ssh/authorized_keys\n");
  CHECK(passed.sound);
  CHECK(text_of(passed.to_client).find("authorized_keys\n") == std::string_view::npos);
  CHECK(text_of(passed.to_client).starts_with("\x01"));
}

TEST_CASE("scp that breaks its protocol ends the channel", "[gateway][scp]") {
  for (const std::string text : {"\n", "X\n", "C644 3 a\n", "C0644 a\n", "C0644 -3 a\n", "C0644 99999999999999999999 a\n", "C06444 3 a\n",
                                 "C0844 3 a\n", "D0755 0 d\n", "E\n", "T1\n", "T1 0 1 0 junk\n", "Tx 0 1 0\n", "C0644  3 a\n"}) {
    CAPTURE(text);
    Line line("scp -t /srv");
    line.down(k_ack);
    CHECK_FALSE(line.client(text).sound);
    CHECK_FALSE(line.gate->error().empty());
    CHECK_FALSE(line.client("C0644 1 a\n").sound);
  }
  Line endless("scp -t /srv");
  endless.down(k_ack);
  CHECK_FALSE(endless.client(std::string(10'000, 'C')).sound);
  Line flood("scp -t /srv");
  CHECK_FALSE(flood.client(std::string(StreamFilter::k_most_held + 1, 'x')).sound);
  Line answers("scp -t /srv");
  CHECK_FALSE(answers.target(std::string(5000, '\0')).sound);
}

TEST_CASE("a cut scp transfer is told as incomplete with what passed", "[gateway][scp]") {
  Line line("scp -t /srv/", k_srv);
  line.down(k_ack);
  line.up("C0644 6 file\n");
  line.down(k_ack);
  line.up("abc");
  SECTION("the channel ends") {
    line.gate->finish();
    CHECK(line.transferred().has(R"("result":"channel_ended")"));
  }
  SECTION("the rules change") {
    line.gate->replace_rules(rules_for({}));
    CHECK_FALSE(line.client("def").sound);
    CHECK(line.gate->error().find("SP-6006") != std::string_view::npos);
    CHECK(line.transferred().has(R"("result":"SP-6006")"));
  }
  CHECK(line.transferred().has(R"("complete":false)"));
  CHECK(line.transferred().has(R"("ranges":[{"offset":0,"length":3)"));
}

TEST_CASE("an scp file above the limit is refused before its contents", "[gateway][scp]") {
  FileRules rules;
  rules.max_file_bytes = 5;
  Line line("scp -t /srv/", rules);
  line.down(k_ack);
  CHECK(text_of(line.client("C0644 6 file\n").to_client).find("SP-6008") != std::string_view::npos);
  line.up("C0644 5 file\n");
}
