// policy/guard/marked_text.h -- text of which some places are not known, and whose live wildcards differ from quoted ones.
//
// The marks are control characters that sanitise() keeps out of everything that comes from outside.
#pragma once

#include <string>
#include <string_view>

namespace sallyport::guard {

constexpr char k_hole = '\x02';   ///< something unknown, any length, maybe nothing
constexpr char k_star = '\x04';   ///< a live *
constexpr char k_any = '\x05';    ///< a live ?
constexpr char k_class = '\x06';  ///< a live [

/// Control characters that could be taken for marks become 0x7f.
[[nodiscard]] inline std::string sanitise(std::string_view text) {
  std::string clean(text);
  for (char& c : clean) {
    if (c >= '\0' && c <= '\x08') c = '\x7f';
  }
  return clean;
}
[[nodiscard]] inline bool has_hole(std::string_view text) { return text.find(k_hole) != std::string_view::npos; }
[[nodiscard]] inline bool has_glob(std::string_view text) {
  constexpr char marks[] = {k_star, k_any, k_class};
  return text.find_first_of(std::string_view(marks, 3)) != std::string_view::npos;
}
/// Live wildcards as the characters they were.
[[nodiscard]] inline std::string plain(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c == k_star) c = '*';
    if (c == k_any) c = '?';
    if (c == k_class) c = '[';
  }
  return out;
}
/// For a person: holes as `<?>`.
[[nodiscard]] inline std::string shown(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == k_hole) {
      out += "<?>";
    } else {
      out.push_back(c == k_star ? '*' : c == k_any ? '?' : c == k_class ? '[' : c);
    }
  }
  return out;
}

}  // namespace sallyport::guard
