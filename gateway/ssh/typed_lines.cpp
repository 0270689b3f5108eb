#include "gateway/ssh/typed_lines.h"

#include <algorithm>
#include <utility>

#include "platform/model/bytes.h"

namespace sallyport::gateway {
namespace {

constexpr char k_backspace = 0x08;
constexpr char k_delete = 0x7f;
constexpr char k_control_u = 0x15;
constexpr char k_control_w = 0x17;
constexpr char k_escape = 0x1b;

[[nodiscard]] bool ends_line(char c) { return c == '\r' || c == '\n'; }
[[nodiscard]] bool is_visible(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != k_delete; }

}  // namespace

std::vector<TypedLines::Piece> TypedLines::split(std::span<const std::byte> typed) const {
  std::vector<Piece> pieces;
  std::uint64_t line = current_;
  std::size_t in_line = current_bytes_;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < typed.size(); ++i) {
    ++in_line;
    if (ends_line(static_cast<char>(typed[i])) || in_line >= k_longest) {
      pieces.push_back({line, i + 1 - begin, true});
      begin = i + 1;
      in_line = 0;
      ++line;
    }
  }
  if (begin < typed.size()) pieces.push_back({line, typed.size() - begin, false});
  return pieces;
}

void TypedLines::released(const Piece& piece, std::span<const std::byte> bytes) {
  if (lines_.empty() || lines_.back().number != piece.line) {
    if (lines_.size() >= k_most_waiting) judge_front();
    lines_.emplace_back().number = piece.line;
    begin(lines_.back());
  }
  Line& line = lines_.back();
  line.bytes += bytes.size();
  line.keys.append(static_cast<const char*>(static_cast<const void*>(bytes.data())), bytes.size());
  for (const std::byte raw : bytes) {
    const char c = static_cast<char>(raw);
    if (is_visible(c)) {
      line.expected.push_back(c);
    } else if (c == k_backspace || c == k_delete) {
      // Erasing what was never shown could hide a password that was begun: the line stays closed then.
      if (line.edited) continue;
      if (!line.expected.empty()) line.expected.pop_back();
      if (line.matched > line.expected.size()) line.matched = line.expected.size();
      else line.blind = true;
    } else if (c == k_control_u) {
      if (line.edited) continue;
      if (line.matched < line.expected.size()) line.blind = true;
      line.expected.clear();
      line.matched = 0;
    } else if (c == k_escape || c == k_control_w || (c > 0 && c < 0x1b && !ends_line(c) && c != 0x03 && c != 0x04)) {
      line.edited = true;
    }
  }
  current_bytes_ += piece.length;
  if (piece.ends_line) {
    line.ended = true;
    current_ = piece.line + 1;
    current_bytes_ = 0;
    if (line.expected.empty() || line.matched == line.expected.size()) {
      while (!lines_.empty() && lines_.front().ended && lines_.front().matched == lines_.front().expected.size()) judge_front();
    }
  } else {
    current_ = piece.line;
  }
}

void TypedLines::match(char visible) {
  // The oldest line that still misses characters is the one whose echo comes next.
  for (std::size_t at = 0; at < lines_.size();) {
    Line& line = lines_[at];
    if (line.edited && !line.ended) return;
    if (line.edited || line.matched == line.expected.size()) {
      ++at;
      continue;
    }
    if (line.expected[line.matched] == visible) {
      ++line.matched;
      return;
    }
    ++line.mismatched;
    if (!line.ended) return;
    // After Enter only the rest of the echo counts: what a program prints then is not an echo, and what is shown now may
    // be the echo of the next line.
    line.blind = true;
    if (at == 0)
      judge_front();
    else
      ++at;
  }
}

void TypedLines::shown(std::span<const std::byte> output) {
  if (lines_.empty()) return;
  std::size_t fed = 0;
  for (std::size_t at = 0; at < output.size(); ++at) {
    const char c = static_cast<char>(output[at]);
    if (c == '\n' && screen_) {
      // The line as it stood before anything a program prints below it.
      screen_->feed(output.subspan(fed, at - fed));
      fed = at;
    }
    switch (escape_) {
      case Escape::none:
        if (c == k_escape) {
          escape_ = Escape::started;
        } else if (c == '\n') {
          if (!lines_.empty() && lines_.front().ended) judge_front();
        } else if (is_visible(c)) {
          match(c);
        }
        break;
      case Escape::started:
        escape_ = c == '[' ? Escape::csi : (c == ']' || c == 'P' || c == '_' || c == '^') ? Escape::string : Escape::none;
        break;
      case Escape::csi:
        if (c >= 0x40 && c <= 0x7e) escape_ = Escape::none;
        break;
      case Escape::string:
        if (c == 0x07) escape_ = Escape::none;
        else if (c == k_escape) escape_ = Escape::string_escape;
        break;
      case Escape::string_escape:
        escape_ = Escape::none;
        break;
    }
    if (lines_.empty()) return;
  }
  if (screen_) screen_->feed(output.subspan(fed));
  while (!lines_.empty() && lines_.front().ended && lines_.front().matched == lines_.front().expected.size()) judge_front();
}

void TypedLines::judge_front() {
  const Line& line = lines_.front();
  const bool echoed =
      !line.blind && (line.edited ? stands_on_screen(line)
                                  : line.matched == line.expected.size() && line.mismatched <= 8 + line.expected.size() / 4);
  verdicts_.push_back({line.number, line.bytes, echoed, echoed ? line.keys : std::string()});
  lines_.erase(lines_.begin());
}

void TypedLines::size(std::uint32_t columns, std::uint32_t rows) {
  columns_ = columns;
  rows_ = rows;
  if (screen_) screen_->resize(columns, rows);
}

void TypedLines::begin(Line& line) {
  if (lines_.size() == 1) {
    // What was on the screen before is of no interest: the model begins where the line does.
    screen_ = std::make_unique<terminal::Screen>(terminal::Screen::Options{.columns = columns_, .rows = rows_});
  }
  // Typed ahead, while an earlier line is under way: where its echo will begin is not known.
  line.begin = lines_.size() == 1 && screen_ ? screen_->cursor() : terminal::Place{UINT64_MAX, 0};
}

bool TypedLines::stands_on_screen(const Line& line) const {
  if (!screen_ || line.begin.line == UINT64_MAX) return false;
  std::string typed;  // without the keys of escape sequences
  enum class State { text, started, csi, ss3 } state = State::text;
  for (const char c : line.keys) {
    switch (state) {
      case State::text:
        if (c == k_escape) state = State::started;
        else if (is_visible(c) && c != ' ') typed.push_back(c);
        break;
      case State::started: state = c == '[' ? State::csi : c == 'O' ? State::ss3 : State::text; break;
      case State::csi:
        if (c >= 0x40 && c <= 0x7e) state = State::text;
        break;
      case State::ss3: state = State::text; break;
    }
  }
  const std::uint64_t last = screen_->logical_end(std::max(line.begin.line, screen_->cursor().line));
  const std::string shown = screen_->text(line.begin, {last, screen_->columns()});
  std::size_t found = 0;
  for (const char c : shown)
    if (found < typed.size() && c == typed[found]) ++found;
  return found == typed.size();
}

void TypedLines::tick() {
  if (lines_.empty()) screen_.reset();
  while (!lines_.empty() && lines_.front().ended && ++lines_.front().ticks_since_end > 2) judge_front();
}

void TypedLines::finish() {
  while (!lines_.empty()) judge_front();
}

std::vector<TypedLines::Verdict> TypedLines::take_verdicts() { return std::exchange(verdicts_, {}); }

}  // namespace sallyport::gateway
