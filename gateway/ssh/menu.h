// gateway/ssh/menu.h -- the searchable list of targets that `ssh engineer@gateway` shows on a terminal.
#pragma once

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
  /// Typing filters, arrows and Ctrl-N/Ctrl-P move, Enter chooses, Esc clears the filter, Ctrl-C, Ctrl-D and `q` on an empty filter leave.
  [[nodiscard]] Outcome key(std::span<const std::byte> typed);
  void resize(std::uint32_t columns, std::uint32_t lines);
  [[nodiscard]] const Row* chosen() const;
  /// Puts the cursor below and shows it again.
  [[nodiscard]] std::string leave() const;

 private:
  void filter();

  std::string principal_;
  std::vector<Row> rows_;
  std::vector<std::size_t> shown_;
  std::string search_;
  std::size_t at_ = 0;
  std::uint32_t columns_;
  std::uint32_t lines_;
  int escape_ = 0;
};

}  // namespace sallyport::gateway
