#include "gateway/ssh/menu.h"

#include <catch2/catch.hpp>

#include "platform/model/bytes.h"

using namespace sallyport;
using namespace sallyport::gateway;

namespace {

Menu make_menu() {
  return Menu("engineer", {{"recs-1", "deploy", "env=prod part=api"}, {"recs-2", "deploy", "env=staging part=api"}, {"db-1", "root", "env=prod part=db"}}, 80, 24);
}

Menu::Outcome types(Menu& menu, std::string_view keys) { return menu.key(bytes_of(keys)); }

}  // namespace

TEST_CASE("the menu lists what was granted and Enter takes the marked one", "[gateway][menu]") {
  Menu menu = make_menu();
  const std::string screen = menu.draw();
  for (const std::string_view text : {"recs-1", "recs-2", "db-1", "engineer", "3 of 3"}) CHECK(screen.find(text) != std::string::npos);
  CHECK(types(menu, "\x1b[B") == Menu::Outcome::goes_on);
  CHECK(types(menu, "\r") == Menu::Outcome::chosen);
  REQUIRE(menu.chosen() != nullptr);
  CHECK(menu.chosen()->target == "recs-2");
}

TEST_CASE("typing in the menu narrows the list by every word", "[gateway][menu]") {
  Menu menu = make_menu();
  static_cast<void>(types(menu, "PROD api"));
  REQUIRE(menu.chosen() != nullptr);
  CHECK(menu.chosen()->target == "recs-1");
  CHECK(menu.draw().find("db-1") == std::string::npos);
  static_cast<void>(types(menu, "zzz"));
  CHECK(menu.chosen() == nullptr);
  CHECK(types(menu, "\r") == Menu::Outcome::goes_on);  // there is nothing to take
  CHECK(menu.draw().find("Nothing matches") != std::string::npos);
  static_cast<void>(types(menu, "\x15"));
  CHECK(menu.draw().find("3 of 3") != std::string::npos);
}

TEST_CASE("the menu is left by the usual keys", "[gateway][menu]") {
  for (const std::string_view keys : {"\x03", "\x04", "q"}) {
    Menu menu = make_menu();
    CHECK(types(menu, keys) == Menu::Outcome::quit);
  }
  Menu menu = make_menu();
  CHECK(types(menu, "recs q") == Menu::Outcome::goes_on);  // a letter of the search
}

TEST_CASE("arrow keys cut into single bytes still move the mark, and stop at the ends", "[gateway][menu]") {
  Menu menu = make_menu();
  for (int i = 0; i < 5; ++i)
    for (const char c : std::string_view("\x1b[B")) static_cast<void>(types(menu, std::string(1, c)));
  CHECK(menu.chosen()->target == "db-1");
  for (int i = 0; i < 5; ++i) static_cast<void>(types(menu, "\x1b[A"));
  CHECK(menu.chosen()->target == "recs-1");
}

TEST_CASE("names from elsewhere cannot write control sequences to the terminal", "[gateway][menu]") {
  Menu menu("engineer", {{"evil\x1b]0;pwned\x07", "root\n\r", "a=\x9b"}}, 80, 24);
  const std::string screen = menu.draw();
  CHECK(screen.find("\x1b]0") == std::string::npos);
  CHECK(screen.find('\x07') == std::string::npos);
  CHECK(screen.find('\x9b') == std::string::npos);
}

TEST_CASE("a long list scrolls with the mark and any size of terminal is drawn", "[gateway][menu]") {
  std::vector<Menu::Row> rows;
  for (int i = 0; i < 500; ++i) rows.push_back({"target-" + std::to_string(i), "deploy", ""});
  Menu menu("engineer", rows, 80, 24);
  for (int i = 0; i < 400; ++i) static_cast<void>(types(menu, "\x0e"));
  CHECK(menu.draw().find("target-400") != std::string::npos);
  CHECK(menu.chosen()->target == "target-400");
  for (const std::uint32_t size : {0u, 1u, 5u, 1000u, UINT32_MAX}) {
    menu.resize(size, size);
    CHECK(menu.draw().size() < 200'000);
  }
  Menu empty("engineer", {}, 80, 24);
  CHECK(empty.draw().find("No target is granted") != std::string::npos);
  CHECK(empty.chosen() == nullptr);
}

TEST_CASE("in a list of 200 pages, Home and End move the mark", "[gateway][menu]") {
  std::vector<Menu::Row> rows;
  for (int i = 0; i < 200; ++i) rows.push_back({"target-" + std::to_string(i), "deploy", ""});
  Menu menu("engineer", rows, 80, 24);
  static_cast<void>(types(menu, "\x1b[6~\x1b[6~"));
  CHECK(menu.chosen()->target == "target-40");
  static_cast<void>(types(menu, "\x1b[5~"));
  CHECK(menu.chosen()->target == "target-20");
  static_cast<void>(types(menu, "\x1b[F"));
  CHECK(menu.chosen()->target == "target-199");
  static_cast<void>(types(menu, "\x1b[6~"));
  CHECK(menu.chosen()->target == "target-199");
  static_cast<void>(types(menu, "\x1b[1~"));
  CHECK(menu.chosen()->target == "target-0");
}

TEST_CASE("labels are seen on a small terminal, and no name pushes the rest out", "[gateway][menu]") {
  Menu small("engineer", {{"recs-1", "deploy", "env=prod"}, {"recs-2", "deploy", "env=test"}}, 40, 12);
  CHECK(small.draw().find("env=test") != std::string::npos);
  CHECK(small.draw().find("Ctrl-C leaves") != std::string::npos);
  Menu wide("engineer", {{std::string(60, 'w'), "deploy", "env=prod"}, {"recs-2", "deploy", "env=test"}}, 80, 24);
  CHECK(wide.draw().find("w~  deploy  env=prod") != std::string::npos);
}

TEST_CASE("Escape clears the search at once, and q is a letter where a target's name begins with it", "[gateway][menu]") {
  Menu menu("engineer", {{"recs-1", "deploy", ""}, {"queue-1", "deploy", ""}}, 80, 24);
  CHECK(types(menu, "q") == Menu::Outcome::goes_on);
  CHECK(menu.draw().find("1 of 2") != std::string::npos);
  static_cast<void>(types(menu, "\x1b"));
  CHECK(menu.draw().find("2 of 2") != std::string::npos);
}
