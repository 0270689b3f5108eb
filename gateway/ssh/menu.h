// gateway/ssh/menu.h -- the searchable list of targets that `ssh engineer@gateway` shows on a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::gateway {

/// Draws with plain ANSI sequences, takes keys as they come. Pure: bytes in, bytes out. Everything shown is sanitised.
class Menu {
 public:
  struct Row {
    std::string target;
    std::string account;
    std::string labels;
  };
  enum class Outcome { goes_on, quit, chosen };

  Menu(std::string principal, std::vector<Row> rows, std::uint32_t columns, std::uint32_t lines);

  [[nodiscard]] std::string draw();
  /// Typing filters, arrows, Ctrl-N/Ctrl-P, PgUp/PgDn, Home and End move, Enter chooses, Esc and Ctrl-U clear the filter, Ctrl-C,
  /// Ctrl-D and, on an empty filter and where no target's name begins so, `q` leave.
  [[nodiscard]] Outcome key(std::span<const std::byte> typed);
  void resize(std::uint32_t columns, std::uint32_t lines);
  [[nodiscard]] const Row* chosen() const;
  /// Puts the cursor below and shows it again.
  [[nodiscard]] std::string leave() const;

 private:
  void filter();
  void move_to(std::ptrdiff_t place);
  void escape_sequence(char last);
  [[nodiscard]] bool some_begins_with(char c) const;
  [[nodiscard]] std::string_view hint() const;

  std::string principal_;
  std::vector<Row> rows_;
  std::vector<std::size_t> shown_;
  std::string search_;
  std::size_t at_ = 0;
  std::uint32_t columns_;
  std::uint32_t lines_;
  int escape_ = 0;
  char parameter_ = 0;  // the first digit of an escape sequence
};

}  // namespace sallyport::gateway
