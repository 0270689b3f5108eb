// policy/access/yaml_text.h -- a YAML tree as text again. What is written reads back as the same tree.
#pragma once

#include <cstddef>
#include <string>

#include "policy/access/yaml_tree.h"

namespace sallyport::policy {

/// One line of JSON. Whole numbers, true and false that were not quoted stay bare; every other value is a string.
[[nodiscard]] std::string json_text(const YamlNode& node);
/// A map, line by line, as people write it.
[[nodiscard]] std::string yaml_text(const YamlNode& map);
/// An item of a list whose dashes stand at `column`; ends with a line feed.
[[nodiscard]] std::string yaml_item(const YamlNode& item, std::size_t column);

}  // namespace sallyport::policy
