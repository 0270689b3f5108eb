#include "platform/terminal/cells.h"

#include <utility>

namespace sallyport::terminal {

void Cells::shape(int rows, int columns, bool with_pens) {
  const auto cells = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  Cells old = std::move(*this);
  rows_ = rows;
  columns_ = columns;
  glyphs_.assign(cells, k_blank);
  pens_.assign(with_pens ? cells : 0, 0);
  wraps_.assign(static_cast<std::size_t>(rows), 0);
  for (int row = 0; row < std::min(rows, old.rows_); ++row) {
    wraps_[static_cast<std::size_t>(row)] = old.wraps_[static_cast<std::size_t>(row)];
    for (int column = 0; column < std::min(columns, old.columns_); ++column) {
      glyphs_[index(row, column)] = old.glyph(row, column);
      if (with_pens) pens_[index(row, column)] = old.pen(row, column);
    }
  }
}

Rect Cells::clamped(Rect area) const {
  area.top = std::clamp(area.top, 0, rows_);
  area.bottom = std::clamp(area.bottom, area.top, rows_);
  area.left = std::clamp(area.left, 0, columns_);
  area.right = std::clamp(area.right, area.left, columns_);
  return area;
}

void Cells::put(int row, int column, char32_t glyph, std::uint16_t pen) {
  if (!holds(row, column)) return;
  glyphs_[index(row, column)] = glyph;
  if (!pens_.empty()) pens_[index(row, column)] = pen;
}

void Cells::erase(Rect area, std::uint16_t pen) {
  area = clamped(area);
  if (area.left == area.right) return;
  for (int row = area.top; row < area.bottom; ++row) {
    const auto begin = static_cast<std::ptrdiff_t>(index(row, area.left));
    const auto end = begin + (area.right - area.left);
    std::fill(glyphs_.begin() + begin, glyphs_.begin() + end, k_blank);
    if (!pens_.empty()) std::fill(pens_.begin() + begin, pens_.begin() + end, pen);
    // A row whose right edge was emptied cannot run on into the next one.
    if (area.right == columns_) set_wrapped(row + 1, false);
  }
}

void Cells::scroll(Rect area, int down, int right, std::uint16_t pen) {
  area = clamped(area);
  const int height = area.bottom - area.top;
  const int width = area.right - area.left;
  if (height == 0 || width == 0) return;
  if (down >= height || down <= -height || right >= width || right <= -width) {
    erase(area, pen);
    if (width == columns_)
      for (int row = area.top; row < area.bottom; ++row) set_wrapped(row, false);
    return;
  }
  const auto copy_row = [&](int row) {
    const int source = row + down;
    const int from_left = std::max(area.left, area.left + right);
    const int to_left = from_left - right;
    const int count = width - (right < 0 ? -right : right);
    const auto move = [&](auto& list) {
      const auto from = list.begin() + static_cast<std::ptrdiff_t>(index(source, from_left));
      const auto to = list.begin() + static_cast<std::ptrdiff_t>(index(row, to_left));
      if (to <= from) std::copy(from, from + count, to);
      else std::copy_backward(from, from + count, to + count);
    };
    move(glyphs_);
    if (!pens_.empty()) move(pens_);
  };
  const int first = std::max(area.top, area.top - down);
  const int last = std::min(area.bottom, area.bottom - down);
  if (down >= 0)
    for (int row = first; row < last; ++row) copy_row(row);
  else
    for (int row = last - 1; row >= first; --row) copy_row(row);
  if (width == columns_ && right == 0) {
    std::vector<std::uint8_t> wraps = wraps_;
    for (int row = area.top; row < area.bottom; ++row) {
      const int source = row + down;
      wraps[static_cast<std::size_t>(row)] = source >= area.top && source < area.bottom ? wraps_[static_cast<std::size_t>(source)] : 0;
    }
    wraps_ = std::move(wraps);
  }
  const auto blank = [&](Rect part) {
    part = clamped(part);
    for (int row = part.top; row < part.bottom; ++row)
      for (int column = part.left; column < part.right; ++column) put(row, column, k_blank, pen);
  };
  if (down > 0) blank({area.bottom - down, area.bottom, area.left, area.right});
  if (down < 0) blank({area.top, area.top - down, area.left, area.right});
  if (right > 0) blank({area.top, area.bottom, area.right - right, area.right});
  if (right < 0) blank({area.top, area.bottom, area.left, area.left - right});
}

std::size_t Cells::memory() const noexcept {
  return glyphs_.capacity() * sizeof(char32_t) + pens_.capacity() * sizeof(std::uint16_t) + wraps_.capacity();
}

}  // namespace sallyport::terminal
