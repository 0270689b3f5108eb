#include <catch2/catch.hpp>

#include "policy/authority/guard_files.h"

using namespace sallyport;
using namespace sallyport::authority;
using namespace std::chrono_literals;

namespace {

control::GuardFile file(const std::string& path, const std::string& text) {
  control::GuardFile made;
  made.set_path(path);
  made.set_text(text);
  made.set_text_known(true);
  made.set_size(text.size());
  return made;
}
control::ChannelAnswer told(GuardFileTable& table, const char* principal, const char* target, WallTime now) {
  control::ChannelAnswer answer;
  table.tell(principal, target, now, answer);
  return answer;
}

}  // namespace

TEST_CASE("files are known to the same principal on the same target for a day", "[authority][guard]") {
  GuardFileTable table;
  const WallTime start{1000h};
  table.note("ann", "db1", file("/tmp/a.sh", "rm -rf /data"), start);
  REQUIRE(told(table, "ann", "db1", start + 23h).guard_files_size() == 1);
  CHECK(told(table, "ann", "db1", start + 23h).guard_files(0).text() == "rm -rf /data");
  CHECK(told(table, "bob", "db1", start).guard_files_size() == 0);
  CHECK(told(table, "ann", "db2", start).guard_files_size() == 0);
  CHECK(told(table, "ann", "db1", start + 25h).guard_files_size() == 0);
  CHECK(table.text_bytes() == 0);
}

TEST_CASE("the newest contents of a path count, and large ones are known by name only", "[authority][guard]") {
  GuardFileTable table;
  const WallTime start{1000h};
  table.note("ann", "db1", file("/tmp/a.sh", "one"), start);
  table.note("ann", "db1", file("/tmp/a.sh", "two!"), start + 1s);
  auto answer = told(table, "ann", "db1", start + 2s);
  REQUIRE(answer.guard_files_size() == 1);
  CHECK(answer.guard_files(0).text() == "two!");
  CHECK(table.text_bytes() == 4);
  table.note("ann", "db1", file("/tmp/a.sh", std::string(GuardFileTable::k_most_text + 1, 'x')), start + 3s);
  answer = told(table, "ann", "db1", start + 4s);
  CHECK_FALSE(answer.guard_files(0).text_known());
  CHECK(answer.guard_files(0).text().empty());
  CHECK(table.text_bytes() == 0);
}

TEST_CASE("the table is bounded in files, in text and in places", "[authority][guard]") {
  GuardFileTable table;
  WallTime now{1000h};
  for (int i = 0; i < 1000; ++i) table.note("ann", "db1", file("/tmp/" + std::to_string(i), std::string(10'000, 'x')), now += 1s);
  CHECK(table.text_bytes() <= GuardFileTable::k_most_place_text);
  const auto answer = told(table, "ann", "db1", now);
  CHECK(answer.guard_files_size() <= static_cast<int>(GuardFileTable::k_most_files));
  CHECK(std::any_of(answer.guard_files().begin(), answer.guard_files().end(), [](const auto& f) { return f.path() == "/tmp/999"; }));
  for (int i = 0; i < 10'000; ++i) table.note("p" + std::to_string(i), "db1", file("/tmp/x", std::string(16'000, 'y')), now += 1s);
  CHECK(table.text_bytes() <= GuardFileTable::k_most_all_text);
  CHECK(told(table, "p9999", "db1", now).guard_files_size() == 1);
  CHECK(told(table, "ann", "db1", now).guard_files_size() == 0);
}
