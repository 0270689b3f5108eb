#include "gateway/ssh/menu.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "gateway/ssh/refusal.h"

namespace sallyport::gateway {
namespace {

[[nodiscard]] std::string lowered(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

[[nodiscard]] std::string cut(const std::string& text, std::size_t width) {
  return text.size() <= width ? text : text.substr(0, width > 1 ? width - 1 : 0) + "~";
}

/// Rows for targets: the head, the search, a blank line and the hint take the others.
[[nodiscard]] std::size_t room_of(std::uint32_t lines) { return lines - 4; }

}  // namespace

Menu::Menu(std::string principal, std::vector<Row> rows, std::uint32_t columns, std::uint32_t lines)
    : principal_(std::move(principal)), rows_(std::move(rows)), columns_(columns), lines_(lines) {
  for (Row& row : rows_) {
    row.target = printable(row.target, 64);
    row.account = printable(row.account, 64);
    row.labels = printable(row.labels, 200);
  }
  resize(columns, lines);
  filter();
}

void Menu::resize(std::uint32_t columns, std::uint32_t lines) {
  columns_ = std::clamp<std::uint32_t>(columns == 0 ? 80 : columns, 20, 500);
  lines_ = std::clamp<std::uint32_t>(lines == 0 ? 24 : lines, 6, 200);
}

void Menu::filter() {
  shown_.clear();
  const std::string wanted = lowered(search_);
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const std::string text = lowered(rows_[i].account + " " + rows_[i].target + " " + rows_[i].labels);
    // Every word of the search must occur somewhere.
    bool fits = true;
    for (std::size_t begin = 0; begin < wanted.size() && fits;) {
      std::size_t end = wanted.find(' ', begin);
      if (end == std::string::npos) end = wanted.size();
      if (end > begin) fits = text.find(wanted.substr(begin, end - begin)) != std::string::npos;
      begin = end + 1;
    }
    if (fits) shown_.push_back(i);
  }
  at_ = shown_.empty() ? 0 : std::min(at_, shown_.size() - 1);
}

std::string_view Menu::hint() const {
  for (const std::string_view text : {"Enter connects, arrows and PgUp/PgDn move, typing searches, Ctrl-C leaves",
                                      "Enter connects, arrows move, typing searches, Ctrl-C leaves", "Enter connects, type, Ctrl-C leaves"})
    if (text.size() < columns_) return text;
  return "Enter, Ctrl-C";
}

void Menu::move_to(std::ptrdiff_t place) {
  at_ = shown_.empty() ? 0 : static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(place, 0, static_cast<std::ptrdiff_t>(shown_.size()) - 1));
}

void Menu::escape_sequence(char last) {
  const auto here = static_cast<std::ptrdiff_t>(at_);
  const auto page = static_cast<std::ptrdiff_t>(room_of(lines_));
  if (last == 'A') move_to(here - 1);
  if (last == 'B') move_to(here + 1);
  if (last == 'H' || (last == '~' && (parameter_ == '1' || parameter_ == '7'))) move_to(0);
  if (last == 'F' || (last == '~' && (parameter_ == '4' || parameter_ == '8'))) move_to(static_cast<std::ptrdiff_t>(shown_.size()));
  if (last == '~' && parameter_ == '5') move_to(here - page);
  if (last == '~' && parameter_ == '6') move_to(here + page);
}

bool Menu::some_begins_with(char c) const {
  return std::any_of(rows_.begin(), rows_.end(), [c](const Row& row) { return lowered(row.target).starts_with(c); });
}

std::string Menu::draw() {
  std::string out = "\x1b[?25l\x1b[H\x1b[2J";
  out += fmt::format("\x1b[1m{}\x1b[0m\r\n", cut(fmt::format("Sallyport  {}  {} of {} targets", principal_, shown_.size(), rows_.size()), columns_));
  out += fmt::format("Search: {}\x1b[7m \x1b[0m\r\n", cut(search_, columns_ > 10 ? columns_ - 10 : 10));
  const std::size_t room = room_of(lines_);
  // As wide as the widest name, so that labels are seen on a small terminal, too, but no name pushes the rest out.
  std::size_t target = 6, account = 4;
  for (const std::size_t i : shown_) {
    target = std::max(target, rows_[i].target.size());
    account = std::max(account, rows_[i].account.size());
  }
  target = std::min<std::size_t>(target, std::max<std::size_t>(columns_ / 2, 12));
  account = std::min<std::size_t>(account, std::max<std::size_t>(columns_ / 4, 8));
  const std::size_t first = at_ >= room ? at_ - room + 1 : 0;
  for (std::size_t i = first; i < shown_.size() && i < first + room; ++i) {
    const Row& row = rows_[shown_[i]];
    const std::string line =
        cut(fmt::format(" {:<{}}  {:<{}}  {}", cut(row.target, target), target, cut(row.account, account), account, row.labels), columns_ - 1);
    out += i == at_ ? fmt::format("\x1b[7m{}\x1b[0m\r\n", line) : line + "\r\n";
  }
  if (shown_.empty()) out += rows_.empty() ? " No target is granted to you. Ask an administrator for a role.\r\n" : " Nothing matches.\r\n";
  out += fmt::format("\x1b[{};1H\x1b[2m{}\x1b[0m", lines_, cut(std::string(hint()), columns_ - 1));
  return out;
}

Menu::Outcome Menu::key(std::span<const std::byte> typed) {
  for (const std::byte raw : typed) {
    const char c = static_cast<char>(raw);
    if (escape_ == 1) {
      if (c == '[' || c == 'O') {
        escape_ = 2;
        parameter_ = 0;
        continue;
      }
      escape_ = 0;
      search_.clear();
      filter();
    } else if (escape_ == 2) {
      if (c >= '0' && c <= '9' && parameter_ == 0) parameter_ = c;
      if (c >= 0x40 && c <= 0x7e) {
        escape_ = 0;
        escape_sequence(c);
      }
      continue;
    }
    switch (c) {
      case 0x1b: escape_ = 1; break;
      case 0x03:
      case 0x04: return Outcome::quit;
      case 0x0e: if (at_ + 1 < shown_.size()) ++at_; break;
      case 0x10: if (at_ > 0) --at_; break;
      case 0x15: search_.clear(); filter(); break;
      case 0x08:
      case 0x7f:
        if (!search_.empty()) search_.pop_back();
        filter();
        break;
      case '\r':
      case '\n':
        if (!shown_.empty()) return Outcome::chosen;
        break;
      default:
        // q leaves, as in a pager, unless it may be the first letter of a target.
        if (c == 'q' && search_.empty() && !some_begins_with('q')) return Outcome::quit;
        if (c >= 0x20 && c < 0x7f && search_.size() < 64) {
          search_ += c;
          filter();
        }
        break;
    }
  }
  // Escape alone clears at once: with Enter behind it nobody is to arrive at what a search that she took back had chosen.
  if (escape_ == 1 && !search_.empty()) {
    search_.clear();
    filter();
  }
  return Outcome::goes_on;
}

const Menu::Row* Menu::chosen() const { return shown_.empty() ? nullptr : &rows_[shown_[at_]]; }

std::string Menu::leave() const { return "\x1b[H\x1b[2J\x1b[?25h"; }

}  // namespace sallyport::gateway
