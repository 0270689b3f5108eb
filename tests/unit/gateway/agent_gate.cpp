#include "gateway/ssh/agent_gate.h"

#include <catch2/catch.hpp>

#include "platform/crypto/ssh_public_key.h"
#include "platform/crypto/ssh_wire.h"
#include "tests/unit/gateway/gate_events.h"

using namespace sallyport;
using namespace sallyport::gateway;
using namespace sallyport::gateway::test;
using crypto::SshWriter;

namespace {

Bytes message(std::uint8_t type, std::string_view rest = {}) {
  SshWriter body;
  body.u8(type).raw(bytes_of(rest));
  SshWriter whole;
  whole.string(body);
  return whole.take();
}

const Bytes k_failure_answer = message(5);

Bytes key_blob() {
  SshWriter blob;
  blob.string("ssh-ed25519").string(std::string(32, 'k'));
  return blob.take();
}

}  // namespace

TEST_CASE("a forwarded agent may list keys and sign, and each signature is told with its key", "[gateway][agent]") {
  GateEvents events;
  AgentGate gate(events.sink());
  CHECK(target_sends(gate, message(11)).to_client == message(11));
  SshWriter rest;
  rest.string(key_blob()).string("data to sign").u32(0);
  const Bytes request = message(13, text_of(rest.view()));
  CHECK(target_sends(gate, request).to_client == request);
  const auto told = events.named("agent.signed");
  REQUIRE(told.size() == 1);
  const auto key = crypto::SshPublicKey::parse_blob(key_blob());
  REQUIRE(key);
  CHECK(told[0].has(key->fingerprint()));
  CHECK(text_of(client_sends(gate, bytes_of("any answer")).to_target) == "any answer");
}

TEST_CASE("all other requests to a forwarded agent are answered with failure by the gate", "[gateway][agent]") {
  // add, remove, remove all, smartcard, lock, unlock, add constrained, extension, and what nobody knows
  for (const int type : {0, 1, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 255}) {
    CAPTURE(type);
    GateEvents events;
    AgentGate gate(events.sink());
    const Passed passed = target_sends(gate, message(static_cast<std::uint8_t>(type), "secret key material"));
    CHECK(passed.sound);
    CHECK(passed.to_client.empty());
    CHECK(passed.to_target == k_failure_answer);
    CHECK(events.named("agent.refused").size() == 1);
  }
}

TEST_CASE("agent requests cut anywhere are judged whole", "[gateway][agent]") {
  Bytes stream;
  for (const Bytes& part : {message(11), message(19), message(11)}) stream.insert(stream.end(), part.begin(), part.end());
  GateEvents events;
  AgentGate gate(events.sink());
  Bytes to_agent;
  Bytes to_target;
  for (const std::byte byte : stream) {
    const Passed passed = target_sends(gate, std::span(&byte, 1));
    REQUIRE(passed.sound);
    to_agent.insert(to_agent.end(), passed.to_client.begin(), passed.to_client.end());
    to_target.insert(to_target.end(), passed.to_target.begin(), passed.to_target.end());
  }
  CHECK(to_agent.size() == 2 * message(11).size());
  CHECK(to_target == k_failure_answer);
}

TEST_CASE("an agent request that never ends breaks the channel", "[gateway][agent]") {
  GateEvents events;
  AgentGate gate(events.sink());
  SshWriter start;
  start.u32(UINT32_MAX).u8(13);
  CHECK(target_sends(gate, start.view()).sound);
  CHECK_FALSE(target_sends(gate, Bytes(300 * 1024)).sound);
  CHECK_FALSE(gate.error().empty());
}

TEST_CASE("a signature with a key that cannot be read is still told", "[gateway][agent]") {
  GateEvents events;
  AgentGate gate(events.sink());
  SshWriter rest;
  rest.string("no key at all").string("data").u32(0);
  CHECK_FALSE(target_sends(gate, message(13, text_of(rest.view()))).to_client.empty());
  CHECK(events.named("agent.signed").at(0).has("unknown"));
}
