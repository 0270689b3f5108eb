// policy/guard/small_pattern.h -- a regular expression that is ready in a few microseconds.
//
// RE2 takes 20 us to 0.7 ms to compile an expression and builds its automaton as texts come; a command waits for that, and most expressions
// meet few texts in a session's life. This reads the plain part of the same language and runs it by trying, with a note of what was tried, so
// that the time is bounded by steps times letters. What it does not know, and long texts, are RE2's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace sallyport::guard {

class SmallPattern {
 public:
  /// nullopt: the expression is written in a way that is not known here. `(?i)` and `(?s)` may stand in front; `.` meets line ends.
  [[nodiscard]] static std::optional<SmallPattern> read(std::string_view expression);
  /// Is it somewhere in `text`? nullopt: the text is too long for this, or not ASCII.
  [[nodiscard]] std::optional<bool> found_in(std::string_view text) const;
  /// It can only match from the text's beginning: most texts are refused at their first letter.
  [[nodiscard]] bool is_anchored() const noexcept { return is_anchored_; }

 private:
  friend class SmallPatternReader;
  using Letters = std::array<std::uint64_t, 2>;  ///< of ASCII
  enum class Op : std::uint8_t { letter, set, fork, jump, begin, end, word_edge, no_word_edge, found };
  struct Step {
    Op op = Op::found;
    char letter = 0;
    std::uint16_t index = 0;  ///< set: which; fork: its number
    std::int16_t first = 0;   ///< fork, jump: where to, from here
    std::int16_t second = 0;  ///< fork
  };
  void prepare();
  [[nodiscard]] bool run(std::string_view text, std::uint64_t* tried, bool& is_too_much) const;

  std::vector<Step> steps_;
  std::vector<Letters> sets_;
  std::size_t forks_ = 0;
  Letters starts_{};        ///< the letters that a match may begin with
  bool starts_empty_ = false;  ///< or with none
  bool is_anchored_ = false;
};

}  // namespace sallyport::guard
