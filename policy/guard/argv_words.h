// policy/guard/argv_words.h -- small questions about the words of a command.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "policy/guard/marked_text.h"

namespace sallyport::guard {

using Argv = std::vector<std::string>;

[[nodiscard]] inline bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) { return std::find(names.begin(), names.end(), name) != names.end(); }

/// Is `word` one of the blank-separated words of `list`?
[[nodiscard]] inline bool is_listed(std::string_view list, std::string_view word) {
  std::size_t at = 0;
  while (at < list.size()) {
    const std::size_t end = std::min(list.find(' ', at), list.size());
    if (list.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

/// The words from `from` to before `to`, with a blank between, without their marks.
[[nodiscard]] inline std::string joined(const Argv& words, std::size_t from, std::size_t to = static_cast<std::size_t>(-1)) {
  std::string all;
  for (std::size_t i = from; i < words.size() && i < to; ++i) all += (i == from ? "" : " ") + plain(words[i]);
  return all;
}

[[nodiscard]] inline Argv tail(const Argv& words, std::size_t from) { return from < words.size() ? Argv(words.begin() + static_cast<std::ptrdiff_t>(from), words.end()) : Argv(); }

}  // namespace sallyport::guard
