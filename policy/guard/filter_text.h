// policy/guard/filter_text.h -- what the text programs have in common: options, contents, lines, formats.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/guard/argv_words.h"
#include "policy/guard/walk.h"

namespace sallyport::guard::filters {

using Text = std::optional<std::string>;  ///< nullopt: cannot be known

/// Options and operands of a simple text program. `with_value`: letters whose value is the next word when nothing follows them.
struct Options {
  std::vector<std::pair<std::string, std::string>> flags;
  std::vector<std::string> operands;
  [[nodiscard]] bool has(std::string_view name) const {
    return std::any_of(flags.begin(), flags.end(), [&](const auto& f) { return f.first == name; });
  }
  [[nodiscard]] Text value(std::string_view name) const {
    for (const auto& [flag, text] : flags) {
      if (flag == name) return text;
    }
    return std::nullopt;
  }
};
[[nodiscard]] Options parse(const Argv& argv, std::string_view with_value, std::initializer_list<std::string_view> long_with_value = {});

/// The files named, or the input; nullopt when any of them is unknown.
[[nodiscard]] Text content(const Walk& walk, const std::vector<std::string>& files, const Text& input);
[[nodiscard]] std::vector<std::string> lines_of(std::string_view text);
[[nodiscard]] std::string joined_lines(const std::vector<std::string>& lines);
/// printf's and awk's format. `awk`: %c of a number is the character of that code.
[[nodiscard]] std::string formatted(const std::string& format, const std::vector<std::string>& values, bool awk);

// The two with a language of their own: sed_and_awk.cpp.
[[nodiscard]] Text sed(const Argv& argv, const Walk& walk, const Text& input);
[[nodiscard]] Text awk(const Argv& argv, const Walk& walk, const Text& input);

}  // namespace sallyport::guard::filters
