// gateway/ssh/typed_lines.h -- decides which typed lines of a terminal were shown on the screen.
//
// What a person types on a pty is recorded under a key of its own per line. The key is written down when the echo has
// shown the line, and destroyed when it has not: a password prompt leaves only a byte count. A line that was recalled,
// completed or edited with more than backspace is looked up on a small model of the screen, which lives only while such
// a line is being typed: it was shown when what was typed stands there, in order, where the line began. The judge is
// strict: what it cannot see shown counts as not echoed. Nothing is lost for an auditor by that, because the screen
// itself is recorded; only the keys are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "platform/terminal/screen.h"

namespace sallyport::gateway {

/// One terminal channel. Pure: no clock, no I/O.
class TypedLines {
 public:
  struct Verdict {
    std::uint64_t line = 0;
    std::size_t bytes = 0;
    bool echoed = false;
    std::string typed;  ///< as it came; only of an echoed line
  };

  /// A run of typed bytes that belongs to one line.
  struct Piece {
    std::uint64_t line = 0;
    std::size_t length = 0;
    bool ends_line = false;
  };

  /// Splits what was typed at line ends; the pieces cover `typed` in order. Lines also end after k_longest bytes.
  [[nodiscard]] std::vector<Piece> split(std::span<const std::byte> typed) const;
  /// Notes one piece as released to the target.
  void released(const Piece& piece, std::span<const std::byte> bytes);
  /// Notes what the target sent to the screen. Verdicts that became clear are waiting in take_verdicts().
  void shown(std::span<const std::byte> output);
  /// Call about once a second: lines that ended before the last call and still wait are judged as they stand.
  void tick();
  /// Judges everything that is left.
  void finish();
  [[nodiscard]] std::vector<Verdict> take_verdicts();
  /// The terminal's size, for lines that run over its edge.
  void size(std::uint32_t columns, std::uint32_t rows);
  [[nodiscard]] bool is_waiting() const noexcept { return !lines_.empty(); }

  static constexpr std::size_t k_longest = 1024;  ///< bytes of one line; a longer one is cut into several
  static constexpr std::size_t k_most_waiting = 16;

 private:
  struct Line {
    std::uint64_t number = 0;
    std::size_t bytes = 0;
    std::string expected;       // printable bytes as the echo should show them
    std::string keys;           // all of it
    std::size_t matched = 0;
    std::size_t mismatched = 0;
    bool ended = false;
    bool blind = false;         // was not shown
    bool edited = false;        // recalled, completed, edited: the screen has to tell
    terminal::Place begin;      // on the model of the screen
    int ticks_since_end = 0;
  };

  void judge_front();
  void begin(Line& line);
  [[nodiscard]] bool stands_on_screen(const Line& line) const;
  void match(char visible);

  std::vector<Line> lines_;
  std::unique_ptr<terminal::Screen> screen_;
  std::uint32_t columns_ = 80, rows_ = 24;
  std::vector<Verdict> verdicts_;
  std::uint64_t current_ = 1;
  std::size_t current_bytes_ = 0;
  enum class Escape { none, started, csi, string, string_escape } escape_ = Escape::none;
};

}  // namespace sallyport::gateway
