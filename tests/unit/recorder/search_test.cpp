// Words, and the index that knows them only as tokens.
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>

#include "platform/crypto/random.h"
#include "recorder/replay/seen_lines.h"
#include "recorder/search/search_index.h"
#include "recorder/search/words.h"
#include "tests/unit/recorder/journal_maker.h"

using namespace sallyport;
using namespace sallyport::search;

namespace {

IndexedSession session_of(const std::string& label, const std::string& principal, const std::string& target, std::int64_t began) {
  return {SessionId(label), principal, "deploy", target, began, began + 1000, 500, 10};
}
IndexedLine line_of(const std::string& text, std::int64_t wall, bool command = false) { return {1, wall, 600, 3, command, command ? std::optional(7) : std::nullopt, text}; }

std::string everything_in(const std::filesystem::path& folder) {
  std::string all;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(file.path(), std::ios::binary);
    all.append(std::istreambuf_iterator<char>(in), {});
  }
  return all;
}

}  // namespace

TEST_CASE("text is folded and cut into words, whatever its script", "[search]") {
  CHECK(fold("  Hello\t WORLD \xc3\x84\xc3\x96 ") == "hello world \xc3\xa4\xc3\xb6");
  CHECK(words_of(fold("rm -rf /etc/shadow; rm x")) == std::vector<std::string>{"rm", "rf", "etc", "shadow", "x"});
  CHECK(words_of(fold("\xe6\x97\xa5\xe6\x9c\xac")) == std::vector<std::string>{"\xe6\x97\xa5", "\xe6\x97\xa5\xe6\x9c\xac", "\xe6\x9c\xac"});
  CHECK(words_to_ask(fold("\xe6\x97\xa5\xe6\x9c\xac")) == std::vector<std::string>{"\xe6\x97\xa5\xe6\x9c\xac"});
  CHECK(words_of("\xf0\x9f\x9a\x80 up") == std::vector<std::string>{"\xf0\x9f\x9a\x80", "up"});
  CHECK(words_of(fold("\xff\xfe\x80")).empty());
  CHECK(has_phrase("the farm: rm it", "rm it"));
  CHECK_FALSE(has_phrase("the farm items", "rm it"));
  CHECK_FALSE(has_phrase("a alarm", "arm"));
}

TEST_CASE("what was put is found by phrase, word, expression, place, person and time, newest first", "[search]") {
  const Secret key = crypto::random_secret(crypto::system_random(), 32);
  const test::TemporaryFolder folder;
  auto index = SearchIndex::open((folder.path() / "s.sqlite").string(), key);
  REQUIRE(index);
  REQUIRE(index->put(session_of("01A", "engineer", "recs-1", 1000), {line_of("Connection refused by 10.0.0.7", 1100), line_of("cat /etc/shadow", 1200, true)}));
  REQUIRE(index->put(session_of("01B", "auditor", "recs-2", 2000), {line_of("connection was not refused", 2100), line_of("connection refused again", 2200)}));
  const auto texts = [&](const Query& query) {
    std::vector<std::string> found;
    const auto hits = index->find(query);
    REQUIRE(hits);
    for (const Hit& hit : *hits) found.push_back(hit.session.session.str() + ": " + hit.line.text);
    return found;
  };
  CHECK(texts({.text = "Connection  REFUSED"}) == std::vector<std::string>{"01B: connection refused again", "01A: Connection refused by 10.0.0.7"});
  CHECK(texts({.text = "connection refused", .principal = "engineer"}) == std::vector<std::string>{"01A: Connection refused by 10.0.0.7"});
  CHECK(texts({.text = "refused", .target = "recs-2"}).size() == 2);
  CHECK(texts({.text = "refused", .since_us = 2150}).size() == 1);
  CHECK(texts({.text = "refused", .until_us = 2000}).size() == 1);
  CHECK(texts({.text = "refused", .limit = 1}).size() == 1);
  CHECK(texts({.text = "shadow", .commands = true}) == std::vector<std::string>{"01A: cat /etc/shadow"});
  CHECK(texts({.text = "refused", .commands = true}).empty());
  CHECK(texts({.text = "fused"}).empty());
  CHECK(texts({.text = "re[a-z]+sed", .regex = true}).size() == 3);
  CHECK(texts({.text = "connection (was|is) not", .regex = true}).size() == 1);
  CHECK(texts({.text = "n refused a", .regex = true}).size() == 1);
  CHECK(index->find({.text = "(", .regex = true}).error().code == Errc::invalid);
  CHECK(index->find({.text = " -/ "}).error().code == Errc::invalid);
  // A session put again replaces what was known; removed it is gone.
  REQUIRE(index->put(session_of("01B", "auditor", "recs-2", 2000), {line_of("nothing of note", 2100)}));
  CHECK(texts({.text = "connection refused"}).size() == 1);
  REQUIRE(index->remove(SessionId("01A")));
  CHECK(texts({.text = "connection refused"}).empty());
  CHECK(index->reach(SessionId("01B")).value() == 10);
  CHECK(index->reach(SessionId("01A")).value() == 0);
}

TEST_CASE("no word of what was seen stands in the index's files, and another key opens nothing", "[search]") {
  const test::TemporaryFolder folder;
  const std::string file = (folder.path() / "s.sqlite").string();
  {
    auto index = SearchIndex::open(file, Secret(std::string(32, 'k')));
    REQUIRE(index);
    for (int i = 0; i < 50; ++i)
      REQUIRE(index->put(session_of("01S" + std::to_string(i), "engineer", "recs-1", i), {line_of("the canary Xylophon sings in " + std::to_string(i), i), line_of("kanarienvogel", i, true)}));
    const std::string live = everything_in(folder.path());  // with the write-ahead log
    for (const char* word : {"canary", "Xylophon", "xylophon", "sings", "kanarienvogel"}) CHECK(live.find(word) == std::string::npos);
    CHECK(index->find({.text = "xylophon", .limit = 1000})->size() == 50);
  }
  const std::string rest = everything_in(folder.path());
  for (const char* word : {"canary", "Xylophon", "xylophon", "sings", "kanarienvogel"}) CHECK(rest.find(word) == std::string::npos);
  CHECK(SearchIndex::open(file, Secret(std::string(32, 'o'))).error().code == Errc::corrupt);
  { std::ofstream(file, std::ios::trunc | std::ios::binary) << std::string(4096, 'x'); }
  CHECK_FALSE(SearchIndex::open(file, Secret(std::string(32, 'k'))));
}

TEST_CASE("the address of a search database says who, where and which, and never a password", "[search]") {
  const auto place = postgres::parse_place("postgresql://sallyport@db.example:5433/audit_index");
  REQUIRE(place);
  CHECK(place->user == "sallyport");
  CHECK(place->host == "db.example");
  CHECK(place->port == "5433");
  CHECK(place->database == "audit_index");
  CHECK_FALSE(place->is_socket());
  CHECK(place->url() == "postgresql://sallyport@db.example:5433/audit_index");
  CHECK(postgres::parse_place("postgresql://u@[fd00::7]/d")->host == "fd00::7");
  CHECK(postgres::parse_place("postgresql://u@[fd00::7]:99/d")->url() == "postgresql://u@[fd00::7]:99/d");
  const auto socket = postgres::parse_place("postgresql://u@%2Fvar%2Frun%2Fpostgresql/d");
  REQUIRE(socket);
  CHECK(socket->host == "/var/run/postgresql");
  CHECK(socket->is_socket());
  for (const char* wrong : {"", "mysql://u@h/d", "postgresql://h/d", "postgresql://u@h", "postgresql://u@/d", "postgresql://u@h/", "postgresql://u:p@h/d", "postgresql://u@h:0/d", "postgresql://u@h:70000/d",
                            "postgresql://u@h:x/d", "postgresql://u@h/d?sslmode=disable", "postgresql://u@h,i/d", "postgresql://u@h h/d", "postgresql://u@[x]/d", "postgresql://u@[::1/d", "postgresql://@h/d",
                            "postgresql://u@h/d'x", "postgresql://u@%41/d", "postgresql://u@%2Fa b/d"}) {
    INFO(wrong);
    const auto refused = postgres::parse_place(wrong);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::invalid);
  }
  Settings settings;
  settings.set("search_database", "/srv/index.sqlite");
  CHECK(search_place(settings, "usual")->name() == "/srv/index.sqlite");
  CHECK(search_place({}, "usual")->name() == "usual");
  settings.set("search_database", "somewhere");
  CHECK(search_place(settings, "usual").error().detail.starts_with("search.database: "));
}

TEST_CASE("a line is seen when it stood still or scrolled away, not when it was wiped at once", "[search]") {
  std::vector<std::string> lines, commands;
  replay::SeenLines seen(
      20, 4, [&](const replay::SeenLine& line) { lines.push_back(line.text); },
      [&](const replay::SeenCommand& command) { commands.push_back(command.text + " -> " + (command.status ? std::to_string(*command.status) : "?")); });
  std::int64_t now = 0;
  std::uint64_t sequence = 0;
  const auto show = [&](std::string_view text, std::int64_t pause_ms) {
    now += pause_ms * 1000;
    seen.output(bytes_of(text), {now, now, ++sequence});
  };
  const auto was_seen = [&](std::string_view text) { return std::find(lines.begin(), lines.end(), text) != lines.end(); };
  show("one\r\ntwo\r\nthree\r\nfour\r\nfive\r\nsix\r\n", 0);
  CHECK(was_seen("one"));  // scrolled off within the burst
  show("\x1b[2J\x1b[Hblink\x1b[2J\x1b[H", 100);
  CHECK(was_seen("six"));
  CHECK_FALSE(was_seen("blink"));
  show("$ ", 100);
  for (const char c : std::string("uptime")) show(std::string(1, c), 80);
  show("\r\n up 3 days\r\n$ ", 80);
  show("", 100);
  seen.finish();
  CHECK(was_seen("$ uptime"));
  CHECK(was_seen(" up 3 days"));
  CHECK_FALSE(was_seen("$ up"));
  CHECK_FALSE(was_seen("$ uptim"));
  CHECK_FALSE(was_seen("blink"));
}

TEST_CASE("shell integration gives command lines with their status", "[search]") {
  std::vector<std::string> commands;
  replay::SeenLines seen(
      40, 6, [](const replay::SeenLine&) {},
      [&](const replay::SeenCommand& command) { commands.push_back(command.text + " -> " + (command.status ? std::to_string(*command.status) : "?")); });
  seen.output(bytes_of("\x1b]133;A\x07$ \x1b]133;B\x07grep -c x file\r\n\x1b]133;C\x07" "0\r\n\x1b]133;D;1\x07"), {1, 1, 1});
  seen.output(bytes_of("\x1b]133;A\x07$ \x1b]133;B\x07sleep 9\r\n\x1b]133;C\x07"), {2, 2, 2});
  seen.finish();
  CHECK(commands == std::vector<std::string>{"grep -c x file -> 1", "sleep 9 -> ?"});
}
