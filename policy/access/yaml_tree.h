// policy/access/yaml_tree.h -- YAML text as a tree that remembers where everything stands.
//
// Stricter than YAML: one document, no duplicate keys, no tags, no merge keys, scalar keys only, and the limits of load.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/access/snapshot.h"

namespace sallyport::policy {

struct YamlNode {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  struct Entry {
    std::string key;
    std::uint32_t line = 0;
    std::uint32_t column = 0;
    std::shared_ptr<const YamlNode> value;
  };
  Kind kind = Kind::null;
  bool is_quoted = false;  ///< a quoted scalar is never null, a number or a flag
  std::string text;
  std::vector<std::shared_ptr<const YamlNode>> items;
  std::vector<Entry> entries;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::size_t weight = 1;  ///< nodes in this subtree, aliases expanded

  [[nodiscard]] const YamlNode* find(std::string_view key) const;
};

/// Null and one problem when the text is not acceptable; an empty text is an empty map. Never throws.
[[nodiscard]] std::shared_ptr<const YamlNode> parse_yaml(const std::string& file, std::string_view text, std::vector<Diagnostic>& problems);

}  // namespace sallyport::policy
