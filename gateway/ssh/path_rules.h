// gateway/ssh/path_rules.h -- a channel's file rules put to the questions that file protocols ask.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/ssh/file_rules.h"

namespace sallyport::gateway {

/// Pure. Paths are normalised ones. "" stands for a path that could not be made absolute: while rules apply, only what
/// is allowed everywhere is allowed for it.
class PathRules {
 public:
  explicit PathRules(FileRules rules) : rules_(std::move(rules)) {}

  [[nodiscard]] bool apply() const noexcept { return rules_.apply; }
  [[nodiscard]] std::uint64_t max_file_bytes() const noexcept { return rules_.max_file_bytes; }
  [[nodiscard]] bool allows(std::string_view path, policy::FileOperation operation) const;
  /// The path and every rule below it: what holds for a whole tree.
  [[nodiscard]] bool allows_tree(std::string_view path, policy::FileOperation operation) const;
  /// Each such act waits until a person agrees; for changes also when that is so of something below the path.
  [[nodiscard]] bool holds(std::string_view path, policy::FileOperation operation) const;
  /// May be looked at: some right covers the path, or the path leads to a place where one does.
  [[nodiscard]] bool is_visible(std::string_view path) const;
  /// `from` is moved to `to`: change at both ends, and what may be read at `to` could be read at `from`.
  [[nodiscard]] bool allows_move(std::string_view from, std::string_view to) const;
  /// `link` will lead to `content`: change at both ends, and `link` opens no way that `content` does not have itself.
  [[nodiscard]] bool allows_link(std::string_view link, std::string_view content) const;

 private:
  [[nodiscard]] bool allows_everywhere(policy::FileOperation operation) const;

  FileRules rules_;
};

}  // namespace sallyport::gateway
