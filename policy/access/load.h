// policy/access/load.h -- policy files to a Snapshot, or to a list of what is wrong and where.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "policy/access/snapshot.h"

namespace sallyport::policy {

constexpr std::size_t k_max_policy_file = 4 * 1024 * 1024;  ///< bytes
constexpr std::size_t k_max_yaml_depth = 64;
constexpr std::size_t k_max_yaml_aliases = 1'000;
constexpr std::size_t k_max_diagnostics = 100;

/// Name ends in .yaml, .yml or .json: a policy file. Any other: an attachment that a policy file names (a KRL).
struct SourceFile {
  std::string name;
  std::string content;
};

struct Loaded {
  std::shared_ptr<const Snapshot> snapshot;  ///< null when there is a problem
  std::vector<Diagnostic> problems;
};

/// Never throws on any input. Refuses unknown and duplicate keys, and what the limits above say.
[[nodiscard]] Loaded load_policy(std::span<const SourceFile> files);

/// Every file directly in `folder` that is a policy file or an attachment (.bin, .krl), in the order of the names. An entry of
/// such a name that cannot be read (a link to nothing, a folder, no permission, too large) is an error, never left out.
[[nodiscard]] Result<std::vector<SourceFile>> read_policy_folder(const std::string& folder);

}  // namespace sallyport::policy
