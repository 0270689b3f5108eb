#include "platform/sql/database.h"

#include <catch2/catch.hpp>

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace sallyport::sql::test {
namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/sallyport-sql-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

constexpr std::string_view k_one[] = {"CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT UNIQUE, bytes BLOB)"};
constexpr std::string_view k_two[] = {k_one[0], "ALTER TABLE t ADD COLUMN more TEXT NOT NULL DEFAULT 'x'"};

}  // namespace

TEST_CASE("what is bound comes back, and text with quotes stays text", "[sql]") {
  auto database = Database::open(":memory:");
  REQUIRE(database.has_value());
  REQUIRE(migrate(*database, k_one).has_value());
  auto insert = database->prepare("INSERT INTO t(name, bytes) VALUES(?, ?)");
  REQUIRE(insert.has_value());
  const std::vector<std::byte> bytes{std::byte{0}, std::byte{255}};
  REQUIRE(insert->bind("'); DROP TABLE t; --", bytes).run().has_value());
  REQUIRE(insert->bind(std::string("plain"), nullptr).run().has_value());
  auto select = database->prepare("SELECT name, bytes FROM t ORDER BY id");
  REQUIRE(select.has_value());
  REQUIRE(*select->step());
  CHECK(select->text(0) == "'); DROP TABLE t; --");
  CHECK(select->bytes(1) == bytes);
  REQUIRE(*select->step());
  CHECK(select->is_null(1));
  CHECK_FALSE(*select->step());
}

TEST_CASE("a broken constraint is a conflict and its detail does not show the value", "[sql]") {
  auto database = Database::open(":memory:");
  REQUIRE(migrate(*database, k_one).has_value());
  auto insert = database->prepare("INSERT INTO t(name) VALUES(?)");
  REQUIRE(insert->bind("canary").run().has_value());
  auto second = insert->bind("canary").run();
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().code == Errc::conflict);
  CHECK(second.error().detail.find("canary") == std::string::npos);
}

TEST_CASE("a transaction that is not committed leaves nothing", "[sql]") {
  auto database = Database::open(":memory:");
  REQUIRE(migrate(*database, k_one).has_value());
  {
    auto transaction = Transaction::begin(*database);
    REQUIRE(transaction.has_value());
    REQUIRE(database->execute("INSERT INTO t(name) VALUES('x')").has_value());
  }
  auto count = database->prepare("SELECT count(*) FROM t");
  REQUIRE(*count->step());
  CHECK(count->integer(0) == 0);
}

TEST_CASE("migrations run once each, and a database of a newer program is refused", "[sql]") {
  const Folder folder;
  const std::string path = (folder.path / "x.db").string();
  {
    auto database = Database::open(path);
    REQUIRE(database.has_value());
    REQUIRE(migrate(*database, k_one).has_value());
    REQUIRE(migrate(*database, k_two).has_value());
    REQUIRE(migrate(*database, k_two).has_value());
  }
  auto again = Database::open(path);
  REQUIRE(again.has_value());
  auto refused = migrate(*again, k_one);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Errc::conflict);
}

TEST_CASE("a database file is its owner's only, its WAL too", "[sql]") {
  const Folder folder;
  const std::string path = (folder.path / "x.db").string();
  auto database = Database::open(path);
  REQUIRE(database.has_value());
  REQUIRE(migrate(*database, k_one).has_value());
  for (const std::string& each : {path, path + "-wal"}) {
    struct stat info {};
    REQUIRE(::stat(each.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
  }
}

TEST_CASE("a file that is no database is corrupt, not a crash", "[sql]") {
  const Folder folder;
  const std::string path = (folder.path / "x.db").string();
  FILE* file = std::fopen(path.c_str(), "w");
  REQUIRE(file != nullptr);
  std::fputs("this is certainly not a database, however long one reads it, and it is long enough to be read as a header", file);
  std::fclose(file);
  auto database = Database::open(path);
  if (database) {
    auto result = migrate(*database, k_one);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == Errc::corrupt);
  } else {
    CHECK(database.error().code == Errc::corrupt);
  }
}

}  // namespace sallyport::sql::test
