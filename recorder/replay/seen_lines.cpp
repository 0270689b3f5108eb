#include "recorder/replay/seen_lines.h"

#include <charconv>
#include <utility>

namespace sallyport::replay {
namespace {

constexpr std::int64_t k_still_us = 30'000;      ///< the screen stood still so long: it was seen
constexpr std::size_t k_remembered = 16'384;     ///< texts that are not given again
constexpr std::size_t k_longest_command = 8192;

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t") == std::string_view::npos; }

void cut(std::string& text, std::size_t most) {
  if (text.size() <= most) return;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) --most;
  text.resize(most);
}

}  // namespace

SeenLines::SeenLines(std::uint32_t columns, std::uint32_t rows, GiveLine give_line, GiveCommand give_command)
    : screen_({.columns = columns, .rows = rows, .history = 0, .attributes = false}), give_line_(std::move(give_line)), give_command_(std::move(give_command)) {
  screen_.on_line_out = [this](std::uint64_t line, std::string_view text, bool continues) { line_out(line, text, continues); };
  screen_.on_command = [this](std::string_view osc) { command(osc); };
}

void SeenLines::give(std::string text) {
  if (is_blank(text)) return;
  cut(text, k_longest);
  const std::size_t hash = std::hash<std::string>{}(text);
  if (!given_.insert(hash).second) return;
  given_order_.push_back(hash);
  if (given_order_.size() > k_remembered) {
    given_.erase(given_order_.front());
    given_order_.pop_front();
  }
  give_line_({now_, std::move(text)});
}

void SeenLines::flush_out() {
  if (!is_leaving_) return;
  is_leaving_ = false;
  give(std::exchange(leaving_, {}));
}

void SeenLines::line_out(std::uint64_t /*line*/, std::string_view text, bool continues) {
  if (!continues) flush_out();
  is_leaving_ = true;
  if (leaving_.size() < k_longest) leaving_ += text;
}

/// Gives what stands on the screen now.
void SeenLines::settle() {
  if (screen_.version() == settled_version_) return;
  settled_version_ = screen_.version();
  const std::uint64_t top = screen_.top(), end = top + screen_.rows();
  const std::uint64_t cursor = screen_.logical_begin(screen_.cursor().line);
  // What the cursor left, however it looked last.
  if (!under_cursor_.empty() && (cursor != cursor_line_ || screen_.in_alternate() != alternate_)) give(std::exchange(under_cursor_, {}));
  cursor_line_ = cursor;
  alternate_ = screen_.in_alternate();
  for (std::uint64_t line = top; line < end;) {
    const std::uint64_t last = std::max(line, screen_.logical_end(line));
    std::string text = screen_.text({line, 0}, {last, screen_.columns()});
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    if (line == top && is_leaving_ && screen_.continues(line)) text = leaving_ + text;
    if (cursor >= line && cursor <= last)
      under_cursor_ = std::move(text);
    else
      give(std::move(text));
    line = last + 1;
  }
}

void SeenLines::output(ByteView bytes, const Moment& when) {
  if (last_boot_us_ && when.boot_us - *last_boot_us_ >= k_still_us) settle();
  last_boot_us_ = when.boot_us;
  now_ = when;
  screen_.feed(bytes);
}

void SeenLines::resize(std::uint32_t columns, std::uint32_t rows, const Moment& when) {
  settle();
  now_ = when;
  screen_.resize(columns, rows);
}

void SeenLines::finish() {
  settle();
  if (!under_cursor_.empty()) give(std::exchange(under_cursor_, {}));
  flush_out();
  if (command_) give_command_(*std::exchange(command_, std::nullopt));
}

void SeenLines::command(std::string_view osc) {
  if (!osc.starts_with("133;") || osc.size() < 5) return;
  switch (osc[4]) {
    case 'B': command_begin_ = screen_.cursor(); break;
    case 'C':
      if (command_) give_command_(*std::exchange(command_, std::nullopt));
      if (command_begin_) {
        SeenCommand made{now_, screen_.text(*command_begin_, screen_.cursor()), std::nullopt};
        while (!made.text.empty() && (made.text.back() == '\n' || made.text.back() == ' ')) made.text.pop_back();
        cut(made.text, k_longest_command);
        if (!is_blank(made.text)) command_ = std::move(made);
        command_begin_.reset();
      }
      break;
    case 'D':
      if (command_) {
        if (osc.size() > 6 && osc[5] == ';') {
          int status = 0;
          const std::string_view digits = osc.substr(6);
          const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), status);
          if (error == std::errc{}) command_->status = status;
        }
        give_command_(*std::exchange(command_, std::nullopt));
      }
      break;
    default: break;
  }
}

}  // namespace sallyport::replay
