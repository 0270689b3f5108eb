// gateway/ssh/hop_signs.h -- what the terminal shows when a program on the target goes on to another host.
//
// Questions and banners of ssh and telnet clients, and the greeting of the host that was reached. Text that a program prints can look like
// these: the answer is judged like a command, never taken as a reason to judge less.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "platform/terminal/screen.h"

namespace sallyport::gateway {

struct HopSign {
  std::string host;        ///< "unknown" when it is not shown
  bool is_inside = false;  ///< the login is over: a Ctrl-C does not end it any more
};

/// One terminal.
class HopSigns {
 public:
  /// After `output` was shown. `has_run`: a line was entered before (a login at the target itself greets as well). `shows_text`: what runs
  /// prints files, in which banners may stand. `changes_user`: what runs is su, sudo or the like, whose pam_lastlog greets as a login does and
  /// names the terminal as well ("Last login: ... from 192.0.2.10 on pts/3"), which no sshd does.
  [[nodiscard]] std::optional<HopSign> look(const terminal::Screen& screen, std::span<const std::byte> output, bool has_run, bool shows_text, bool changes_user);

 private:
  [[nodiscard]] std::optional<HopSign> question(const terminal::Screen& screen);
  [[nodiscard]] std::optional<HopSign> banner(const terminal::Screen& screen, bool has_run, bool changes_user);

  std::string tail_;                          ///< the newest output, in case a sign was cut
  std::size_t due_ = 0;                       ///< within so many more bytes the row of a sign should be complete
  std::uint64_t asked_line_ = UINT64_MAX;
  std::uint64_t next_line_ = 0;               ///< rows before it were looked at
};

}  // namespace sallyport::gateway
