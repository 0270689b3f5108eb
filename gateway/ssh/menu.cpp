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

std::string Menu::draw() {
  std::string out = "\x1b[?25l\x1b[H\x1b[2J";
  out += fmt::format("\x1b[1m{}\x1b[0m\r\n", cut(fmt::format("Sallyport  {}  {} of {} targets", principal_, shown_.size(), rows_.size()), columns_));
  out += fmt::format("Search: {}\x1b[7m \x1b[0m\r\n", cut(search_, columns_ > 10 ? columns_ - 10 : 10));
  const std::size_t room = lines_ - 4;
  const std::size_t first = at_ >= room ? at_ - room + 1 : 0;
  for (std::size_t i = first; i < shown_.size() && i < first + room; ++i) {
    const Row& row = rows_[shown_[i]];
    const std::string line = cut(fmt::format(" {:<24} {:<16} {}", row.target, row.account, row.labels), columns_ - 1);
    out += i == at_ ? fmt::format("\x1b[7m{}\x1b[0m\r\n", line) : line + "\r\n";
  }
  if (shown_.empty()) out += rows_.empty() ? " No target is granted to you. Ask an administrator for a role.\r\n" : " Nothing matches.\r\n";
  out += fmt::format("\x1b[{};1H\x1b[2m{}\x1b[0m", lines_, cut("Enter connects, arrows move, typing searches, Ctrl-C leaves", columns_ - 1));
  return out;
}

Menu::Outcome Menu::key(std::span<const std::byte> typed) {
  for (const std::byte raw : typed) {
    const char c = static_cast<char>(raw);
    if (escape_ == 1) {
      if (c == '[' || c == 'O') {
        escape_ = 2;
        continue;
      }
      escape_ = 0;
      search_.clear();
      filter();
    } else if (escape_ == 2) {
      if (c == 'A' && at_ > 0) --at_;
      if (c == 'B' && at_ + 1 < shown_.size()) ++at_;
      if (c >= 0x40 && c <= 0x7e) escape_ = 0;
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
        if (c == 'q' && search_.empty()) return Outcome::quit;
        if (c >= 0x20 && c < 0x7f && search_.size() < 64) {
          search_ += c;
          filter();
        }
        break;
    }
  }
  return Outcome::goes_on;
}

const Menu::Row* Menu::chosen() const { return shown_.empty() ? nullptr : &rows_[shown_[at_]]; }

std::string Menu::leave() const { return "\x1b[H\x1b[2J\x1b[?25h"; }

}  // namespace sallyport::gateway
