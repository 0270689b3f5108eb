// policy/authority/row_text.h -- values of enrolment rows: words with one blank between them, the last one as it is.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::authority {

[[nodiscard]] inline std::vector<std::string> split_row(std::string_view text, std::size_t most) {
  std::vector<std::string> parts;
  while (parts.size() + 1 < most) {
    const auto blank = text.find(' ');
    if (blank == std::string_view::npos) break;
    parts.emplace_back(text.substr(0, blank));
    text.remove_prefix(blank + 1);
  }
  parts.emplace_back(text);
  return parts;
}

/// 0 for what is no number.
[[nodiscard]] inline std::int64_t row_number(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace sallyport::authority
