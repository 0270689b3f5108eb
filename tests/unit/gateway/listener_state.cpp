#include <catch2/catch.hpp>

#include "gateway/listener/config.h"
#include "gateway/listener/saved_state.h"

using namespace sallyport;
using namespace sallyport::gateway;

namespace {

SavedState some_state() {
  SavedState state;
  state.settings = "host_keys: AAAA\n";
  state.authority = 7;
  state.last_ticket = 99;
  state.generation = 3;
  state.sockets = {{8, "0.0.0.0:2222", false}, {9, "[::]:2222", true}};
  state.kits = {{"01KIT", {10, 11, 12, 13}}};
  WaitingRecord waiting;
  waiting.ticket = 98;
  waiting.client = 14;
  waiting.peer = {IpAddress::parse("2001:db8::7").value(), 5};
  waiting.local = {IpAddress::parse("192.0.2.1").value(), 2222};
  waiting.not_before = Moment(5);
  waiting.deadline = Moment(-6);
  waiting.reads_proxy = true;
  waiting.proxy_bytes = std::string("\r\n\0", 3);
  waiting.jump = JumpRecord{"01OUTER", "recs-1", 22, {Bytes(3, std::byte{1})}, 12};
  state.waiting = {waiting};
  state.children = {{4711, "01SESSION", 97, waiting.peer, waiting.local, "01OUTER", true, "too many"}};
  state.penalties[waiting.peer.address] = {Moment(1), Moment(2), Moment(3)};
  state.counters["accepted"] = 12;
  state.unsent_to_authority = {"first", std::string("se\0cond", 7)};
  return state;
}

}  // namespace

TEST_CASE("the fork server's state survives being written and read", "[gateway][listener]") {
  const SavedState before = some_state();
  auto file = write_state(before);
  REQUIRE(file);
  const auto after = read_state(*file);
  REQUIRE(after);
  CHECK(encode(*after) == encode(before));
  CHECK(after->kits[0].descriptors == std::vector<int>{10, 11, 12, 13});
  CHECK(after->waiting[0].peer == before.waiting[0].peer);
  CHECK(after->waiting[0].deadline == Moment(-6));
  CHECK(after->waiting[0].jump->host_certificates == before.waiting[0].jump->host_certificates);
  CHECK(after->children[0].pid == 4711);
  CHECK(after->children[0].killed_for == "too many");
  CHECK(after->unsent_to_authority == before.unsent_to_authority);
}

TEST_CASE("a saved state that is cut or has a rest is refused", "[gateway][listener]") {
  const Bytes whole = encode(some_state());
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK(!decode_state(ByteView(whole).first(size)));
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  CHECK(!decode_state(longer));
}

TEST_CASE("the listener's settings are read, the rest goes to the session", "[gateway][listener]") {
  const auto config = parse_listener_config(
      "host_keys: AAAA,AAEC\nproxy_protocol_from: 10.0.0.0/8, 2001:db8::/32\nmax_unauthenticated: 10\ndrain_ms: "
      "5000\nkeepalive_ms: 30000\n");
  REQUIRE(config);
  CHECK(config->session.host_keys.size() == 2);
  CHECK(config->session.host_keys[1].size() == 3);
  CHECK(config->proxy_peers.size() == 2);
  CHECK(config->max_unproven == 10);
  CHECK(config->orphan == std::chrono::seconds(5));
  CHECK(config->session.settings.number("keepalive_ms", 0) == 30000);
  CHECK(parse_listener_config("")->max_per_source == 256);
}

TEST_CASE("settings that cannot be are refused by name", "[gateway][listener]") {
  for (const char* lines : {"host_keys: not*base64\n", "proxy_protocol_from: example.org\n", "max_unauthenticated: 0\n",
                            "kits_low: 20\nkits_high: 4\n", "nonsense\n"}) {
    INFO(lines);
    const auto config = parse_listener_config(lines);
    REQUIRE(!config);
    CHECK(config.error().code == Errc::invalid);
    CHECK(!config.error().detail.empty());
  }
}
