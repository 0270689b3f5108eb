// policy/access/fields.h -- reads typed values out of a YAML tree and complains with file, line, column and pointer.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/access/yaml_tree.h"

namespace sallyport::policy {

/// Where the complaints of one file go.
struct FileContext {
  std::shared_ptr<const std::string> file;
  std::vector<Diagnostic>* problems = nullptr;
};

/// A node of a file with the pointer that leads to it.
class Spot {
 public:
  Spot(const FileContext& context, const YamlNode& node, std::string pointer) : context_(&context), node_(&node), pointer_(std::move(pointer)) {}

  void complain(std::string message) const { complain_at(node_->line, node_->column, pointer_, std::move(message)); }
  [[nodiscard]] Place place() const { return Place{context_->file, node_->line, node_->column}; }
  [[nodiscard]] const std::string& pointer() const noexcept { return pointer_; }
  [[nodiscard]] const YamlNode& node() const noexcept { return *node_; }

  /// The value as its type; nothing, and a complaint, when it is another.
  [[nodiscard]] std::optional<std::string> text() const;
  [[nodiscard]] std::optional<std::int64_t> number(std::int64_t least, std::int64_t most) const;
  [[nodiscard]] std::optional<bool> flag() const;
  [[nodiscard]] std::optional<std::chrono::seconds> duration() const;  ///< "90s", "15m", "8h", "2d", "1h30m"
  [[nodiscard]] std::optional<WallTime> moment() const;                ///< "2027-01-01T00:00:00Z" or "+02:00", or a day
  /// Every item of a list; a complaint when it is none.
  void each(const std::function<void(const Spot&)>& use) const;
  [[nodiscard]] std::vector<std::string> texts() const;

  /// A complaint for each key that is not in `known`, with a suggestion; false when it is not a map at all.
  [[nodiscard]] bool is_map_of(std::initializer_list<std::string_view> known) const;
  [[nodiscard]] std::optional<Spot> field(std::string_view key) const;  ///< nothing when absent or null
  /// Every key of a map whose keys are free.
  void each_entry(const std::function<void(const std::string& key, const Spot& key_spot, const Spot& value)>& use) const;

 private:
  void complain_at(std::uint32_t line, std::uint32_t column, const std::string& pointer, std::string message) const;

  const FileContext* context_;
  const YamlNode* node_;
  std::string pointer_;
};

/// "90s", "15m", "8h", "2d", "1h30m"; more than none, at most ten years.
[[nodiscard]] std::optional<std::chrono::seconds> parse_duration(std::string_view text);
/// RFC 3339, seconds may have a fraction of up to six digits; or a day, which begins at midnight UTC.
[[nodiscard]] std::optional<WallTime> parse_moment(std::string_view text);
/// "08:00", "24:00".
[[nodiscard]] std::optional<std::chrono::minutes> parse_time_of_day(std::string_view text);

}  // namespace sallyport::policy
