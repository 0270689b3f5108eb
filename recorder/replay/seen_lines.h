// recorder/replay/seen_lines.h -- the lines a person saw on a terminal, and the command lines a shell told of.
//
// Fed with a channel's output in order; a terminal model keeps the screen. A line is given out when it leaves the screen
// at the top, or when the screen stood still for a moment with the line on it: what a program wrote and wiped away within
// one burst nobody saw. The line under the cursor is given when the cursor has left it, so that typing does not give each
// of its beginnings. Lines that run over the edge are joined. The same text again within a channel is given once.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <unordered_set>

#include "platform/model/bytes.h"
#include "platform/terminal/screen.h"

namespace sallyport::replay {

/// When output came.
struct Moment {
  std::int64_t wall_us = 0;
  std::int64_t boot_us = 0;
  std::uint64_t sequence = 0;
};

struct SeenLine {
  Moment when;
  std::string text;  ///< UTF-8 without blanks at its end, at most k_longest bytes
};

/// What shell integration said (OSC 133): the line between B and C, the status in D.
struct SeenCommand {
  Moment when;  ///< of C
  std::string text;
  std::optional<int> status;
};

class SeenLines {
 public:
  using GiveLine = std::function<void(const SeenLine&)>;
  using GiveCommand = std::function<void(const SeenCommand&)>;
  SeenLines(std::uint32_t columns, std::uint32_t rows, GiveLine give_line, GiveCommand give_command);

  void output(ByteView bytes, const Moment& when);
  void resize(std::uint32_t columns, std::uint32_t rows, const Moment& when);
  /// The channel is over.
  void finish();
  [[nodiscard]] const terminal::Screen& screen() const noexcept { return screen_; }

  static constexpr std::size_t k_longest = 4096;

 private:
  void settle();
  void line_out(std::uint64_t line, std::string_view text, bool continues);
  void flush_out();
  void give(std::string text);
  void command(std::string_view osc);

  terminal::Screen screen_;
  GiveLine give_line_;
  GiveCommand give_command_;
  Moment now_;
  std::optional<std::int64_t> last_boot_us_;
  std::uint64_t settled_version_ = 0;

  std::string leaving_;  ///< the logical line that is leaving the screen
  bool is_leaving_ = false;
  std::string under_cursor_;
  bool alternate_ = false;
  std::uint64_t cursor_line_ = 0;

  std::unordered_set<std::size_t> given_;
  std::deque<std::size_t> given_order_;

  std::optional<terminal::Place> command_begin_;
  std::optional<SeenCommand> command_;
};

}  // namespace sallyport::replay
