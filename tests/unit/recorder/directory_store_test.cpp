#include "recorder/shipping/directory_store.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

using namespace sallyport;
using namespace sallyport::recorder;

TEST_CASE("the directory store keeps whole, immutable objects under safe keys", "[recorder][store]") {
  std::string pattern = (std::filesystem::temp_directory_path() / "sallyport-store-XXXXXX").string();
  const std::string folder = ::mkdtemp(pattern.data());
  DirectoryStore store(folder + "/objects");
  CHECK(store.list("").value().empty());
  REQUIRE(store.put("node/journal/00000001.journal", bytes_of("one")));
  REQUIRE(store.put("node/journal/00000002.journal", bytes_of("two")));
  CHECK(store.put("node/journal/00000001.journal", bytes_of("other")).error().code == Errc::conflict);
  CHECK(store.put("node/journal/00000001.journal", bytes_of("one")));  // the same again is no conflict
  CHECK(text_of(store.get("node/journal/00000001.journal").value()) == "one");
  CHECK(text_of(store.get_range("node/journal/00000001.journal", 1, 1).value()) == "n");
  CHECK(text_of(store.get_range("node/journal/00000001.journal", 2, 100).value()) == "e");
  CHECK(store.get_range("node/journal/00000001.journal", 3, 100).value().empty());
  CHECK(store.head("node/journal/00000001.journal").value().size == 3);
  CHECK(store.head("node/journal").error().code == Errc::not_found);
  ObjectKeep keep;
  keep.legal_hold = true;
  CHECK(store.put("node/held", bytes_of("x"), keep).error().code == Errc::invalid);
  CHECK(store.get("node/journal/00000003.journal").error().code == Errc::not_found);
  CHECK(store.list("node/journal/").value() == std::vector<std::string>{"node/journal/00000001.journal", "node/journal/00000002.journal"});
  CHECK(store.list("other").value().empty());
  for (const auto* key : {"", "/etc/passwd", "a//b", "a/../b", "../x", "a/", "a/.b", "a b", "a\nb"}) {
    INFO(key);
    CHECK(store.put(key, bytes_of("x")).error().code == Errc::invalid);
    CHECK(store.get(key).error().code == Errc::invalid);
  }
  CHECK(store.put(std::string(513, 'a'), bytes_of("x")).error().code == Errc::invalid);
  std::filesystem::remove_all(folder);
}
