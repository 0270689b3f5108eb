#include "platform/model/messages.h"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace sallyport::test {

TEST_CASE("every message has a code of its own, in order, and all four parts", "[messages]") {
  std::set<std::string_view> codes;
  std::string_view last;
  for (const Message& message : all_messages()) {
    INFO(message.code);
    CHECK(codes.insert(message.code).second);
    CHECK(message.code > last);
    last = message.code;
    CHECK(message.code.size() == 7);
    CHECK_FALSE(message.what.empty());
    CHECK_FALSE(message.why.empty());
    CHECK_FALSE(message.why.ends_with('.'));
    CHECK(message.remedy.ends_with('.'));
  }
}

TEST_CASE("a message is found by any spelling of its code, an unknown one is still told", "[messages]") {
  CHECK(find_message("SP-2001") == find_message("2001"));
  CHECK(find_message("sp-2001") == find_message("2001"));
  CHECK(find_message("2") == nullptr);
  CHECK(find_message("") == nullptr);
  CHECK(message_of("SP-9999").code == "SP-5000");
}

TEST_CASE("a refusal reads as one line and carries no control characters", "[messages]") {
  const Notice notice = make_notice("SP-2001", "no role\n\x1b[31m allows it", "REF1");
  const std::string line = render(notice);
  CHECK(line.find("sallyport: SP-2001 not permitted - no role??[31m allows it. ") == 0);
  CHECK(line.ends_with("(ref REF1)"));
}

TEST_CASE("the reference page shows exactly the catalogue", "[messages]") {
  std::ifstream file(std::string(SALLYPORT_SOURCE_DIR) + "/docs/reference/messages.md");
  REQUIRE(file);
  std::stringstream page;
  page << file.rdbuf();
  std::string rows;
  for (const Message& message : all_messages())
    rows += "| " + std::string(message.code) + " | " + std::string(message.what) + " | " + std::string(message.why) + " | " + std::string(message.remedy) + " |\n";
  INFO("rows that the page must hold:\n" << rows);
  std::istringstream lines(rows);
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK(page.str().find(line) != std::string::npos);
  }
  std::size_t count = 0;
  for (std::size_t at = page.str().find("| SP-"); at != std::string::npos; at = page.str().find("| SP-", at + 1)) ++count;
  CHECK(count == all_messages().size());
}

TEST_CASE("every code that the sources name is in the catalogue", "[messages]") {
  namespace fs = std::filesystem;
  std::size_t seen = 0;
  for (const char* room : {"platform", "policy", "vault", "recorder", "gateway", "admin", "app", "certs"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(SALLYPORT_SOURCE_DIR) / room)) {
      if (entry.path().extension() != ".cpp" && entry.path().extension() != ".h") continue;
      std::ifstream file(entry.path());
      std::stringstream text;
      text << file.rdbuf();
      const std::string source = text.str();
      for (std::size_t at = source.find("\"SP-"); at != std::string::npos; at = source.find("\"SP-", at + 1)) {
        const std::string code = source.substr(at + 1, 7);
        if (code.size() != 7 || code.find_first_not_of("0123456789", 3) != std::string::npos) continue;  // a prefix, an example
        INFO(entry.path() << " names " << code);
        CHECK(find_message(code) != nullptr);
        ++seen;
      }
    }
  }
  CHECK(seen > 100);
}

}  // namespace sallyport::test
