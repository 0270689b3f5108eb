// policy/guard/rule_pattern.h -- a rule's regular expression, compiled branch by branch when a text needs it.
//
// Most texts are ruled out by the words that a branch cannot do without (`^kubectl (?:\S+ )*delete` needs both "kubectl " and "delete"), so
// that most branches are never compiled in a session's life and few are run.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace re2 {
class RE2;
}

namespace sallyport::guard {

/// Which pairs of letters a text holds, roughly: a text that lacks a word's pairs lacks the word.
struct LetterPairs {
  explicit LetterPairs(std::string_view text);
  [[nodiscard]] bool hold(const LetterPairs& of_word) const {
    return ((of_word.bits[0] & ~bits[0]) | (of_word.bits[1] & ~bits[1]) | (of_word.bits[2] & ~bits[2]) | (of_word.bits[3] & ~bits[3])) == 0;
  }
  std::array<std::uint64_t, 4> bits{};  ///< capitals count as small letters
};
/// A text to look into, prepared once for many expressions. A view.
struct SearchedText {
  explicit SearchedText(std::string_view of) : text(of), pairs(of) {}
  std::string_view text;
  LetterPairs pairs;
};

/// Words of which a text must hold at least one of each list, or the expression cannot match. No list: nothing is known.
using NeededWords = std::vector<std::vector<std::string>>;

/// The branches of `pattern` between its outermost `|`, each with the flags that stand in front of all. One branch, the whole, when it is
/// written in a way that is not taken apart here.
[[nodiscard]] std::vector<std::string> branches_of(std::string_view pattern);
/// What a text must hold to match `branch`; in small letters when the branch ignores capitals (`(?i)` in front).
[[nodiscard]] NeededWords needed_words(std::string_view branch);

/// Threads may share it.
class RulePattern {
 public:
  RulePattern();
  ~RulePattern();
  /// Is `pattern` somewhere in `text`? `otherwise` when the expression is none: a rule that cannot be judged counts. `pattern` is the
  /// same at every call.
  [[nodiscard]] bool matches(std::string_view pattern, const SearchedText& text, bool otherwise) const;

 private:
  struct Branch;
  mutable std::once_flag once_;
  mutable std::unique_ptr<Branch[]> branches_;
  mutable std::size_t count_ = 0;
};

}  // namespace sallyport::guard
