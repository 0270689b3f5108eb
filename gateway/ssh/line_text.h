// gateway/ssh/line_text.h -- text of terminal lines without the blanks that a terminal does not tell apart.
#pragma once

#include <string>
#include <string_view>

namespace sallyport::gateway {

[[nodiscard]] inline std::string_view trim_right(std::string_view text) {
  const std::size_t end = text.find_last_not_of(" \t");
  return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
}
[[nodiscard]] inline std::string_view trim(std::string_view text) {
  text = trim_right(text);
  const std::size_t begin = text.find_first_not_of(" \t");
  return begin == std::string_view::npos ? std::string_view{} : text.substr(begin);
}

/// White space folded: what a terminal cannot tell apart is the same.
[[nodiscard]] inline std::string folded(std::string_view text) {
  std::string out;
  for (const char c : trim(text)) {
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank) out.push_back(c);
    else if (!out.empty() && out.back() != ' ') out.push_back(' ');
  }
  return out;
}

}  // namespace sallyport::gateway
