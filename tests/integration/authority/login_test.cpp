#include "tests/integration/authority/gateway_around.h"

namespace sallyport::test {
namespace {

using control::AuthAnswer;

control::AuthAttempt probe(const crypto::SshPrivateKey& key, const std::string& user) {
  control::AuthAttempt attempt;
  attempt.set_user(user);
  attempt.set_method("publickey");
  attempt.set_probe(true);
  attempt.set_algorithm(std::string(key.public_key().name()));
  attempt.set_key_blob(std::string(text_of(key.public_key().blob())));
  return attempt;
}

control::AuthAttempt code(const std::string& user, const std::string& digits) {
  control::AuthAttempt attempt;
  attempt.set_user(user);
  attempt.set_method("keyboard-interactive");
  if (!digits.empty()) attempt.add_responses(digits);
  return attempt;
}

}  // namespace

TEST_CASE("a signed key logs in, and the login stands in the journal before the session hears of it", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.attempt(session, probe(engineer_key(), "engineer+deploy+recs-1")).result() == AuthAnswer::KEY_OK);
  REQUIRE_FALSE(gateway.recorder.find("auth.succeeded", session.label).has_value());
  const AuthAnswer answer = gateway.log_in(session, "engineer+deploy+recs-1", engineer_key());
  REQUIRE(answer.result() == AuthAnswer::SUCCESS);
  CHECK(answer.identity().principal() == "engineer");
  CHECK(answer.identity().account() == "deploy");
  CHECK(answer.identity().target() == "recs-1");
  const auto event = gateway.recorder.find("auth.succeeded", session.label);
  REQUIRE(event.has_value());
  CHECK(event->fields.get("principal") == "engineer");
  CHECK(event->fields.get("decision") == "allow");
  CHECK(eventually([&] { return gateway.listener.proven() == std::vector<std::string>{session.label}; }));
}

TEST_CASE("an offered key proves nothing", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.attempt(session, probe(engineer_key(), "engineer+deploy+recs-1")).result() == AuthAnswer::KEY_OK);
  // A session process that goes on as if it were logged in is killed.
  Envelope question;
  question.mutable_open_target()->set_ephemeral_public_key("x");
  CHECK_FALSE(session.ask(std::move(question), 300ms).has_value());
  CHECK(gateway.recorder.wait_for("session.violated_protocol", session.label));
  CHECK(eventually([&] { return gateway.listener.killed() == std::vector<std::string>{session.label}; }));
}

TEST_CASE("the word of a session process that a signature is right counts for nothing", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  auto attempt = gateway.signed_attempt(session, "engineer+deploy+recs-1", stranger_key());
  attempt.set_key_blob(std::string(text_of(engineer_key().public_key().blob())));
  attempt.set_verified_here(true);
  CHECK(gateway.attempt(session, attempt).result() != AuthAnswer::SUCCESS);
  REQUIRE(gateway.recorder.wait_for("auth.attempted", session.label));
  CHECK(gateway.recorder.find("auth.attempted", session.label)->fields.get("decision") == "deny");
}

TEST_CASE("a signature for another connection is refused, whatever session identifier the session names", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd victim = gateway.start_session();
  SessionEnd thief = gateway.start_session();
  const auto stolen = gateway.signed_attempt(victim, "engineer+deploy+recs-1", engineer_key());
  SECTION("with the identifier it was made for") { CHECK(gateway.attempt(thief, stolen).result() == AuthAnswer::DISCONNECT); }
  SECTION("with its own identifier") {
    auto changed = stolen;
    changed.set_session_hash(thief.hash);
    CHECK(gateway.attempt(thief, changed).result() != AuthAnswer::SUCCESS);
  }
  CHECK_FALSE(gateway.recorder.find("auth.succeeded").has_value());
}

TEST_CASE("a stranger's key, an unknown principal and a wrong target are refused alike", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  CHECK(gateway.log_in(session, "engineer+deploy+recs-1", stranger_key()).result() == AuthAnswer::REFUSED);
  SessionEnd other = gateway.start_session();
  CHECK(gateway.log_in(other, "nobody+deploy+recs-1", stranger_key()).result() == AuthAnswer::REFUSED);
  CHECK(eventually([&] { return gateway.recorder.count("auth.attempted") == 2; }));
}

TEST_CASE("a one-time code is good for one login, also across connections and a restart", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "careful+deploy+recs-1", stranger_key()).result() == AuthAnswer::PARTIAL);
  REQUIRE(gateway.attempt(session, code("careful+deploy+recs-1", "")).result() == AuthAnswer::ASK);
  REQUIRE(gateway.attempt(session, code("careful+deploy+recs-1", "123456")).result() == AuthAnswer::SUCCESS);
  const auto again = [&] {
    SessionEnd second = gateway.start_session();
    REQUIRE(gateway.log_in(second, "careful+deploy+recs-1", stranger_key()).result() == AuthAnswer::PARTIAL);
    REQUIRE(gateway.attempt(second, code("careful+deploy+recs-1", "")).result() == AuthAnswer::ASK);
    return gateway.attempt(second, code("careful+deploy+recs-1", "123456")).result();
  };
  CHECK(again() != AuthAnswer::SUCCESS);
  gateway.kill_authority();
  gateway.start_authority(true);
  CHECK(again() != AuthAnswer::SUCCESS);
}

TEST_CASE("a login that takes too long is ended with the reason", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()), {{"login_grace_ms", "300"}});
  SessionEnd session = gateway.start_session();
  const auto told = session.next(3s);
  REQUIRE(told.has_value());
  REQUIRE(told->envelope.has_end_session());
  CHECK(told->envelope.end_session().reason().code() == "SP-1005");
  CHECK(gateway.recorder.wait_for("auth.timed_out", session.label));
}

TEST_CASE("without a healthy recorder nobody logs in", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  gateway.recorder.healthy = false;
  REQUIRE(eventually([&] { return gateway.admin("GET", "/v1/status").second.find("not recording") != std::string::npos; }));
  SessionEnd session = gateway.start_session();
  const AuthAnswer answer = gateway.log_in(session, "engineer+deploy+recs-1", engineer_key());
  CHECK(answer.result() == AuthAnswer::DISCONNECT);
  CHECK(answer.message().find("SP-4002") != std::string::npos);
  gateway.recorder.healthy = true;
  REQUIRE(eventually([&] { return gateway.admin("GET", "/v1/status").second.find("\"state\":\"serving\"") != std::string::npos; }));
  SessionEnd later = gateway.start_session();
  CHECK(gateway.log_in(later, "engineer+deploy+recs-1", engineer_key()).result() == AuthAnswer::SUCCESS);
}

TEST_CASE("a login whose event cannot be stored is no login", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  gateway.recorder.silent = true;
  Envelope question;
  *question.mutable_auth_attempt() = gateway.signed_attempt(session, "engineer+deploy+recs-1", engineer_key());
  const auto answer = session.ask(std::move(question), 8s);
  REQUIRE(answer.has_value());
  CHECK(answer->envelope.auth_answer().result() == AuthAnswer::DISCONNECT);
  CHECK(answer->envelope.auth_answer().message().find("SP-4004") != std::string::npos);
}

TEST_CASE("a kit that speaks before anybody has connected is killed", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd kit = gateway.make_kit();
  Envelope question;
  question.mutable_auth_attempt()->set_user("engineer");
  CHECK_FALSE(kit.ask(std::move(question), 300ms).has_value());
  CHECK(gateway.recorder.wait_for("session.violated_protocol", kit.label));
}

TEST_CASE("unknown and known principals take the same time", "[authority][timing]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  const auto attempt_of = [&](const std::string& user, int number) {
    SessionEnd session = gateway.start_session("127.0.1." + std::to_string(number));
    auto attempt = gateway.signed_attempt(session, user, engineer_key());
    attempt.mutable_signature()->back() ^= 1;
    const auto begin = std::chrono::steady_clock::now();
    CHECK(gateway.attempt(session, attempt).result() == AuthAnswer::REFUSED);
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
  };
  // In turns, so that what else the machine does meets both alike.
  std::vector<double> times[2];
  for (int i = 0; i < 15; ++i) {
    times[0].push_back(attempt_of("engineer+deploy+recs-1", i + 1));
    times[1].push_back(attempt_of("nobody+deploy+recs-1", i + 1));
  }
  for (auto& some : times) std::sort(some.begin(), some.end());
  const double known = times[0][7], unknown = times[1][7];
  INFO("known " << known << " us, unknown " << unknown << " us");
  CHECK(std::abs(known - unknown) < 0.5 * std::max(known, unknown) + 300);  // shared machine: the 10 % are measured end to end
}

}  // namespace sallyport::test
