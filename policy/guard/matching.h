// policy/guard/matching.h -- a compiled rule set against the commands of a walk.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "policy/guard/effects.h"
#include "policy/guard/rules.h"

namespace re2 {
class RE2;
}

namespace sallyport::guard {

struct PatternSets;

/// Rules with an index by program. Patterns are compiled into one RE2::Set when the first command needs them.
struct RuleSet::Impl {
  explicit Impl(RuleDocument document);
  ~Impl();

  void judge(const Command& command, const SimpleCommand& shown_command, std::vector<Finding>& findings) const;

  RuleDocument document;
  std::string id;
  bool is_empty = true;

 private:
  void judge_rule(std::size_t index, const Command& command, const Effects& effects, const SimpleCommand& shown_command, std::string_view name, const std::vector<bool>& matched, std::vector<Finding>& findings) const;
  [[nodiscard]] const PatternSets& patterns() const;

  std::unordered_map<std::string, std::vector<std::uint32_t>> by_program_;
  std::vector<std::uint32_t> by_wildcard_;  ///< programs with `*`
  std::vector<std::uint32_t> any_program_;
  mutable std::once_flag compiled_;
  mutable std::unique_ptr<PatternSets> patterns_;
};

/// What rules see of a command: its program's name and its words, those with blanks in quotes.
[[nodiscard]] std::string normalised(const Command& command);

}  // namespace sallyport::guard
