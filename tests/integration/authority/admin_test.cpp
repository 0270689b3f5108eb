#include <sys/stat.h>

#include "tests/integration/authority/gateway_around.h"

namespace sallyport::test {

TEST_CASE("applying the same policy twice changes nothing the second time", "[authority][admin]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  const std::size_t before = gateway.recorder.count("policy.applied");
  gateway.apply(fleet(target.port()));
  CHECK(gateway.recorder.count("policy.applied") == before);
  CHECK(gateway.admin("GET", "/v1/status").second.find("\"policy_version\":1,") != std::string::npos);
}

TEST_CASE("a wrong policy is refused with its place and nothing changes", "[authority][admin]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  const auto [status, body] =
      gateway.admin("POST", "/v1/apply", R"({"files":[{"name":"bad.yaml","content":"principals:\n  - {name: x, keyz: []}\n"}]})");
  CHECK(status == 400);
  CHECK(body.find("\"file\":\"bad.yaml\"") != std::string::npos);
  CHECK(body.find("\"line\":2") != std::string::npos);
  CHECK(body.find("SP-7001") != std::string::npos);
  CHECK(gateway.admin("GET", "/v1/targets/recs-1").first == 200);
}

TEST_CASE("the intent of a change is in the journal before the change, the outcome after it", "[authority][admin]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  const auto events = gateway.recorder.events();
  const auto at = [&](std::string_view name) {
    return std::find_if(events.begin(), events.end(), [&](const Event& event) { return event.name == name; }) - events.begin();
  };
  CHECK(at("admin.intended") < at("policy.applied"));
}

TEST_CASE("a kill between the steps of a change leaves it done or not done, and the journal says which", "[authority][admin]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  SECTION("before the intent is acknowledged") {
    gateway.recorder.silent = true;
    std::thread asking([&] { static_cast<void>(gateway.admin("POST", "/v1/locks", R"({"principal":"engineer","reason":"x"})")); });
    std::this_thread::sleep_for(200ms);
    gateway.kill_authority();
    asking.join();
    gateway.recorder.silent = false;
    gateway.start_authority(true);
    REQUIRE(gateway.recorder.wait_for("admin.abandoned"));
    CHECK(gateway.admin("GET", "/v1/locks").second.find("engineer") == std::string::npos);
  }
  SECTION("at random moments, thirty times") {
    for (int i = 0; i < 30; ++i) {
      const std::string name = "p" + std::to_string(i);
      std::thread asking([&] { static_cast<void>(gateway.admin("POST", "/v1/locks", R"({"principal":")" + name + R"(","reason":"x"})")); });
      std::this_thread::sleep_for(std::chrono::microseconds(300 * i));
      gateway.kill_authority();
      asking.join();
      gateway.start_authority(true);
      const bool is_set = gateway.admin("GET", "/v1/locks").second.find("\"" + name + "\"") != std::string::npos;
      const auto told = [&](std::string_view event_name) {
        const auto all = gateway.recorder.events();
        return std::any_of(all.begin(), all.end(), [&](const Event& event) {
          return event.name == event_name && (event.fields.get("locked_principal") == name || event.json.find("\"recovered\":true") != std::string::npos);
        });
      };
      INFO(name);
      // A lock that is set has its outcome; nothing is set without an intent.
      if (is_set) {
        CHECK(told("admin.intended"));
        CHECK(eventually([&] { return told("lock.set"); }));
      }
    }
    CHECK(eventually([&] { return gateway.recorder.count("admin.intended") <= gateway.recorder.count("lock.set") + gateway.recorder.count("admin.abandoned") + gateway.recorder.count("policy.applied"); }));
  }
}

TEST_CASE("the admin API answers with problems that a program can read", "[authority][admin]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  CHECK(gateway.admin("GET", "/").first == 404);
  CHECK(gateway.admin("GET", "/v2/status").first == 404);
  CHECK(gateway.admin("POST", "/v1/status").first == 405);
  CHECK(gateway.admin("POST", "/v1/locks", "{").first == 400);
  CHECK(gateway.admin("POST", "/v1/locks", "[1]").first == 400);
  CHECK(gateway.admin("POST", "/v1/locks", R"({"reason":"nobody"})").first == 400);
  CHECK(gateway.admin("POST", "/v1/locks", R"({"principal":"engineer"})").second.find("SP-7005") != std::string::npos);
  CHECK(gateway.admin("DELETE", "/v1/locks/none").first == 404);
  CHECK(gateway.admin("GET", "/v1/principals/nobody").first == 404);
  CHECK(gateway.admin("GET", "/v1/explain?code=9999").first == 404);
  CHECK(gateway.admin("GET", "/v1/explain?principal=engineer&target=recs-1&account=deploy&channel=exec").second.find("\"allowed\":true") != std::string::npos);
  CHECK(gateway.admin("GET", "/v1/explain?principal=engineer&target=recs-1&account=deploy&channel=x11").second.find("\"allowed\":false") != std::string::npos);
  CHECK(gateway.admin("GET", "/v1/targets/recs-1/setup").second.find("TrustedUserCAKeys") != std::string::npos);
  CHECK(gateway.admin("GET", "/v1/secrets/pw/root").first == 404);
  CHECK(gateway.admin("GET", "/v1/%zz").first == 400);
}

TEST_CASE("viewing a recording needs a reason and is an event", "[authority][admin]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  const std::string path = "/v1/recordings/01JC3W9M6T5X1Q8Z7R4N2K0HFA/key";
  CHECK(gateway.admin("POST", path, R"({"wrapped":"AAAA"})").second.find("SP-7005") != std::string::npos);
  const auto [status, body] = gateway.admin("POST", path, R"({"wrapped":"AAAA","reason":"ticket 4711"})");
  CHECK(status == 200);
  CHECK(body.find("6b6b6b") != std::string::npos);
  REQUIRE(gateway.recorder.find("recording.viewed").has_value());
  CHECK(gateway.recorder.find("recording.viewed")->fields.get("reason") == "ticket 4711");
}

TEST_CASE("a secret goes to the vault and its value nowhere else", "[authority][admin]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  CHECK(gateway.admin("PUT", "/v1/secrets/pw/recs-1/root", R"({"kind":"password","value":"canary-12345"})").first == 200);
  REQUIRE(gateway.recorder.wait_for("secret.put"));
  for (const Event& event : gateway.recorder.events()) CHECK(event.json.find("canary-12345") == std::string::npos);
  gateway.vault.sealed = true;
  CHECK(gateway.admin("PUT", "/v1/secrets/pw/x", R"({"value":"y"})").first == 423);
}

TEST_CASE("the admin socket is for its owner only", "[authority][admin]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  struct stat info {};
  REQUIRE(::stat((gateway.folder / "admin.sock").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("a policy survives the authority, and is the same after it", "[authority][admin]") {
  TcpTarget target;
  Gateway gateway(fleet(target.port()));
  const std::string before = gateway.admin("GET", "/v1/roles").second;
  gateway.kill_authority();
  gateway.start_authority(true);
  CHECK(gateway.admin("GET", "/v1/roles").second == before);
}

}  // namespace sallyport::test
