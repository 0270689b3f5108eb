#include <catch2/catch.hpp>

#include "platform/terminal/screen.h"

using sallyport::terminal::Place;
using sallyport::terminal::Screen;

TEST_CASE("a screen shows what was printed and where the cursor stands", "[terminal]") {
  Screen screen({.columns = 20, .rows = 4});
  screen.feed("$ ls -l\r\ntotal 0\r\n$ ");
  CHECK(screen.line_text(0) == "$ ls -l");
  CHECK(screen.line_text(1) == "total 0");
  CHECK(screen.cursor() == Place{2, 2});
  CHECK(screen.text({0, 2}, {0, 7}) == "ls -l");
}

TEST_CASE("text that runs over the edge is one line, text after a newline is not", "[terminal]") {
  Screen screen({.columns = 10, .rows = 5});
  SECTION("soft wrap") {
    screen.feed("abcdefghijklm");
    CHECK(screen.continues(1));
    CHECK(screen.text({0, 0}, {1, 3}) == "abcdefghijklm");
  }
  SECTION("a full row and then a newline") {
    screen.feed("abcdefghij\r\nklm");
    CHECK_FALSE(screen.continues(1));
    CHECK(screen.text({0, 0}, {1, 3}) == "abcdefghij\nklm");
  }
  SECTION("the wrap that line editors force by a blank and a carriage return") {
    screen.feed("abcdefghij \rklm");
    CHECK(screen.continues(1));
    CHECK(screen.text({0, 0}, {1, 3}) == "abcdefghijklm");
  }
  SECTION("in pieces, byte by byte") {
    for (const char c : std::string("abcdefghijklm")) screen.feed(std::string(1, c));
    CHECK(screen.continues(1));
  }
  SECTION("erasing the row's end takes the wrap away") {
    screen.feed("abcdefghijklm\x1b[1;5H\x1b[K");
    CHECK_FALSE(screen.continues(1));
  }
  SECTION("at the bottom, where wrapping scrolls") {
    screen.feed("1\r\n2\r\n3\r\n4\r\nabcdefghijklm");
    CHECK(screen.top() == 1);
    CHECK(screen.continues(5));
    CHECK(screen.text({4, 0}, {5, 3}) == "abcdefghijklm");
  }
}

TEST_CASE("lines keep their numbers when they scroll and stay readable within the history", "[terminal]") {
  Screen screen({.columns = 10, .rows = 3, .history = 2});
  std::string out;
  screen.on_line_out = [&](std::uint64_t line, std::string_view text, bool) { out += std::to_string(line) + ":" + std::string(text) + " "; };
  for (int i = 0; i < 6; ++i) screen.feed("line" + std::to_string(i) + "\r\n");
  CHECK(out == "0:line0 1:line1 2:line2 3:line3 ");
  CHECK(screen.first() == 2);
  CHECK(screen.line_text(1).empty());
  CHECK(screen.line_text(2) == "line2");
  CHECK(screen.line_text(5) == "line5");
}

TEST_CASE("wide and combined characters take their cells", "[terminal]") {
  Screen screen({.columns = 10, .rows = 3});
  screen.feed("a\xe6\xbc\xa2z");
  CHECK(screen.cursor().column == 4);
  CHECK(screen.text({0, 0}, {0, 4}) == "a\xe6\xbc\xa2z");
  screen.feed("\r\ne\xcc\x81x");
  CHECK(screen.line_text(1) == "e\xcc\x81x");
  CHECK(screen.cursor().column == 2);
  screen.feed("\x1b[1;3HX");
  CHECK(screen.line_text(0) == "a Xz");
}

TEST_CASE("the alternate screen is apart and leaves the main one as it was", "[terminal]") {
  Screen screen({.columns = 20, .rows = 4});
  screen.feed("$ vim x\r\n\x1b[?1049h\x1b[H~ text");
  CHECK(screen.in_alternate());
  CHECK(screen.line_text(0) == "~ text");
  screen.feed("\x1b[?1049l");
  CHECK_FALSE(screen.in_alternate());
  CHECK(screen.line_text(0) == "$ vim x");
}

TEST_CASE("a smaller window keeps the cursor's row", "[terminal]") {
  Screen screen({.columns = 10, .rows = 4, .history = 8});
  screen.feed("1\r\n2\r\n3\r\n$ abc");
  screen.resize(6, 2);
  CHECK(screen.top() == 2);
  CHECK(screen.line_text(3) == "$ abc");
  CHECK(screen.cursor() == Place{3, 5});
  CHECK(screen.line_text(0) == "1");
  screen.resize(100000, 100000);
  CHECK(screen.columns() == sallyport::terminal::k_most_columns);
}

TEST_CASE("commands to the terminal's host reach the listener", "[terminal]") {
  Screen screen({});
  std::string seen;
  screen.on_command = [&](std::string_view command) { seen += std::string(command) + "|"; };
  screen.feed("\x1b]133;A\x07$ \x1b]133;B\x1b\\");
  CHECK(seen == "133;A|133;B|");
}

TEST_CASE("a repaint on an empty terminal gives the same screen", "[terminal]") {
  Screen screen({.columns = 30, .rows = 5, .attributes = true});
  screen.feed("\x1b[1;31mred\x1b[0m plain \x1b[48;2;1;2;3mrgb\x1b[m\r\n\xe6\xbc\xa2\r\n\x1b[7mx\x1b[27m\x1b[4;9H");
  Screen copy({.columns = 30, .rows = 5, .attributes = true});
  copy.feed(screen.repaint());
  for (std::uint64_t line = 0; line < 5; ++line) CHECK(copy.line_text(line) == screen.line_text(line));
  CHECK(copy.cursor() == screen.cursor());
  CHECK(copy.repaint() == screen.repaint());
}

TEST_CASE("one idle terminal is small", "[terminal]") {
  Screen screen({});
  screen.feed("$ ");
  CHECK(screen.memory() < 20 * 1024);
  screen.feed("\x1b[?1049h");
  CHECK(screen.memory() < 28 * 1024);
  std::string endless = "\x1b]0;";
  endless.append(1 << 20, 'x');
  screen.feed(endless);
  CHECK(screen.memory() < 28 * 1024);
}

TEST_CASE("a repeated character stays within its row whatever count is asked", "[terminal]") {
  Screen screen({.columns = 10, .rows = 3});
  screen.feed("\x1b[5b");  // nothing to repeat yet
  CHECK(screen.line_text(0).empty());
  screen.feed("a\x1b[2bc\x1b[");
  screen.feed("0b");
  CHECK(screen.line_text(0) == "aaacc");
  screen.feed("\r\n\xe6\xbc\xa2\x1b[1b");
  CHECK(screen.line_text(1) == "\xe6\xbc\xa2\xe6\xbc\xa2");
  screen.feed("\r\nx\x1b[99999999999b");
  CHECK(screen.top() <= 1);
}

TEST_CASE("no way of writing a repeat reaches libvterm", "[terminal]") {
  // Each of these held libvterm for good before the sequences were taken apart.
  for (const std::string_view hostile : {"\x1b[99999999b", "\x1b]0;open\x1b[9b", "\x1b\x1b[9b", "\x1b[\r9\nb", "\x1b[9\x7f""b", "\x1b\x80[9b", "\x1b(\x80[9b",
                                         "\xc2\x9b" "9b", "\x9b" "9b", "\x1b[9;9b", "\x1b[:9b", "\x1bPq\x1b[9b", "\x1b[\x1b[9b", "\x1b[?9b", "\x1b[9 b",
                                         "\xe2\x80\x8b\x1b[9b", "\xcc\x81\x1b[9b", "\x1b[\x18\x1b[9b", "\x1b/[9b", "\x1b([9b", "\x1b(/[9b"}) {
    for (std::size_t cut = 0; cut < hostile.size(); ++cut) {
      Screen screen({.columns = 10, .rows = 3});
      screen.feed(hostile.substr(0, cut));
      screen.feed(hostile.substr(cut));
      screen.feed("\x1b[H\x1b[2Jok");
      CHECK(screen.line_text(screen.top()) == "ok");
    }
  }
}

TEST_CASE("control characters inside a sequence act at once and the sequence goes on", "[terminal]") {
  Screen screen({.columns = 10, .rows = 4});
  screen.feed("ab\x1b[\r\n2Cx");
  CHECK(screen.line_text(0) == "ab");
  CHECK(screen.line_text(1) == "  x");
}

TEST_CASE("strings come whole however they are cut, and hide nothing after their end", "[terminal]") {
  for (const std::string_view text : {"\x1b]133;A\x07z", "\x1b]133;A\x1b\\z", "\xc2\x9d" "133;A\xc2\x9cz", "\x1b]133;A\x1b[mz"}) {
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      Screen screen({});
      std::string seen;
      screen.on_command = [&](std::string_view command) { seen += command; };
      screen.feed(text.substr(0, cut));
      screen.feed(text.substr(cut));
      CHECK(seen == "133;A");
      CHECK(screen.line_text(0) == "z");
    }
  }
  Screen screen({});
  screen.feed("\x1bPq hidden\x1b\\a\x1b_k\x18" "b\x1b]2;\xc2\xa3 title\x07" "c\xc2\xa3");
  CHECK(screen.line_text(0) == "abc\xc2\xa3");
  CHECK(screen.title() == "\xc2\xa3 title");
}

TEST_CASE("more parameters than libvterm holds are cut off, and the rest of the sequence acts", "[terminal]") {
  Screen screen({.columns = 20, .rows = 3, .attributes = true});
  screen.feed("\x1b[1;31" + std::string(200, ':') + "mred\x1b[0" + std::string(100, ';') + "m");
  CHECK(screen.line_text(0) == "red");
  screen.feed("\x1b[0002;000000005Hx\x1b[99999999999999;1Hy\x1b[?>7hz\x1b[1$$pz");
  CHECK(screen.line_text(1) == "    x");
  CHECK(screen.line_text(2) == "yzz");
}
