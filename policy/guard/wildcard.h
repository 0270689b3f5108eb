// policy/guard/wildcard.h -- shell patterns: against text, against paths, and pattern against pattern.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::guard {

/// `pattern`'s live wildcards (marked_text.h) or, with `is_plain`, its `*` and `?`. A hole in the text matches anything.
[[nodiscard]] bool wildcard_match(std::string_view pattern, std::string_view text, bool is_plain = false);

/// Could the argument `path` (which may hold live wildcards and holes) name something that the rule's `pattern` names, and do letters of both agree?
/// `pattern`: components of `*`, `?` and `{a,b}`-free text, `**` for any number of components. A component of the path that is
/// nothing but wildcards or a hole names nothing in particular and does not match.
[[nodiscard]] bool path_may_match(std::string_view pattern, std::string_view path);

/// A path, taken apart once for many patterns. Views into the text; not shared between threads.
class PathText {
 public:
  explicit PathText(std::string_view path);
  [[nodiscard]] const std::vector<std::string_view>& parts() const;  ///< split when the first pattern needs them
  std::string_view text;
  std::string_view last;  ///< behind the last `/`
  bool has_marks = false;
  bool last_has_marks = false;

 private:
  mutable std::vector<std::string_view> parts_;
};
/// When a pattern of a rule meets one of a command: letters of both agree, or (for exceptions) nothing speaks against it.
enum class Meeting : std::uint8_t { agreed, loose };
/// A path pattern taken apart once. Views into the text.
class PathPattern {
 public:
  explicit PathPattern(std::string_view pattern, Meeting meeting = Meeting::agreed);
  /// path_may_match() without its preparations.
  [[nodiscard]] bool may_match(const PathText& path) const;

 private:
  enum class PartKind : std::uint8_t { plain, wild, one, any_depth };  ///< name, na*e, *, **
  struct Part {
    std::string_view text;
    PartKind kind = PartKind::plain;
  };
  [[nodiscard]] bool part_matches(const Part& part, std::string_view of_path, bool may_have_marks) const;
  [[nodiscard]] bool parts_match(std::size_t at, const PathText& path, std::size_t from, int depth) const;

  std::string_view text_;
  std::string_view last_;
  std::vector<Part> parts_;
  std::size_t plain_length_ = 0;      ///< so many letters in front of the first wildcard
  std::size_t last_any_depth_ = 0;    ///< which part is the last `**`
  Meeting meeting_ = Meeting::agreed;
  bool is_anywhere_ = false;          ///< begins with `**/`
  bool is_name_ = false;              ///< `**/NAME`
  bool is_last_plain_ = false;
};

/// `//`, `.`, `..` and a trailing slash resolved in the text of a path. Absolute stays absolute; a relative path keeps leading `..`.
[[nodiscard]] std::string clean_path(std::string_view path);

[[nodiscard]] std::string without_prefix(const std::string& value, std::string_view pattern, bool longest);
[[nodiscard]] std::string without_suffix(const std::string& value, std::string_view pattern, bool longest);
[[nodiscard]] std::string replaced(const std::string& value, std::string_view pattern, std::string_view with, bool all);

}  // namespace sallyport::guard
