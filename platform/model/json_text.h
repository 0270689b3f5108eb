// platform/model/json_text.h -- the little JSON that records need: texts in quotes, and one object's fields.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport {

/// The character that a text begins with.
struct Character {
  std::size_t bytes = 0;    ///< 0: not UTF-8, or nothing left
  std::uint32_t point = 0;
  /// It steers what shows it instead of being shown: a control character (C0, DEL, C1), one that turns the direction of
  /// the line around, so that a person reads another command than the one that runs, or one that nobody can see.
  bool steers = false;
};
[[nodiscard]] Character first_character(std::string_view text);

/// `text` as a JSON string, quotes included. What is not UTF-8 becomes U+FFFD, so that the result always is; what steers a
/// terminal is written as \uXXXX.
[[nodiscard]] std::string json_quote(std::string_view text);

/// The same JSON with what steers a terminal written as \uXXXX (outside strings JSON has nothing of the kind).
[[nodiscard]] std::string json_without_steering(std::string_view json);

/// `text` with everything that is not UTF-8, and everything that steers but tab and newline, replaced by U+FFFD: safe
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
