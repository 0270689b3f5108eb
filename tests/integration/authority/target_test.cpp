#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "platform/model/bytes.h"
#include "platform/seal/sealed_text.h"
#include "tests/integration/authority/gateway_around.h"

namespace sallyport::test {
namespace {

std::string host_key() { return std::string(text_of(engineer_key().public_key().blob())); }

Envelope outcome(control::TargetOutcome::Step step, const std::string& key = {}) {
  Envelope told;
  told.mutable_target_outcome()->set_step(step);
  told.mutable_target_outcome()->set_host_key(key);
  return told;
}

Envelope credential(const std::string& kind, const std::string& key) {
  Envelope question;
  question.mutable_credential_request()->set_kind(kind);
  question.mutable_credential_request()->set_host_key(key);
  question.mutable_credential_request()->set_session_hash(std::string(32, 'h'));
  return question;
}

}  // namespace

TEST_CASE("a permitted target is dialled and handed over with a certificate for the session's own key", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  const auto [grant, socket] = gateway.open_target(session);
  REQUIRE_FALSE(grant.refuse_before_dial());
  REQUIRE(static_cast<bool>(socket));
  CHECK(static_cast<bool>(target.accept()));
  int on = 0;
  socklen_t size = sizeof on;
  REQUIRE(getsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0);
  CHECK(on != 0);
  REQUIRE(grant.credentials_size() == 1);
  CHECK(grant.credentials(0) == "certificate");
  CHECK(grant.host_keys_size() == 1);
  const auto certificates = gateway.vault.signed_certificates();
  REQUIRE(certificates.size() == 1);
  CHECK(certificates[0].session() == session.label);
  CHECK(certificates[0].principals(0) == "deploy@recs-1");
  CHECK(certificates[0].source_addresses(0) == "127.0.0.1");
  CHECK(certificates[0].valid_before() - certificates[0].valid_after() < 600);
  // The intent stands before the effect.
  const auto events = gateway.recorder.events();
  const auto index = [&](std::string_view name) {
    return std::find_if(events.begin(), events.end(), [&](const Event& event) { return event.name == name; }) - events.begin();
  };
  CHECK(index("target.decided") < index("target.dialled"));
}

TEST_CASE("what no role allows is not dialled", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "careful+deploy+recs-1", stranger_key()).result() == control::AuthAnswer::PARTIAL);
  SessionEnd other = gateway.start_session();
  REQUIRE(gateway.log_in(other, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  std::string without = fleet(target.port());
  without.erase(without.find("bindings:"));
  gateway.apply(without);
  const auto [grant, socket] = gateway.open_target(other);
  CHECK(grant.refuse_before_dial());
  CHECK_FALSE(static_cast<bool>(socket));
  CHECK(grant.refusal().code().starts_with("SP-20"));
  CHECK_FALSE(grant.refusal().reference().empty());
  CHECK_FALSE(static_cast<bool>(target.accept(100ms)));
}

TEST_CASE("a loopback address is refused unless the target's definition names it", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port(), "shell", ""));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  const auto [grant, socket] = gateway.open_target(session);
  CHECK(grant.refuse_before_dial());
  CHECK(grant.refusal().code() == "SP-3005");
  CHECK_FALSE(static_cast<bool>(target.accept(100ms)));
}

TEST_CASE("the gateway's own listener is not dialled as a target", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()), {{"listen", "127.0.0.1:" + std::to_string(target.port())}});
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  CHECK(gateway.open_target(session).first.refusal().code() == "SP-3005");
}

TEST_CASE("a refused port and a silent target each give their message within the deadline", "[authority]") {
  std::uint16_t closed = 0;
  {
    TcpTarget gone;
    closed = gone.port();
  }
  SECTION("refused") {
    Gateway gateway(fleet(closed));
    SessionEnd session = gateway.start_session();
    REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
    CHECK(gateway.open_target(session).first.refusal().code() == "SP-3002");
    CHECK(gateway.recorder.wait_for("target.dial_failed", session.label));
  }
  SECTION("silent: an accept queue that is full drops every SYN") {
    const Fd full(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(full.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(full.get(), 0) == 0);
    socklen_t size = sizeof address;
    REQUIRE(getsockname(full.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    std::vector<Fd> fill;
    for (int i = 0; i < 4; ++i) {
      fill.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      static_cast<void>(::connect(fill.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
    }
    Gateway gateway(fleet(ntohs(address.sin_port)), {{"dial_timeout_ms", "500"}});
    SessionEnd session = gateway.start_session();
    REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
    const auto begin = std::chrono::steady_clock::now();
    CHECK(gateway.open_target(session).first.refusal().code() == "SP-3001");
    CHECK(std::chrono::steady_clock::now() - begin < 2s);
  }
}

TEST_CASE("a secret is lent only for a verified host key, only what was granted, and its lease ends with the session", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "engineer+root+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  const auto [grant, socket] = gateway.open_target(session);
  REQUIRE(grant.credentials_size() == 2);
  CHECK(grant.certificate().empty());
  SECTION("not before the host key was reported") { CHECK_FALSE(session.ask(credential("password", host_key())).has_value()); }
  SECTION("not for another host key") {
    session.tell(outcome(control::TargetOutcome::CONNECTED, host_key()));
    CHECK_FALSE(session.ask(credential("password", std::string(text_of(stranger_key().public_key().blob())))).has_value());
  }
  SECTION("each once") {
    session.tell(outcome(control::TargetOutcome::CONNECTED, host_key()));
    auto agent = session.ask(credential("agent", host_key()));
    REQUIRE(agent.has_value());
    CHECK(agent->descriptors.size() == 1);
    auto password = session.ask(credential("password", host_key()));
    REQUIRE(password.has_value());
    CHECK(password->envelope.credential().password() == "the-password");
    CHECK_FALSE(session.ask(credential("password", host_key()), 300ms).has_value());
    CHECK(gateway.recorder.wait_for("session.violated_protocol", session.label));
    CHECK(gateway.recorder.count("lease.started") == 2);  // what was lent stands before it
    for (const Event& event : gateway.recorder.events()) CHECK(event.json.find("the-password") == std::string::npos);
  }
  gateway.exited(session);
  CHECK(gateway.recorder.wait_for("session.ended", session.label));
}

TEST_CASE("a session that takes a foreign host key for the target's is killed", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  static_cast<void>(gateway.open_target(session));
  SECTION("before it asks for a credential") {
    session.tell(outcome(control::TargetOutcome::CONNECTED, std::string(text_of(stranger_key().public_key().blob()))));
  }
  SECTION("when it has logged in by certificate") {
    session.tell(outcome(control::TargetOutcome::READY, std::string(text_of(stranger_key().public_key().blob()))));
  }
  SECTION("or none at all") { session.tell(outcome(control::TargetOutcome::READY, "")); }
  CHECK(gateway.recorder.wait_for("session.violated_protocol", session.label));
  CHECK(gateway.recorder.count("target.connected") == 0);
}

TEST_CASE("a login by certificate needs no word before its outcome", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  static_cast<void>(gateway.open_target(session));
  session.tell(outcome(control::TargetOutcome::READY, host_key()));
  CHECK(gateway.recorder.wait_for("target.connected", session.label));
  CHECK(gateway.recorder.count("session.violated_protocol") == 0);
}

TEST_CASE("a wrong host key is an alarm", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  static_cast<void>(gateway.open_target(session));
  session.tell(outcome(control::TargetOutcome::HOST_KEY_REFUSED, "wrong"));
  REQUIRE(gateway.recorder.wait_for("target.hostkey_refused", session.label));
  CHECK(gateway.recorder.find("target.hostkey_refused")->fields.get("alarm") == "true");
}

TEST_CASE("each channel is decided on its own and its event comes before its answer", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  static_cast<void>(gateway.open_target(session));
  const auto allowed = gateway.ask_channel(session, 1, "exec", "uptime");
  CHECK(allowed.allowed());
  CHECK(allowed.decision().starts_with("EV"));
  const auto event = gateway.recorder.find("channel.decided", session.label);
  REQUIRE(event.has_value());
  CHECK(event->fields.get("command").empty());
  seal::TextKey key(Secret(std::string(32, 't')), seal::text_key_id(bytes_of("wrapped")));
  CHECK(key.open("channel.decided", session.label, event->fields.get("sealed")) == R"({"command":"uptime"})");
  const auto wrapped = gateway.recorder.find("audit.text_key");
  REQUIRE(wrapped.has_value());
  CHECK(wrapped->fields.get("key") == key.id());
  CHECK(wrapped->fields.get("wrapped") == "d3JhcHBlZA==");
  const auto refused = gateway.ask_channel(session, 2, "tunnel-local");
  CHECK_FALSE(refused.allowed());
  CHECK_FALSE(refused.refusal().reference().empty());
  CHECK_FALSE(gateway.ask_channel(session, 3, "connect").allowed());
  CHECK_FALSE(gateway.ask_channel(session, 4, "no-such-kind").allowed());
  Envelope closed;
  closed.mutable_channel_closed()->set_channel(1);
  closed.mutable_channel_closed()->set_bytes_out(42);
  session.tell(std::move(closed));
  REQUIRE(gateway.recorder.wait_for("channel.closed", session.label));
  CHECK(gateway.recorder.find("channel.closed")->fields.get("bytes_out") == "42");
}

TEST_CASE("a session may report facts of its own, but not in our name", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  Envelope fact;
  fact.mutable_session_event()->set_name("file.written");
  fact.mutable_session_event()->set_json(R"({"path":"/srv/x","principal":"somebody else"})");
  session.tell(std::move(fact));
  REQUIRE(gateway.recorder.wait_for("file.written", session.label));
  CHECK(gateway.recorder.find("file.written")->fields.get("principal") == "engineer");
  // Written anew: no line of its own for a reader of lines, no second field of a name, nothing that steers a terminal.
  Envelope odd;
  odd.mutable_session_event()->set_name("file.opened");
  odd.mutable_session_event()->set_json(
      "{\n\"path\":\"a\",\n\"path\":\"\xc2\x9d"
      "52;c;x\xe2\x80\xae\"\n}");
  session.tell(std::move(odd));
  REQUIRE(gateway.recorder.wait_for("file.opened", session.label));
  CHECK(gateway.recorder.find("file.opened")->fields.get("reported") == R"({"path":"\u009d52;c;x\u202e"})");
  Envelope forged;
  forged.mutable_session_event()->set_name("auth.succeeded");
  forged.mutable_session_event()->set_json("{}");
  session.tell(std::move(forged));
  CHECK(gateway.recorder.wait_for("session.violated_protocol", session.label));
  for (const char* wrong : {"{\"n\":1-2}", "{\"a\":\"\xff\"}", R"({"a":[[[[[[[[[[1]]]]]]]]]]})"}) {
    SessionEnd another = gateway.start_session();
    Envelope broken;
    broken.mutable_session_event()->set_name("file.closed");
    broken.mutable_session_event()->set_json(wrong);
    another.tell(std::move(broken));
    CHECK(gateway.recorder.wait_for("session.violated_protocol", another.label));
  }
}

TEST_CASE("a jump is a session inside a session, of the same principal, that ends with the outer one", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd outer = gateway.start_session();
  REQUIRE(gateway.log_in(outer, "engineer", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  SessionEnd inner = gateway.make_kit();
  gateway.listener.spawn_with([label = inner.label](const control::SpawnInner& order) {  // runs on the fake's thread
    control::SessionStarted started;
    started.set_session(label);
    started.set_outer_session(order.outer_session());
    started.set_inner_target(order.target());
    return started;
  });
  const auto jump_to = [&](const std::string& host) {
    Envelope question;
    question.mutable_open_jump()->set_host(host);
    question.mutable_open_jump()->set_port(22);
    return outer.ask(std::move(question));
  };
  auto refused = jump_to("no-such-target");
  REQUIRE(refused.has_value());
  CHECK_FALSE(refused->envelope.jump_grant().allowed());
  auto granted = jump_to("recs-1");
  REQUIRE(granted.has_value());
  REQUIRE(granted->envelope.jump_grant().allowed());
  CHECK(granted->descriptors.size() == 1);
  CHECK(granted->envelope.jump_grant().inner_session() == inner.label);
  Envelope signed_exchange;
  signed_exchange.mutable_exchange_signed()->set_session(inner.label);
  signed_exchange.mutable_exchange_signed()->set_exchange_hash(inner.hash);
  gateway.vault.say(std::move(signed_exchange));
  SECTION("another principal is refused") {
    CHECK(gateway.log_in(inner, "deploy", stranger_key()).result() != control::AuthAnswer::SUCCESS);
  }
  SECTION("the same principal goes on, and ends with the outer session") {
    REQUIRE(gateway.log_in(inner, "deploy", engineer_key()).result() == control::AuthAnswer::SUCCESS);
    CHECK_FALSE(gateway.open_target(inner).first.refuse_before_dial());
    gateway.exited(outer);
    const auto told = inner.next(3s);
    REQUIRE(told.has_value());
    REQUIRE(told->envelope.has_end_session());
    CHECK(told->envelope.end_session().reason().code() == "SP-2025");
  }
}

TEST_CASE("a bare session serves itself and no channels", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "engineer", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  const auto run = [&](const std::string& command) {
    Envelope question;
    question.mutable_self_service()->set_command(command);
    auto answer = session.ask(std::move(question));
    REQUIRE(answer.has_value());
    return answer->envelope.self_service_answer();
  };
  CHECK(run("ls").text().find("engineer+deploy+recs-1@gateway") != std::string::npos);
  CHECK(run("ls nothing-like-it").text().find("recs-1") == std::string::npos);
  CHECK(run("whoami").text().find("principal  engineer") == 0);
  CHECK(run("config").text().find("@cert-authority gateway,") != std::string::npos);
  CHECK(run("explain 2001").text().find("SP-2001") == 0);
  CHECK(run("explain 9999").exit_status() == 3);
  CHECK(run("rm -rf /").exit_status() == 255);
  CHECK(run("").rows_size() == 2);
  const auto refused = gateway.ask_channel(session, 1, "shell");
  CHECK_FALSE(refused.allowed());
  CHECK(refused.refusal().code() == "SP-2023");
}

}  // namespace sallyport::test
