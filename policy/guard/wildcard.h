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

/// `//`, `.`, `..` and a trailing slash resolved in the text of a path. Absolute stays absolute; a relative path keeps leading `..`.
[[nodiscard]] std::string clean_path(std::string_view path);

[[nodiscard]] std::string without_prefix(const std::string& value, std::string_view pattern, bool longest);
[[nodiscard]] std::string without_suffix(const std::string& value, std::string_view pattern, bool longest);
[[nodiscard]] std::string replaced(const std::string& value, std::string_view pattern, std::string_view with, bool all);

}  // namespace sallyport::guard
