#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "platform/model/json_text.h"
#include "platform/os/fd.h"
#include "platform/os/log.h"

using namespace sallyport;
using namespace sallyport::os;

namespace {

constexpr std::int64_t k_moment = 1'709'210'096'789'000;  // 2024-02-29T12:34:56.789Z, by date -u -d @1709210096

const LogEventRow& row(LogEvent event) { return k_log_events[static_cast<std::size_t>(event)]; }

/// What `write` writes to standard error, in a process of its own.
template <class Write>
std::string caught(const Write& write) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  Fd read_end(ends[0]), write_end(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(write_end.get(), STDERR_FILENO);
    write();
    ::_exit(0);
  }
  write_end.reset();
  std::string text;
  std::array<char, 4096> part{};
  for (ssize_t got = 0; (got = ::read(read_end.get(), part.data(), part.size())) > 0;) text.append(part.data(), static_cast<std::size_t>(got));
  ::waitpid(pid, nullptr, 0);
  return text;
}

}  // namespace

TEST_CASE("a line of the log is readable by people or by machines", "[platform][log]") {
  CHECK(render_log_line(LogFormat::text, row(LogEvent::keeper_serving), "keeper", k_moment, "serving on [::]:22") ==
        "2024-02-29T12:34:56.789Z info keeper: serving on [::]:22\n");
  CHECK(render_log_line(LogFormat::json, row(LogEvent::service_died), "keeper", k_moment, "vault: \"by signal 9\"\nagain") ==
        R"({"ts":"2024-02-29T12:34:56.789Z","level":"warn","process":"keeper","event":"service.died","message":"vault: \"by signal 9\"\nagain"})"
        "\n");
  CHECK(render_log_line(LogFormat::text, row(LogEvent::config_reloaded), "keeper", 0, "") == "1970-01-01T00:00:00.000Z info keeper: \n");
  CHECK(render_log_line(LogFormat::text, row(LogEvent::config_reloaded), "keeper", 951'868'799'999'999, "x").starts_with("2000-02-29T23:59:59.999Z "));
  CHECK(render_log_line(LogFormat::text, row(LogEvent::config_reloaded), "keeper", 4'107'542'400'000'000, "x").starts_with("2100-03-01T00:00:00.000Z "));
}

TEST_CASE("no text breaks a line of the log", "[platform][log]") {
  for (const std::string& text : {std::string("\x1b[31m\r\nforged: \"x\"\\"), std::string(20'000, '"'), std::string("\xff\xfe\0\x7f", 4), std::string(9'000, '\x01')}) {
    const std::string line = render_log_line(LogFormat::json, row(LogEvent::service_notice), "recorder", k_moment, text);
    CHECK(line.size() <= 4096);
    CHECK(line.find('\n') == line.size() - 1);
    const auto fields = JsonFields::parse(std::string_view(line).substr(0, line.size() - 1));
    REQUIRE(fields);
    CHECK(fields->get("event") == "service.notice");
    const std::string plain = render_log_line(LogFormat::text, row(LogEvent::service_notice), "recorder", k_moment, text);
    CHECK(plain.find('\x1b') == std::string::npos);
    CHECK(plain.size() <= 4096);
  }
}

TEST_CASE("what a service sends to the keeper keeps its event and its level", "[platform][log]") {
  const std::string text = caught([] {
    set_log("warn", "json");
    log_notice("recorder", notice_text(LogEvent::recorder_failed, "recording failed: no room"));
    log_notice("vault", "an older service's words");
    log_line(LogEvent::keeper_stopping, "below the level");
    set_log("info", "text");
    set_log("loud", "xml");
    log_notice("vault", "an older service's words");
  });
  CHECK(text.find(R"("level":"error","process":"recorder","event":"recorder.failed","message":"recording failed: no room"})") != std::string::npos);
  CHECK(text.find("below") == std::string::npos);
  CHECK(text.find(" info vault: an older service's words\n") != std::string::npos);
  CHECK(text.find(R"("process":"vault")") == std::string::npos);
}

TEST_CASE("level and format are handed on to what is started", "[platform][log]") {
  const std::string text = caught([] {
    set_log("error", "json");
    hand_log_on();
    set_log("info", "text");
    name_log_process("listener");
    log_line(LogEvent::keeper_stopping, "below the level");
    log_line(LogEvent::listener_failed, "no");
  });
  CHECK(text.find(R"("level":"error","process":"listener","event":"listener.failed","message":"no")") != std::string::npos);
  CHECK(text.find("below") == std::string::npos);
}

TEST_CASE("a log that nobody reads stops nobody, and says later what was lost", "[platform][log]") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const Fd reader(ends[0]), writer(ends[1]), own(::dup(STDERR_FILENO));
  std::array<char, 65536> part{};
  const auto read_all = [&] {
    std::string text;
    pollfd ready{reader.get(), POLLIN, 0};
    while (::poll(&ready, 1, 0) == 1) {
      const ssize_t got = ::read(reader.get(), part.data(), part.size());
      if (got <= 0) break;
      text.append(part.data(), static_cast<std::size_t>(got));
    }
    return text;
  };
  ::dup2(writer.get(), STDERR_FILENO);
  set_log("info", "text");
  for (int i = 0; i < 200; ++i) log_line(LogEvent::service_notice, std::string(2000, 'x'));  // more than a pipe holds
  const std::string before = read_all();
  log_line(LogEvent::service_notice, "read again");
  const std::string after = read_all();
  ::dup2(own.get(), STDERR_FILENO);
  CHECK(before.size() < 200 * 2000);
  CHECK(before.ends_with("x\n"));
  CHECK(after.find("lines were not taken and are lost\n") != std::string::npos);
  CHECK(after.ends_with("read again\n"));
}

TEST_CASE("a forbidden call is told without memory or locks", "[platform][log]") {
  std::array<char, 256> room{};
  set_log("info", "text");
  CHECK(render_forbidden_call(room, 425, k_moment) == "forbidden system call 425\n");
  set_log("info", "json");
  CHECK(render_forbidden_call(room, 425, k_moment) ==
        "{\"ts\":\"2024-02-29T12:34:56.789Z\",\"level\":\"error\",\"process\":\"session\",\"event\":\"session.forbidden_call\",\"message\":\"forbidden system call 425\"}\n");
  std::array<char, 10> small{};
  CHECK(render_forbidden_call(small, 425, k_moment).size() == 10);
  set_log("info", "text");
}

TEST_CASE("the page of the log lists every event with its level, and no other", "[platform][log]") {
  std::ifstream in(SALLYPORT_SOURCE_DIR "/docs/reference/logs.md");
  std::set<std::string> listed, known;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("| `")) continue;
    const std::size_t name_end = line.find('`', 3), level_end = line.find(" |", name_end + 4);
    if (line.find('.') < name_end) listed.insert(line.substr(3, name_end - 3) + " " + line.substr(name_end + 4, level_end - name_end - 4));
  }
  constexpr std::array<const char*, 4> k_levels{"debug", "info", "warn", "error"};
  for (const LogEventRow& one : k_log_events) known.insert(std::string(one.name) + " " + k_levels[static_cast<std::size_t>(one.level)]);
  CHECK(listed == known);
}
