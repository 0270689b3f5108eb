// platform/model/json_text.h -- the little JSON that records need: texts in quotes, and one object's fields.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport {

/// `text` as a JSON string, quotes included. What is not UTF-8 becomes U+FFFD, so that the result always is.
[[nodiscard]] std::string json_quote(std::string_view text);

/// `text` with everything that is not UTF-8, and every control character but tab and newline, replaced by U+FFFD: safe
/// to show on a terminal.
[[nodiscard]] std::string printable(std::string_view text);

/// The fields of one JSON object. Strings come decoded; numbers, true, false, null and whole inner objects and arrays come
/// as their text. For hostile input: depth at most 32, no recursion beyond it, memory linear in the input.
class JsonFields {
 public:
  /// Nothing when `text` is not exactly one JSON object.
  [[nodiscard]] static std::optional<JsonFields> parse(std::string_view text);

  /// The first field of that name, or "".
  [[nodiscard]] std::string_view get(std::string_view name) const noexcept;
  [[nodiscard]] std::optional<std::int64_t> number(std::string_view name) const noexcept;
  [[nodiscard]] bool is_true(std::string_view name) const noexcept { return get(name) == "true"; }
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& all() const noexcept { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

}  // namespace sallyport
