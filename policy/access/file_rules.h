// policy/access/file_rules.h -- what may be done to which path. Needs nothing but strings: the session process uses it
// with the rules that a Decision handed to it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::policy {

struct FileRule {
  std::string prefix;  ///< lexically normalised absolute path; "" matches every path
  bool up = false;
  bool down = false;
  bool change = false;  ///< rename, remove, mkdir, setstat, symlink
  bool hold_up = false;      ///< each opening for writing waits until a person agrees
  bool hold_change = false;  ///< each change does
  bool operator==(const FileRule&) const = default;
};

enum class FileOperation { up, down, change };

/// `path` made absolute against `home` and freed of ".", ".." and doubled slashes, by text alone: symbolic links are the
/// target's affair. "" for a path with a NUL byte, or a relative one when `home` is not absolute.
[[nodiscard]] std::string normalise_path(std::string_view path, std::string_view home = {});

/// Is `path` (normalised) the prefix itself or below it? "/srv" covers "/srv/a", not "/srvx".
[[nodiscard]] bool path_is_under(std::string_view path, std::string_view prefix);

/// The first rule whose prefix covers the path decides (a Decision hands the longest prefixes first); no rule: refused.
[[nodiscard]] bool file_allowed(std::span<const FileRule> rules, std::string_view normalised_path, FileOperation operation);
/// What is allowed, but only once a person has agreed.
[[nodiscard]] bool file_held(std::span<const FileRule> rules, std::string_view normalised_path, FileOperation operation);

}  // namespace sallyport::policy
