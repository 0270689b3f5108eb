// platform/terminal/screen.h -- what a terminal shows: fed with a program's output, asked for rows, cursor and text.
//
// The escape sequences are understood by libvterm's state layer; the cells are our own and small (four bytes each). The
// model listens only: what a real terminal would answer (device attributes, cursor reports) is discarded, the person's
// own terminal answers.
//
// Lines are numbered from the first one ever shown: the number of a line stays the same when it scrolls. Rows know
// whether they continue the row above (the text ran over the edge) or begin a line of their own.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace sallyport::terminal {

struct Place {
  std::uint64_t line = 0;
  std::uint32_t column = 0;  ///< a wide character takes two
  auto operator<=>(const Place&) const = default;
};

inline constexpr std::uint32_t k_most_columns = 1000;
inline constexpr std::uint32_t k_most_rows = 300;

/// One terminal. Not for two threads at once. Memory: 4 bytes a cell (6 with attributes), the alternate screen and the
/// history only once they are used, about 6 KiB besides.
class Screen {
 public:
  struct Options {
    std::uint32_t columns = 80;     ///< clamped to 1 .. k_most_columns
    std::uint32_t rows = 24;        ///< clamped to 1 .. k_most_rows
    std::size_t history = 0;        ///< lines above the screen that stay readable
    bool attributes = false;        ///< keep colours and emphasis, for repaint()
  };

  explicit Screen(Options options);
  ~Screen();
  Screen(Screen&&) noexcept;
  Screen& operator=(Screen&&) noexcept;

  void feed(std::span<const std::byte> output);
  void feed(std::string_view output);
  /// Keeps what is shown at its columns; rows above go to the history when the cursor would fall off.
  void resize(std::uint32_t columns, std::uint32_t rows);
  /// As a terminal that was just switched on. Line numbers go on.
  void reset();

  [[nodiscard]] std::uint32_t columns() const noexcept;
  [[nodiscard]] std::uint32_t rows() const noexcept;
  [[nodiscard]] Place cursor() const noexcept;
  [[nodiscard]] bool cursor_visible() const noexcept;
  [[nodiscard]] bool in_alternate() const noexcept;
  [[nodiscard]] std::string title() const;

  [[nodiscard]] std::uint64_t top() const noexcept;    ///< number of the screen's first row
  [[nodiscard]] std::uint64_t first() const noexcept;  ///< number of the oldest line that can be read
  /// UTF-8 without trailing blanks; "" for a line that is gone or not there yet.
  [[nodiscard]] std::string line_text(std::uint64_t line) const;
  /// True when the text of the line above ran on into this one.
  [[nodiscard]] bool continues(std::uint64_t line) const;
  /// Text from `from` up to (not including) `to`. Rows that continue are joined, others are parted by '\n'; blanks at the
  /// end of a row that is not continued are dropped.
  [[nodiscard]] std::string text(Place from, Place to) const;
  /// First row of the logical line that `line` belongs to, and its last.
  [[nodiscard]] std::uint64_t logical_begin(std::uint64_t line) const;
  [[nodiscard]] std::uint64_t logical_end(std::uint64_t line) const;

  /// Bytes that paint this very screen on an empty terminal of the same size, cursor and alternate screen included.
  [[nodiscard]] std::string repaint() const;
  /// Changes whenever a cell or the cursor changed.
  [[nodiscard]] std::uint64_t version() const noexcept;
  [[nodiscard]] std::size_t memory() const noexcept;

  /// A line left the top of the main screen (with or without a history).
  std::function<void(std::uint64_t line, std::string_view text, bool continues)> on_line_out;
  /// An operating system command, e.g. "133;A". Cut at 64 bytes.
  std::function<void(std::string_view command)> on_command;

 private:
  struct Model;
  std::unique_ptr<Model> model_;
};

}  // namespace sallyport::terminal
