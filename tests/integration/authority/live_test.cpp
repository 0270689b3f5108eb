#include <filesystem>
#include <fstream>

#include "tests/integration/authority/gateway_around.h"

namespace sallyport::test {
namespace {

/// Logged in, granted, one open exec channel.
SessionEnd open_session(Gateway& gateway) {
  SessionEnd session = gateway.start_session();
  REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
  REQUIRE_FALSE(gateway.open_target(session).first.refuse_before_dial());
  REQUIRE(gateway.ask_channel(session, 1, "exec", "sleep 100").allowed());
  return session;
}

/// CPU time of a process, microseconds.
double cpu_us(pid_t pid) {
  double all = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::ifstream stat(task.path() / "schedstat");
    double ns = 0;
    stat >> ns;
    all += ns / 1000;
  }
  return all;
}

}  // namespace

TEST_CASE("what one login with target and exec costs the authority", "[.measure]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  const auto run = [&](int count) {
    for (int i = 0; i < count; ++i) {
      SessionEnd session = gateway.make_kit();
      std::this_thread::sleep_for(1ms);  // the keeper's link is read before the listener's; no admin call here, it would be measured as well
      gateway.started(session, "127.0.0.1", {}, {});
      control::AuthAttempt none;
      none.set_user("engineer+deploy+recs-1");
      none.set_method("none");
      static_cast<void>(gateway.attempt(session, none));
      control::AuthAttempt probe = gateway.signed_attempt(session, "engineer+deploy+recs-1", engineer_key());
      probe.set_probe(true);
      probe.clear_signature();
      static_cast<void>(gateway.attempt(session, probe));
      REQUIRE(gateway.log_in(session, "engineer+deploy+recs-1", engineer_key()).result() == control::AuthAnswer::SUCCESS);
      REQUIRE_FALSE(gateway.open_target(session).first.refuse_before_dial());
      for (const auto step : {control::TargetOutcome::CONNECTED, control::TargetOutcome::READY}) {
        Envelope told;
        told.mutable_target_outcome()->set_step(step);
        told.mutable_target_outcome()->set_host_key(std::string(text_of(engineer_key().public_key().blob())));
        session.tell(std::move(told));
      }
      REQUIRE(gateway.ask_channel(session, 1, "exec", "uptime").allowed());
      Envelope closed;
      closed.mutable_channel_closed()->set_channel(1);
      session.tell(std::move(closed));
      gateway.exited(session);
      static_cast<void>(target.accept(1s));
    }
  };
  run(50);
  constexpr int k_count = 300;
  const double before = cpu_us(gateway.authority());
  run(k_count);
  const double each = (cpu_us(gateway.authority()) - before) / k_count;
  WARN("CPU of the authority per login, target and exec channel: " << each << " us");
  std::vector<SessionEnd> open;
  for (int i = 0; i < 200; ++i) {
    open.push_back(open_session(gateway));
    static_cast<void>(target.accept(1s));
  }
  const double idle_before = cpu_us(gateway.authority());
  std::this_thread::sleep_for(21s);
  WARN("CPU of the authority with 200 idle sessions: " << (cpu_us(gateway.authority()) - idle_before) / 21e6 * 100 << " %");
}

TEST_CASE("a lock cuts a live session within one second and its process within five", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = open_session(gateway);
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(gateway.admin("POST", "/v1/locks", R"({"principal":"engineer","reason":"laptop lost"})").first == 201);
  const auto told = session.next(1s);
  REQUIRE(told.has_value());
  REQUIRE(told->envelope.has_end_session());
  CHECK(told->envelope.end_session().reason().code() == "SP-2003");
  CHECK(std::chrono::steady_clock::now() - begin < 1s);
  CHECK(gateway.recorder.wait_for("session.cut", session.label));
  // It does not obey.
  CHECK(eventually([&] { return gateway.listener.killed() == std::vector<std::string>{session.label}; }, 7s));
}

TEST_CASE("a lock on the target or the account cuts too, one on another target does not", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = open_session(gateway);
  REQUIRE(gateway.admin("POST", "/v1/locks", R"({"target":"other","reason":"x"})").first == 201);
  CHECK_FALSE(session.next(300ms).has_value());
  SECTION("target") { REQUIRE(gateway.admin("POST", "/v1/locks", R"({"target":"recs-1","reason":"x"})").first == 201); }
  SECTION("account") { REQUIRE(gateway.admin("POST", "/v1/locks", R"({"target":"recs-1","account":"deploy","reason":"x"})").first == 201); }
  const auto told = session.next(1s);
  REQUIRE(told.has_value());
  CHECK(told->envelope.has_end_session());
}

TEST_CASE("a policy change ends the channels that it no longer allows and leaves the others", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = open_session(gateway);
  REQUIRE(gateway.ask_channel(session, 2, "shell").allowed());
  gateway.apply(fleet(target.port(), "shell"));
  const auto told = session.next(1s);
  REQUIRE(told.has_value());
  REQUIRE(told->envelope.has_end_channel());
  CHECK(told->envelope.end_channel().channel() == 1);
  CHECK(told->envelope.end_channel().reason().code().starts_with("SP-2"));
  CHECK_FALSE(session.next(200ms).has_value());
}

TEST_CASE("a session that never reports a host key is not let to say that it is ready", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = open_session(gateway);
  Envelope told;
  told.mutable_target_outcome()->set_step(control::TargetOutcome::READY);
  session.tell(std::move(told));
  CHECK(gateway.recorder.wait_for("session.violated_protocol", session.label));
}

TEST_CASE("an administrator ends a session", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = open_session(gateway);
  REQUIRE(gateway.admin("DELETE", "/v1/sessions/" + session.label, R"({"reason":"change window is over"})").first == 200);
  const auto told = session.next(1s);
  REQUIRE(told.has_value());
  CHECK(told->envelope.end_session().reason().code() == "SP-2016");
  CHECK(told->envelope.end_session().reason().why().find("change window is over") != std::string::npos);
  CHECK(gateway.admin("DELETE", "/v1/sessions/01JC3W9M6T5X1Q8Z7R4N2K0HFA").first == 404);
}

TEST_CASE("the longest duration is counted from the session's start and cuts it", "[authority]") {
  TcpTarget target;
  std::string policy = fleet(target.port());
  policy.replace(policy.find("accounts: [deploy, root]}"), 25, "accounts: [deploy, root], max_duration: 2s}");
  Gateway gateway(policy);
  SessionEnd session = open_session(gateway);
  const auto told = session.next(4s);
  REQUIRE(told.has_value());
  CHECK(told->envelope.end_session().reason().code() == "SP-2013");
}

TEST_CASE("live sessions go on when the authority is killed, with the state that the database has", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  std::vector<SessionEnd> sessions;
  for (int i = 0; i < 5; ++i) sessions.push_back(open_session(gateway));
  SessionEnd unproven = gateway.start_session();
  REQUIRE(eventually([&] { return gateway.admin("GET", "/v1/sessions").second.find(sessions.back().label) != std::string::npos; }));
  // The rows are written in the background, within a few milliseconds.
  std::this_thread::sleep_for(100ms);
  gateway.kill_authority();
  gateway.start_authority(true);
  for (SessionEnd& session : sessions) {
    const auto resume = session.next(2s);
    REQUIRE(resume.has_value());
    CHECK(resume->envelope.has_resume());
    CHECK(gateway.ask_channel(session, 2, "exec", "uptime").allowed());
    CHECK_FALSE(gateway.ask_channel(session, 3, "tunnel-local").allowed());
  }
  // What is restored is what is judged: the channel from before the restart is cut as well.
  gateway.apply(fleet(target.port(), "shell"));
  for (SessionEnd& session : sessions) {
    std::set<std::uint32_t> ended;
    while (const auto told = session.next(500ms))
      if (told->envelope.has_end_channel()) ended.insert(told->envelope.end_channel().channel());
    CHECK(ended == std::set<std::uint32_t>{1, 2});
  }
  // Whoever was logging in has to come anew.
  Envelope question;
  *question.mutable_auth_attempt() = gateway.signed_attempt(unproven, "engineer+deploy+recs-1", engineer_key());
  unproven.tell(std::move(question));
  bool ended = false;
  while (const auto told = unproven.next(1s)) ended = ended || told->envelope.end_session().reason().code() == "SP-5004";
  CHECK(ended);
}

TEST_CASE("a session cannot talk itself into another state around a restart", "[authority]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = gateway.start_session();
  std::this_thread::sleep_for(50ms);
  gateway.kill_authority();
  gateway.start_authority(true);
  Envelope question;
  question.mutable_channel_ask()->set_kind("exec");
  static_cast<void>(session.ask(std::move(question), 300ms));
  CHECK_FALSE(gateway.recorder.find("channel.decided", session.label).has_value());
}

TEST_CASE("a session that ended while there was no authority is closed in the books", "[authority][slow]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SessionEnd session = open_session(gateway);
  std::this_thread::sleep_for(500ms);  // its row waits a quarter of a second for company
  gateway.kill_authority();
  gateway.exited(session);  // its link is not handed to the new authority; the listener's word waits on its link
  gateway.start_authority(true);
  REQUIRE(gateway.recorder.wait_for("session.ended", session.label, 20s));
  CHECK(gateway.recorder.find("session.ended", session.label)->fields.get("outcome") == "lost");
}

}  // namespace sallyport::test
