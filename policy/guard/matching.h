// policy/guard/matching.h -- a compiled rule set against the commands of a walk.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "policy/guard/effects.h"
#include "policy/guard/rules.h"

namespace sallyport::guard {

struct CompiledRule;
struct PreparedEffects;

/// Rules with an index by program, their paths taken apart. A regular expression is compiled when the first command needs it.
struct RuleSet::Impl {
  explicit Impl(RuleDocument document);
  ~Impl();

  /// False when `budget` does not last for this command.
  [[nodiscard]] bool judge(const Command& command, const SimpleCommand& shown_command, std::vector<Finding>& findings, std::uint64_t& budget) const;

  RuleDocument document;
  std::string id;
  bool is_empty = true;

 private:
  void judge_rule(std::size_t index, const Command& command, const PreparedEffects& effects, const SimpleCommand& shown_command, std::vector<Finding>& findings) const;

  std::unordered_map<std::string, std::vector<std::uint32_t>> by_program_;
  struct ByWildcard {
    std::string program;
    std::size_t star = 0;  ///< where its first wildcard stands: before it the names are the same
    std::uint32_t rule = 0;
  };
  std::vector<ByWildcard> by_wildcard_;
  std::vector<std::uint32_t> any_program_;
  std::unique_ptr<CompiledRule[]> compiled_;  ///< one for each rule
};

/// What rules see of a command: its program's name and its words, those with blanks in quotes.
[[nodiscard]] std::string normalised(const Command& command);

}  // namespace sallyport::guard
