// policy/guard/wildcard.h -- shell patterns: against text, against paths, and pattern against pattern.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sallyport::guard {

/// `pattern`'s live wildcards (marked_text.h) or, with `is_plain`, its `*` and `?`. A hole in the text matches anything.
[[nodiscard]] bool wildcard_match(std::string_view pattern, std::string_view text, bool is_plain = false);

/// Could the argument `path` (which may hold live wildcards and holes) name something that the rule's `pattern` names?
/// `pattern`: components of `*`, `?` and `{a,b}`-free text, `**` for any number of components. A component of the path that is
/// nothing but wildcards or a hole names nothing in particular and does not match.
[[nodiscard]] bool path_may_match(std::string_view pattern, std::string_view path);

/// A path taken apart once, for many patterns. Views into the text.
struct PathText {
  explicit PathText(std::string_view path);
  std::string_view text;
  std::string_view last;                ///< behind the last `/`
  std::vector<std::string_view> parts;
  bool last_has_marks = false;
};
/// A path pattern taken apart once. Views into the text.
class PathPattern {
 public:
  explicit PathPattern(std::string_view pattern);
  /// path_may_match() without its preparations.
  [[nodiscard]] bool may_match(const PathText& path) const;

 private:
  std::string_view text_;
  std::string_view last_;
  std::vector<std::string_view> parts_;
  std::size_t compared_ = 0;     ///< so many letters in front must be the same
  bool is_anywhere_ = false;     ///< begins with `**/`
  bool is_name_ = false;         ///< `**/NAME`
  bool is_last_plain_ = false;
};

/// `//`, `.`, `..` and a trailing slash resolved in the text of a path. Absolute stays absolute; a relative path keeps leading `..`.
[[nodiscard]] std::string clean_path(std::string_view path);

[[nodiscard]] std::string without_prefix(const std::string& value, std::string_view pattern, bool longest);
[[nodiscard]] std::string without_suffix(const std::string& value, std::string_view pattern, bool longest);
[[nodiscard]] std::string replaced(const std::string& value, std::string_view pattern, std::string_view with, bool all);

}  // namespace sallyport::guard
