#include "gateway/ssh/key_view.h"

#include <algorithm>

#include "platform/model/utf8.h"

namespace sallyport::gateway {
namespace {

constexpr char k_escape = 0x1b;
constexpr std::string_view k_paste_begin = "[200~";
constexpr std::string_view k_paste_end = "[201~";

[[nodiscard]] bool is_text(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; }
[[nodiscard]] bool ends_line(char c) { return c == '\r' || c == '\n'; }

[[nodiscard]] std::size_t utf8_length(char lead) {
  const auto c = static_cast<unsigned char>(lead);
  return c < 0x80 ? 1 : (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 0;
}

}  // namespace

KeyView::Step KeyView::peek(std::string_view input) const {
  const char c = input.front();
  if (ends_line(c)) return {1, in_paste_ ? Key::paste_line : Key::submit};
  if (escape_ == Escape::none || escape_ == Escape::started) {
    if (c == 0x0f) return {1, Key::submit};
    if (c == 0x03) return {1, Key::interrupt};
    if (c == 0x04 && (!text_.empty() || !sure_)) return {1, Key::submit};
    if (c == 0x18) {
      if (input.size() < 2) return {0, Key::need_more};
      return input[1] == 0x05 ? Step{2, Key::submit} : Step{1, Key::edit};
    }
  }
  const bool vi_command = lone_escape_ && !in_paste_;
  if (c == 'v' && vi_command && (escape_ == Escape::none || escape_ == Escape::started)) return {1, Key::submit};
  if (escape_ != Escape::none || !is_text(c)) return {1, Key::edit};
  std::size_t length = 1;
  while (length < input.size() && is_text(input[length]) && !(vi_command && input[length] == 'v')) ++length;
  return {length, Key::text};
}

void KeyView::insert(char32_t c) {
  if (text_.size() >= k_longest) {
    sure_ = false;
    return;
  }
  text_.insert(text_.begin() + static_cast<std::ptrdiff_t>(cursor_), c);
  ++cursor_;
}

void KeyView::take(std::string_view key, bool alone) {
  for (const char c : key) {
    if (ends_line(c)) {
      if (in_paste_) insert(U'\n');
      escape_ = Escape::none;
      tail_.clear();
      continue;
    }
    switch (escape_) {
      case Escape::none:
        if (c == k_escape) {
          escape_ = Escape::started;
          sequence_.clear();
          tail_.clear();
          pending_.clear();
          // Alone it is a key of its own; `[` behind it in another packet still makes it a sequence.
          if (alone && key.size() == 1) lone_escape_ = true;
        } else if (is_text(c)) {
          if (tail_.size() < k_longest) tail_.push_back(c);
          if (lone_escape_) sure_ = false;
          if (static_cast<unsigned char>(c) < 0x80) {
            if (!pending_.empty()) sure_ = false;
            pending_.clear();
            insert(static_cast<char32_t>(c));
            break;
          }
          pending_.push_back(c);
          const std::size_t wanted = utf8_length(pending_.front());
          if (wanted == 0 || pending_.size() > 4) {
            pending_.clear();
            sure_ = false;
          } else if (pending_.size() == wanted) {
            char32_t value = static_cast<unsigned char>(pending_.front()) & (0xffU >> (wanted + 1));
            for (std::size_t i = 1; i < wanted; ++i) value = (value << 6) | (static_cast<unsigned char>(pending_[i]) & 0x3fU);
            pending_.clear();
            insert(value);
          }
        } else {
          control(c);
        }
        break;
      case Escape::started:
        sequence_.push_back(c);
        if (c == '[') escape_ = Escape::csi;
        else if (c == 'O') escape_ = Escape::ss3;
        else if (c == ']' || c == 'P' || c == '_' || c == '^') escape_ = Escape::string;
        else {
          // Meta and a key, or vi's command mode and its first command.
          escape_ = c == k_escape ? Escape::started : Escape::none;
          sure_ = false;
        }
        break;
      case Escape::csi:
        sequence_.push_back(c);
        if (c >= 0x40 && c <= 0x7e) escape_sequence();
        else if (sequence_.size() > 64) escape_sequence();
        break;
      case Escape::ss3:
        sequence_.push_back(c);
        escape_sequence();
        break;
      case Escape::string:  // an answer of the person's terminal
        if (c == 0x07) escape_ = Escape::none;
        else if (c == k_escape) escape_ = Escape::string_escape;
        break;
      case Escape::string_escape:
        escape_ = Escape::none;
        break;
    }
  }
}

void KeyView::escape_sequence() {
  escape_ = Escape::none;
  lone_escape_ = false;
  const std::string_view s = sequence_;
  const char last = s.back();
  if (s == k_paste_begin) {
    in_paste_ = true;
  } else if (s == k_paste_end) {
    in_paste_ = false;
  } else if (s == "[D" || s == "OD") {
    edited_ = true;
    if (cursor_ > 0) --cursor_;
  } else if (s == "[C" || s == "OC") {
    edited_ = true;
    if (cursor_ < text_.size()) ++cursor_;
  } else if (s == "[H" || s == "OH" || s == "[1~" || s == "[7~") {
    edited_ = true;
    cursor_ = 0;
  } else if (s == "[F" || s == "OF" || s == "[4~" || s == "[8~") {
    edited_ = true;
    cursor_ = text_.size();
  } else if (s == "[3~") {
    edited_ = true;
    if (cursor_ < text_.size()) text_.erase(cursor_, 1);
  } else if (s.starts_with('[') && (last == 'c' || last == 'n' || last == 'y' || last == 't' || last == 'I' || (last == 'R' && s.size() > 2) ||
                                    (s == "[O") || (s.starts_with("[<") && (last == 'M' || last == 'm')))) {
    // The terminal's own answers, focus and mouse: no line editor inserts them.
  } else {
    sure_ = false;
  }
}

void KeyView::control(char c) {
  tail_.clear();
  pending_.clear();
  switch (c) {
    case 0x08:
    case 0x7f:
      edited_ = true;
      if (cursor_ > 0) text_.erase(--cursor_, 1);
      return;
    case 0x01:
      edited_ = true;
      cursor_ = 0;
      return;
    case 0x05:
      edited_ = true;
      cursor_ = text_.size();
      return;
    case 0x02:
      edited_ = true;
      if (cursor_ > 0) --cursor_;
      return;
    case 0x06:
      edited_ = true;
      if (cursor_ < text_.size()) ++cursor_;
      return;
    case 0x0b:
      edited_ = true;
      text_.resize(cursor_);
      return;
    case 0x15:
      // bash cuts up to the cursor, zsh and the kernel the whole line: the same at the end of it.
      edited_ = true;
      if (cursor_ != text_.size()) sure_ = false;
      text_.erase(0, cursor_);
      cursor_ = 0;
      return;
    case 0x17: {
      edited_ = true;
      std::size_t begin = cursor_;
      while (begin > 0 && text_[begin - 1] == U' ') --begin;
      while (begin > 0 && text_[begin - 1] != U' ') --begin;
      text_.erase(begin, cursor_ - begin);
      cursor_ = begin;
      return;
    }
    case 0x0c:  // redraws
    case 0x13:  // holds output
      return;
    case 0x04:
      return;  // on an empty line: end of file
    default: sure_ = false;
  }
}

void KeyView::clear() {
  text_.clear();
  cursor_ = 0;
  tail_.clear();
  pending_.clear();
  sequence_.clear();
  escape_ = Escape::none;
  sure_ = true;
  edited_ = false;
  lone_escape_ = false;
}

std::string KeyView::before() const {
  std::string out;
  for (std::size_t i = 0; i < cursor_; ++i) append_utf8(out, text_[i]);
  return out;
}

std::string KeyView::after() const {
  std::string out;
  for (std::size_t i = cursor_; i < text_.size(); ++i) append_utf8(out, text_[i]);
  return out;
}

}  // namespace sallyport::gateway
