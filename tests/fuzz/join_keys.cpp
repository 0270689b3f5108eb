// What somebody who has joined a session types: acts are the same however the bytes come in pieces, bounded, and a line to say is text.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/json_text.h"
#include "policy/authority/join_keys.h"

using sallyport::authority::JoinKey;
using sallyport::authority::JoinKeys;

namespace {

[[noreturn]] void wrong(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

/// Keys in one act or in two are the same keys.
void add(std::vector<JoinKey>& all, std::vector<JoinKey> some) {
  for (JoinKey& key : some) {
    const bool goes_on = !all.empty() && all.back().what == JoinKey::What::keys && key.what == JoinKey::What::keys;
    if (goes_on) all.back().text += key.text;
    else all.push_back(std::move(key));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 16 * 1024) return 0;
  const std::size_t piece = 1 + data[0];
  const std::string_view typed(reinterpret_cast<const char*>(data) + 1, size - 1);
  JoinKeys at_once;
  JoinKeys in_pieces;
  std::vector<JoinKey> whole;
  std::vector<JoinKey> pieces;
  add(whole, at_once.read(typed));
  for (std::size_t at = 0; at < typed.size(); at += piece) add(pieces, in_pieces.read(typed.substr(at, piece)));
  if (whole.size() != pieces.size()) wrong("pieces say something else");
  std::size_t keys = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const JoinKey& key = whole[i];
    if (key.what != pieces[i].what || key.text != pieces[i].text) wrong("pieces say something else");
    if (key.what == JoinKey::What::keys) keys += key.text.size();
    else if (key.what == JoinKey::What::say && (key.text.empty() || key.text.size() > 1500 || sallyport::printable(key.text) != key.text ||
                                                key.text.find_first_of("\t\r\n") != std::string::npos))
      wrong("a line that is no text");
    else if (key.what == JoinKey::What::echo && key.text.size() > 16) wrong("a long echo");
  }
  if (keys > typed.size() || whole.size() > 2 * typed.size()) wrong("more than was typed");
  return 0;
}
