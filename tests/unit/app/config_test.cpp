#include <catch2/catch.hpp>

#include "app/config.h"
#include "app/suggest.h"

using namespace sallyport;
using namespace sallyport::app;

namespace {

std::string problem_of(const std::string& yaml) {
  const auto config = parse_config(yaml, "s.yaml");
  return config ? "" : config.error().detail;
}

}  // namespace

TEST_CASE("an empty configuration is complete", "[app][config]") {
  const auto config = parse_config("", "s.yaml");
  REQUIRE(config);
  CHECK(config->state_dir == "/var/lib/sallyport");
  CHECK(config->ring_dir == "/run/sallyport/rings");
  CHECK(config->listen == std::vector<std::string>{"[::]:2222", "0.0.0.0:2222"});
  CHECK(config->ring_bytes == 262144);
  CHECK_FALSE(config->node.empty());
  CHECK(config->settings.duration("login_grace_ms", {}) == std::chrono::seconds(30));
  CHECK(config->settings.text("seal_key_file") == "/var/lib/sallyport/seal.key");
}

TEST_CASE("an unknown key is an error with file, line, column and a suggestion", "[app][config]") {
  CHECK(problem_of("node: a\nlimits:\n  auth_atempts: 3\n") == "s.yaml:3:3: unknown key `limits.auth_atempts`. Did you mean `limits.auth_attempts`?");
  CHECK(problem_of("stat_dir: /x\n") == "s.yaml:1:1: unknown key `stat_dir`. Did you mean `state_dir`?");
  CHECK(problem_of("login_grace: 30s\n") == "s.yaml:1:1: unknown key `login_grace`. It belongs into a section: `limits.login_grace`");
  CHECK(problem_of("completely_else: 1\n").find("unknown key `completely_else`. The keys stand in") != std::string::npos);
}

TEST_CASE("a wrong value names its place and what would be right", "[app][config]") {
  CHECK(problem_of("limits: {login_grace: 30}\n") == "s.yaml:1:23: `limits.login_grace`: expected a duration such as 250ms, 30s, 5m or 8h");
  CHECK(problem_of("recording:\n  ring: 1KiB\n") == "s.yaml:2:9: `recording.ring`: must be between 131072 bytes and 67108864 bytes");
  CHECK(problem_of("compat: ancient\n") == "s.yaml:1:9: `compat`: `ancient` is not one of modern, legacy-clients");
  CHECK(problem_of("state_dir: here\n") == "s.yaml:1:12: `state_dir`: must be an absolute path of less than 200 characters");
  CHECK(problem_of("recording: {syslog: yes please}\n").find("must be true or false") != std::string::npos);
  CHECK(problem_of("limits: 3\n").find("is a section") != std::string::npos);
  CHECK(problem_of("listen: []\n").find("needs at least one address") != std::string::npos);
  CHECK(problem_of("limits: {unauthenticated: 10, early_drop_from: 20}\n").find("is above") != std::string::npos);
}

TEST_CASE("a key that is given twice is an error", "[app][config]") {
  CHECK(problem_of("node: a\nnode: b\n") == "s.yaml:2:1: `node` is given twice");
}

TEST_CASE("several problems are reported together", "[app][config]") {
  const std::string problems = problem_of("nod: a\ncompat: x\n");
  CHECK(std::count(problems.begin(), problems.end(), '\n') == 1);
}

TEST_CASE("broken YAML is an error with its place", "[app][config]") {
  CHECK(problem_of("node: [a\n").find("s.yaml:2:1:") == 0);
  CHECK(problem_of("- a\n- b\n").find("expected settings") != std::string::npos);
  CHECK_FALSE(problem_of(std::string(2'000'000, '#')).empty());
}

TEST_CASE("what is printed as effective is the same configuration again", "[app][config]") {
  const auto config = parse_config("node: n1\nlisten: [\"127.0.0.1:22\"]\nrecording: {witness: [/a/b, /c], full: 1GiB}\nlimits: {login_grace: 45s}\n", "s.yaml");
  REQUIRE(config);
  const auto again = parse_config(config->effective, "effective");
  REQUIRE(again);
  CHECK(again->settings.render() == config->settings.render());
  CHECK(again->settings.list("witness_files") == std::vector<std::string>{"/a/b", "/c"});
  CHECK(again->settings.number("full_recording_bytes", 0) == 1ULL << 30);
}

TEST_CASE("each service is told its own state directory", "[app][config]") {
  const auto config = parse_config("state_dir: /srv/s\n", "s.yaml");
  REQUIRE(config);
  CHECK(config->settings_for("vault").text("state_dir") == "/srv/s/vault");
  CHECK(config->settings_for("recorder").text("state_dir") == "/srv/s/recorder");
}

TEST_CASE("settings travel as lines and come back the same", "[app][config]") {
  Settings settings;
  settings.set("a", "1");
  settings.set("text", "with \"quotes\" and \\ and: colon");
  settings.set("list", "x,y , z");
  const auto back = Settings::parse(settings.render());
  REQUIRE(back);
  CHECK(back->text("text") == "with \"quotes\" and \\ and: colon");
  CHECK(back->list("list") == std::vector<std::string>{"x", "y", "z"});
  CHECK(back->number("a", 0) == 1);
  CHECK(back->number("text", 7) == 7);
  CHECK_FALSE(Settings::parse("no colon here"));
  CHECK_FALSE(Settings::parse("a: 1\na: 2"));
}

TEST_CASE("a mistyped word finds its neighbour and a foreign one does not", "[app]") {
  const std::vector<std::string_view> known{"sessions", "status", "serve"};
  CHECK(nearest("sesions", known) == "sessions");
  CHECK(nearest("stauts", known) == "status");
  CHECK(nearest("kubernetes", known).empty());
}

TEST_CASE("a folder, or bytes that are no text, are no configuration of defaults", "[app][config]") {
  const auto folder = load_config("/tmp");
  REQUIRE_FALSE(folder);
  CHECK(folder.error().detail == "/tmp: is a folder, not a configuration file");
  CHECK(load_config("/nonexistent/s.yaml").error().code == Errc::not_found);
  CHECK(problem_of("\xff\xfe\n") == "s.yaml:1:1: not UTF-8 text; save the file as UTF-8");
  CHECK(problem_of("# \xc3\xbc\nnode: a\xe4\n") == "s.yaml:2:8: not UTF-8 text; save the file as UTF-8");
}
