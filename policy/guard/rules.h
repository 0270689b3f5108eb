// policy/guard/rules.h -- a rule, a document of rules, and their compact bytes.
//
// The authority reads rules from YAML (packs.h), picks what holds for a role, target, account and time, and encodes it; a session
// decodes the bytes. All conditions of a rule that are given must hold; inside a list any one is enough.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/guard/guard.h"

namespace sallyport::guard {

struct Rule {
  std::string id;  ///< "pack/name"
  Verdict verdict = Verdict::deny;
  std::string reason;
  std::string remedy;
  std::vector<std::string> programs;  ///< names; `*` at either end; empty: every program
  std::vector<std::string> flags;     ///< each "a|b|c": one of them is given; all must be
  std::vector<std::string> without;   ///< none of these flags is given
  std::vector<std::string> words;     ///< each "a|b": operands in this order, the first where the subcommand stands
  std::string pattern;                ///< RE2 over the normalised command
  std::string unless;                 ///< RE2: the rule does not hold when this matches
  std::vector<std::string> reads;     ///< path patterns
  std::vector<std::string> writes;
  std::vector<std::string> deletes;
  std::vector<std::string> changes;   ///< mode, owner, attributes, times
  std::vector<std::string> edits;     ///< opened in an editor
  std::vector<std::string> except;    ///< paths that do not count
  std::vector<std::string> env;       ///< variables set for or by the command
  std::string env_value;              ///< RE2 over the value; empty: any
  bool remote_operand = false;        ///< an operand like host:path or user@host
  bool remote_host = false;           ///< an option -h/--host names another host
  bool no_operands = false;           ///< nothing but options
};

/// Shell features that allow-list mode may permit.
enum class Feature : std::uint8_t { list, pipe, redirect, expansion, compound };
constexpr std::size_t k_features = 5;
[[nodiscard]] std::string_view name_of(Feature feature) noexcept;

struct RuleDocument {
  std::vector<Rule> rules;
  std::array<Verdict, k_opaque_kinds> opaque{};
  bool allow_list_only = false;
  std::vector<std::string> allowed;  ///< wildcards over the normalised command
  std::uint8_t features = 0;         ///< bits of Feature
  bool marks = false;                ///< the shell's own marks (OSC 133) are written down; they change no verdict
  std::vector<std::string> denied;   ///< wildcards over the normalised command
};

[[nodiscard]] std::vector<std::byte> encode(const RuleDocument& document);
[[nodiscard]] Result<RuleDocument> decode(std::span<const std::byte> bytes);

/// Empty when `pattern` is a regular expression that may be used; otherwise what is wrong with it.
[[nodiscard]] std::string pattern_problem(std::string_view pattern);

}  // namespace sallyport::guard
