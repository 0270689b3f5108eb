#include "recorder/replay/escape_parser.h"

#include <algorithm>
#include <charconv>

#include "platform/model/utf8.h"

namespace sallyport::replay {
namespace {

constexpr std::size_t k_max_sequence = 4096;
constexpr std::size_t k_max_columns = 4096;

/// Modes that make the terminal send something by itself, or change what typing means.
bool is_reporting_mode(std::string_view parameters) {
  static constexpr std::string_view k_modes[] = {"9", "1000", "1001", "1002", "1003", "1004", "1005", "1006", "1015", "1016", "2004", "2026", "2031", "2048"};
  if (!parameters.starts_with('?')) return false;
  parameters.remove_prefix(1);
  while (!parameters.empty()) {
    const std::size_t end = std::min(parameters.find(';'), parameters.size());
    if (std::find(std::begin(k_modes), std::end(k_modes), parameters.substr(0, end)) != std::end(k_modes)) return true;
    parameters.remove_prefix(std::min(end + 1, parameters.size()));
  }
  return false;
}

bool is_harmless_csi(char final_byte, std::string_view parameters) {
  // Intermediates, and the private prefixes < = >, mark requests and settings that no ordinary screen needs.
  if (parameters.find_first_not_of("0123456789;:?") != std::string_view::npos) return false;
  if (final_byte == 'h' || final_byte == 'l') return !is_reporting_mode(parameters);
  return std::string_view("@ABCDEFGHIJKLMPSTXZ`abdefgmrsu").find(final_byte) != std::string_view::npos;
}

bool is_harmless_escape(std::string_view raw) {
  if (raw.size() == 2) return std::string_view("78DEHM=>c").find(raw[1]) != std::string_view::npos;
  return raw.size() == 3 && (raw[1] == '(' || raw[1] == ')' || raw[1] == '#');
}

std::size_t first_number(std::string_view parameters, std::size_t otherwise) {
  std::size_t value = otherwise;
  std::from_chars(parameters.data(), parameters.data() + parameters.size(), value);
  return std::min(value, k_max_columns);
}

/// One complete UTF-8 character, or U+FFFD.
char32_t decode(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(bytes[i])); };
  switch (bytes.size()) {
    case 1: return at(0) < 0x80 ? at(0) : U'\ufffd';
    case 2: return (at(0) & 0x1f) << 6 | (at(1) & 0x3f);
    case 3: return (at(0) & 0x0f) << 12 | (at(1) & 0x3f) << 6 | (at(2) & 0x3f);
    case 4: return (at(0) & 0x07) << 18 | (at(1) & 0x3f) << 12 | (at(2) & 0x3f) << 6 | (at(3) & 0x3f);
    default: return U'\ufffd';
  }
}

void encode(char32_t c, std::string& out) { append_utf8(out, c >= 0x80 && c < 0xa0 ? U'\ufffd' : c); }

std::size_t utf8_size(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 0;
}

}  // namespace

EscapeParser::Token EscapeParser::feed(char byte) {
  if (done_) raw_.clear();
  done_ = false;
  if (raw_.size() < k_max_sequence) raw_ += byte;
  const auto code = static_cast<unsigned char>(byte);
  switch (state_) {
    case State::ground: break;
    case State::escape:
      if (byte == '[') state_ = State::csi;
      else if (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_') state_ = State::string;
      else if (code >= 0x30 && code <= 0x7e) return end(Token::escape);
      else if (byte == '\x1b') raw_ = byte;
      else if (code < 0x20 || code > 0x7e) return end(Token::string);
      return Token::none;
    case State::csi:
      if (code >= 0x40 && code <= 0x7e) return end(raw_.size() < k_max_sequence ? Token::csi : Token::string);
      if (byte == '\x1b') {
        raw_ = byte;
        state_ = State::escape;
      } else if (byte == '\x18' || byte == '\x1a') {
        return end(Token::string);
      }
      return Token::none;
    case State::string:
      if (byte == '\x07' || byte == '\x18' || byte == '\x1a') return end(Token::string);
      if (byte == '\x1b') state_ = State::string_escape;
      return Token::none;
    case State::string_escape:
      if (byte == '\\') return end(Token::string);
      raw_ = {'\x1b', byte};  // the string was broken off by another sequence
      if (byte == '[') state_ = State::csi;
      else if (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_') state_ = State::string;
      else if (byte != '\x1b') return end(code >= 0x30 && code <= 0x7e ? Token::escape : Token::string);
      return Token::none;
  }
  if (byte == '\x1b') {
    state_ = State::escape;
    return Token::none;
  }
  return end(code < 0x20 || code == 0x7f ? Token::control : Token::text);
}

void TerminalFilter::feed(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) {
    switch (parser_.feed(byte)) {
      case EscapeParser::Token::none:
      case EscapeParser::Token::string: break;
      case EscapeParser::Token::text: text(byte, out); continue;
      case EscapeParser::Token::control:
        if (std::string_view("\a\b\t\n\v\f\r\x0e\x0f").find(byte) != std::string_view::npos) out += byte;
        break;
      case EscapeParser::Token::escape:
        if (is_harmless_escape(parser_.raw())) out += parser_.raw();
        break;
      case EscapeParser::Token::csi:
        if (is_harmless_csi(parser_.final_byte(), parser_.parameters())) out += parser_.raw();
        break;
    }
    continuations_ = 0;
    after_c2_ = false;
  }
}

/// U+0080 to U+009F are controls in disguise (CSI also comes as 9B, or as C2 9B in UTF-8): shown as '?'.
void TerminalFilter::text(char byte, std::string& out) {
  const auto code = static_cast<unsigned char>(byte);
  const bool is_c1 = code >= 0x80 && code < 0xa0;
  const bool continues = continuations_ > 0 && (code & 0xc0) == 0x80;
  if (after_c2_) {
    after_c2_ = false;
    if (continues && !is_c1) out += '\xc2';
  }
  if (continues) {
    --continuations_;
    if (is_c1 && last_lead_ == 0xc2) out += '?';
    else out += byte;
    return;
  }
  const std::size_t size = utf8_size(byte);
  continuations_ = size > 1 ? static_cast<int>(size) - 1 : 0;
  last_lead_ = code;
  if (code == 0xc2) after_c2_ = true;  // held back until it is known what it begins
  else out += is_c1 ? '?' : byte;
}

void PlainText::put(char byte) {
  cell_ += byte;
  const std::size_t size = utf8_size(cell_.front());
  const bool continues = cell_.size() == 1 || (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
  if (size != 0 && continues && cell_.size() < size) return;
  const char32_t character = size != 0 && continues ? decode(cell_) : U'\ufffd';
  cell_.clear();
  if (column_ >= k_max_columns) return;
  if (line_.size() <= column_) line_.resize(column_ + 1, U' ');
  line_[column_++] = character;
}

void PlainText::control(char byte, std::string& out) {
  cell_.clear();
  if (byte == '\n') {
    finish(out);
    out += '\n';
  } else if (byte == '\r') {
    column_ = 0;
  } else if (byte == '\b') {
    if (column_ > 0) --column_;
  } else if (byte == '\t') {
    column_ = std::min((column_ / 8 + 1) * 8, k_max_columns);
  }
}

void PlainText::csi() {
  const std::string_view parameters = parser_.parameters();
  const std::size_t count = std::max<std::size_t>(first_number(parameters, 1), 1);
  switch (parser_.final_byte()) {
    case 'C': column_ = std::min(column_ + count, k_max_columns); break;
    case 'D': column_ -= std::min(column_, count); break;
    case 'G': column_ = count - 1; break;
    case 'K':
      if (parameters.empty() || parameters == "0") line_.resize(std::min(line_.size(), column_));
      else if (parameters == "2") line_.clear();
      break;
    case 'P':
      if (column_ < line_.size()) line_.erase(column_, count);
      break;
    case '@':
      if (column_ < line_.size()) line_.insert(column_, std::min(count, k_max_columns - std::min(k_max_columns, line_.size())), U' ');
      break;
    default: break;
  }
}

void PlainText::feed(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) {
    switch (parser_.feed(byte)) {
      case EscapeParser::Token::text: put(byte); break;
      case EscapeParser::Token::control: control(byte, out); break;
      case EscapeParser::Token::csi: csi(); break;
      default: break;
    }
  }
}

void PlainText::finish(std::string& out) {
  while (!line_.empty() && line_.back() == U' ') line_.pop_back();
  for (const char32_t character : line_) encode(character, out);
  line_.clear();
  column_ = 0;
  cell_.clear();
}

}  // namespace sallyport::replay
