// Lines of vkeys: who may sign notes.
#include <algorithm>

#include "app/verbs/recording_proof.h"

namespace sallyport::app {

Result<std::vector<crypto::NoteKey>> keys_in(std::string_view text) {
  std::vector<crypto::NoteKey> keys;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    auto key = crypto::parse_vkey(line);
    if (!key) return tl::unexpected(key.error());
    keys.push_back(std::move(*key));
  }
  return keys;
}

}  // namespace sallyport::app
