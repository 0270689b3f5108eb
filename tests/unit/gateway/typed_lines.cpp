#include "gateway/ssh/typed_lines.h"

#include <catch2/catch.hpp>

#include "platform/model/bytes.h"

using namespace sallyport;
using namespace sallyport::gateway;

namespace {

struct Terminal {
  TypedLines lines;
  std::vector<TypedLines::Verdict> verdicts;

  void types(std::string_view text) {
    ByteView rest = bytes_of(text);
    for (const auto& piece : lines.split(rest)) {
      lines.released(piece, rest.first(piece.length));
      rest = rest.subspan(piece.length);
    }
    collect();
  }
  void shows(std::string_view text) {
    lines.shown(bytes_of(text));
    collect();
  }
  void collect() {
    for (const auto& verdict : lines.take_verdicts()) verdicts.push_back(verdict);
  }
  void settle() {
    for (int i = 0; i < 4; ++i) lines.tick();
    collect();
  }
};

}  // namespace

TEST_CASE("a typed line that the screen shows is revealed", "[gateway][typing]") {
  Terminal terminal;
  for (const char c : std::string_view("ls -l")) {
    terminal.types(std::string(1, c));
    terminal.shows(std::string(1, c));
  }
  terminal.types("\r");
  terminal.shows("\r\ntotal 0\r\n");
  REQUIRE(terminal.verdicts.size() == 1);
  CHECK(terminal.verdicts[0].echoed);
  CHECK(terminal.verdicts[0].bytes == 6);
  CHECK(terminal.verdicts[0].line == 1);
}

TEST_CASE("a typed password stays closed, also when the next prompt comes", "[gateway][typing]") {
  Terminal terminal;
  terminal.shows("[sudo] password for deploy: ");
  terminal.types("hunter2\r");
  terminal.shows("\r\n");
  terminal.shows("deploy@recs-1:~$ ");
  terminal.settle();
  REQUIRE(terminal.verdicts.size() == 1);
  CHECK_FALSE(terminal.verdicts[0].echoed);
  CHECK(terminal.verdicts[0].bytes == 8);
}

TEST_CASE("stars instead of a password are no echo", "[gateway][typing]") {
  Terminal terminal;
  for (const char c : std::string_view("secret")) {
    terminal.types(std::string(1, c));
    terminal.shows("*");
  }
  terminal.types("\r");
  terminal.shows("\r\nwelcome\r\n");
  terminal.settle();
  REQUIRE(terminal.verdicts.size() == 1);
  CHECK_FALSE(terminal.verdicts[0].echoed);
}

TEST_CASE("a program that prints the password's letters later does not reveal it", "[gateway][typing]") {
  Terminal terminal;
  terminal.types("abc\r");
  terminal.shows("\r\n");
  terminal.shows("a b c abc alphabet code\r\n");
  terminal.settle();
  REQUIRE(terminal.verdicts.size() == 1);
  CHECK_FALSE(terminal.verdicts[0].echoed);
}

TEST_CASE("corrections while typing do not close a line", "[gateway][typing]") {
  Terminal terminal;
  terminal.types("lx");
  terminal.shows("lx");
  terminal.types("\x7f");
  terminal.shows("\b \b");
  terminal.types("s\r");
  terminal.shows("s\r\n");
  terminal.settle();
  REQUIRE(terminal.verdicts.size() == 1);
  CHECK(terminal.verdicts[0].echoed);
}

TEST_CASE("a line of history keys alone holds no secret", "[gateway][typing]") {
  Terminal terminal;
  terminal.types("\x1b[A\r");
  terminal.shows("rm -r /tmp/x\r\n");
  terminal.settle();
  REQUIRE(terminal.verdicts.size() == 1);
  CHECK(terminal.verdicts[0].echoed);
}

TEST_CASE("pasted lines are judged one by one", "[gateway][typing]") {
  Terminal terminal;
  terminal.types("one\rtwo\rthr");
  terminal.shows("one\r\ntwo\r\nthr");
  terminal.types("ee\r");
  terminal.shows("ee\r\n");
  terminal.settle();
  REQUIRE(terminal.verdicts.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(terminal.verdicts[i].line == i + 1);
    CHECK(terminal.verdicts[i].echoed);
  }
}

TEST_CASE("typed pieces cover all bytes in order and lines have a longest length", "[gateway][typing]") {
  TypedLines lines;
  const std::string text = std::string(3000, 'x') + "\r" + "abc";
  std::size_t covered = 0;
  std::uint64_t line = 1;
  for (const auto& piece : lines.split(bytes_of(text))) {
    CHECK(piece.line == line);
    CHECK(piece.length <= TypedLines::k_longest);
    covered += piece.length;
    if (piece.ends_line) ++line;
  }
  CHECK(covered == text.size());
  CHECK(line == 4);
}

TEST_CASE("every typed line gets a verdict in the end, whatever is on the screen", "[gateway][typing]") {
  Terminal terminal;
  for (int i = 0; i < 100; ++i) terminal.types("secret\r");
  terminal.types("half");
  terminal.lines.finish();
  terminal.collect();
  REQUIRE(terminal.verdicts.size() == 101);
  for (std::size_t i = 0; i < terminal.verdicts.size(); ++i) {
    CHECK(terminal.verdicts[i].line == i + 1);
    CHECK_FALSE(terminal.verdicts[i].echoed);
  }
  CHECK_FALSE(terminal.lines.is_waiting());
}

TEST_CASE("a line recalled from the history is revealed when it stood on the screen", "[gateway][typing]") {
  Terminal terminal;
  terminal.lines.size(40, 10);
  SECTION("arrow up and a changed end") {
    terminal.types("\x1b[A");
    terminal.shows("ls -la /srv");
    terminal.types("x\r");
    terminal.shows("x\r\nno such file\r\n");
  }
  SECTION("reverse search") {
    terminal.types("\x12");
    terminal.shows("\r(reverse-i-search)`': ");
    terminal.types("srv");
    terminal.shows("\x1b[3Dsrv': ls -la /srv");
    terminal.types("\r");
    terminal.shows("\r\x1b[K$ ls -la /srv\r\nfile\r\n");
  }
  SECTION("completion, a word at the edge of the terminal") {
    terminal.types("cat /srv/a-very-long-name-of-a-fi\t");
    terminal.shows("cat /srv/a-very-long-name-of-a-file-that-wr \raps ");
    terminal.types("\r");
    terminal.shows("\r\ntext\r\n");
  }
  terminal.settle();
  REQUIRE(terminal.verdicts.size() == 1);
  CHECK(terminal.verdicts[0].echoed);
}

TEST_CASE("editing keys do not open a password that was not shown", "[gateway][typing]") {
  Terminal terminal;
  SECTION("an arrow key in it") {
    terminal.shows("Password: ");
    terminal.types("hunter\x1b[D2\r");
    terminal.shows("\r\n$ ");
  }
  SECTION("begun, erased and typed again after a key that edits") {
    terminal.types("\x01secret\x15hunter2\r");
    terminal.shows("\r\n$ ");
  }
  SECTION("typed ahead of an edited line") {
    terminal.types("ls\r");
    terminal.types("\x01hunter2\r");
    terminal.shows("ls\r\nhunt-er2\r\n");
  }
  terminal.settle();
  REQUIRE_FALSE(terminal.verdicts.empty());
  CHECK_FALSE(terminal.verdicts.back().echoed);
}
