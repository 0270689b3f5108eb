// platform/terminal/cells.h -- the cells of one screen buffer. Internal to this folder.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace sallyport::terminal {

inline constexpr char32_t k_blank = 0;
inline constexpr char32_t k_wide_tail = 0xffffffff;    ///< the right half of a wide character
inline constexpr char32_t k_combined = 0x80000000;     ///< with this bit: an index into the table of combined characters

struct Rect {
  int top, bottom, left, right;  ///< bottom and right are one beyond
};

/// A rectangle of cells. Every access is clamped: what the state layer asks for is never trusted.
class Cells {
 public:
  void shape(int rows, int columns, bool with_pens);
  [[nodiscard]] bool exists() const noexcept { return rows_ > 0; }
  [[nodiscard]] int rows() const noexcept { return rows_; }
  [[nodiscard]] int columns() const noexcept { return columns_; }
  void put(int row, int column, char32_t glyph, std::uint16_t pen);
  [[nodiscard]] char32_t glyph(int row, int column) const { return holds(row, column) ? glyphs_[index(row, column)] : k_blank; }
  [[nodiscard]] std::uint16_t pen(int row, int column) const { return pens_.empty() || !holds(row, column) ? std::uint16_t{0} : pens_[index(row, column)]; }
  void erase(Rect area, std::uint16_t pen);
  /// What is at (row + down, column + right) moves to (row, column); what nothing moves to is erased.
  void scroll(Rect area, int down, int right, std::uint16_t pen);
  [[nodiscard]] bool wrapped(int row) const { return row >= 0 && row < rows_ && wraps_[static_cast<std::size_t>(row)] != 0; }
  void set_wrapped(int row, bool on) { if (row >= 0 && row < rows_) wraps_[static_cast<std::size_t>(row)] = on ? 1 : 0; }
  [[nodiscard]] std::size_t memory() const noexcept;

 private:
  [[nodiscard]] std::size_t index(int row, int column) const {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(columns_) + static_cast<std::size_t>(column);
  }
  [[nodiscard]] bool holds(int row, int column) const { return row >= 0 && row < rows_ && column >= 0 && column < columns_; }
  [[nodiscard]] Rect clamped(Rect area) const;

  int rows_ = 0;
  int columns_ = 0;
  std::vector<char32_t> glyphs_;
  std::vector<std::uint16_t> pens_;
  std::vector<std::uint8_t> wraps_;
};

}  // namespace sallyport::terminal
