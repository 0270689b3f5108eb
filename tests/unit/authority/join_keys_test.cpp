#include "policy/authority/join_keys.h"

#include <catch2/catch.hpp>
#include <string>

#include "platform/model/json_text.h"

namespace sallyport::authority {
namespace {

using What = JoinKey::What;

std::string shown(const std::vector<JoinKey>& acts) {
  constexpr const char* k_names[] = {"keys", "say", "hold", "go_on", "take", "give_back", "end", "leave", "help", "echo"};
  std::string text;
  for (const JoinKey& key : acts) {
    if (key.what == What::echo) continue;
    text += (text.empty() ? "" : " ") + std::string(k_names[static_cast<int>(key.what)]);
    if (!key.text.empty()) text += ":" + key.text;
  }
  return text;
}

std::string read(std::string_view typed) { return shown(JoinKeys().read(typed)); }

TEST_CASE("keys of who joined are keys until Ctrl-] comes", "[authority][moderation]") {
  CHECK(read("ls -l\r") == "keys:ls -l\r");
  CHECK(read("\x1dh") == "hold");
  CHECK(read("\x1dg\x1dt\x1dr\x1d"
             "e\x1dq") == "go_on take give_back end leave");
  CHECK(read("a\x1d?"
             "b") == "keys:a help keys:b");
  CHECK(read("\x1dH") == "help");          // what is none of them only helps, and is not typed
  CHECK(read("\x1d\x1d") == "keys:\x1d");  // twice is itself
  CHECK(read("\x03") == "keys:\x03");
}

TEST_CASE("a prefix counts over two packets", "[authority][moderation]") {
  JoinKeys keys;
  CHECK(shown(keys.read("x\x1d")) == "keys:x");
  CHECK(shown(keys.read("e")) == "end");
  CHECK(shown(keys.read("e")) == "keys:e");
}

TEST_CASE("a line to say is edited, given up, or said", "[authority][moderation]") {
  CHECK(read("\x1dmlook here\rls") == "say:look here keys:ls");
  CHECK(read("\x1dmlook\x7f\x7f\x7f\x7f\x7f\x7fwait\n") == "say:wait");
  CHECK(read("\x1dmgr\xc3\xbc\xc3\x9f\x7f"
             "n\r") == "say:gr\xc3\xbcn");  // one letter of two bytes goes at once
  CHECK(read("\x1dmnever\x03ls") == "keys:ls");
  CHECK(read("\x1dmnever\x1dls") == "keys:ls");
  CHECK(read("\x1dm\rls") == "keys:ls");  // nothing said
  // While it is typed nothing of it is an act or a key.
  CHECK(read("\x1dmhold\te\r") == "say:holde");
}

TEST_CASE("a line to say is text, and bounded", "[authority][moderation]") {
  const std::string said = read("\x1dm" + std::string("no \xff\x1b[31m\xc3") + "\r");
  CHECK(said == "say:no \xef\xbf\xbd[31m\xef\xbf\xbd");
  const std::string longest = read("\x1dm" + std::string(100'000, 'x') + "\r");
  CHECK(longest == "say:" + std::string(500, 'x'));
  // Cut within a letter it stays text.
  const std::string cut = read("\x1dm" + std::string(499, 'x') + "\xc3\xbc\r");
  CHECK(cut == "say:" + std::string(499, 'x') + "\xef\xbf\xbd");
  CHECK(printable(cut) == cut);
}

}  // namespace
}  // namespace sallyport::authority
