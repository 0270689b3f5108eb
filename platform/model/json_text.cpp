#include "platform/model/json_text.h"

#include <algorithm>
#include <charconv>

#include "platform/model/utf8.h"

namespace sallyport {
namespace {

constexpr int k_max_depth = 32;
constexpr std::string_view k_replacement = "\xef\xbf\xbd";

bool steers(std::uint32_t point) {
  if (point < 0x7f) return point < 0x20;
  return point < 0xa0 || point == 0x61c || (point >= 0x200b && point <= 0x200f && point != 0x200c && point != 0x200d) || (point >= 0x2028 && point <= 0x202e) ||
         (point >= 0x2060 && point <= 0x206f) || point == 0xfeff || (point >= 0xfff9 && point <= 0xfffb) || (point >= 0xe0000 && point <= 0xe007f);
}

void append_unit(std::string& out, std::uint32_t unit) {
  static constexpr std::string_view k_hex = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += k_hex[unit >> shift & 15];
}

void append_escaped(std::string& out, std::uint32_t point) {
  if (point < 0x10000) return append_unit(out, point);
  append_unit(out, 0xd800 + ((point - 0x10000) >> 10));
  append_unit(out, 0xdc00 + ((point - 0x10000) & 0x3ff));
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
  }
  bool take(char wanted) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  [[nodiscard]] bool at_end() {
    skip_space();
    return at_ == text_.size();
  }

  bool take_string(std::string& out) {
    if (!take('"')) return false;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        out += c;
      } else if (!take_escape(out)) {
        return false;
      }
    }
    return false;
  }

  /// A string decoded, anything else as its text.
  bool take_value(std::string& out) {
    skip_space();
    if (at_ < text_.size() && text_[at_] == '"') return take_string(out);
    const std::size_t start = at_;
    if (!skip_value(0)) return false;
    out = text_.substr(start, at_ - start);
    return true;
  }

 private:
  bool take_hex4(std::uint32_t& code) {
    if (text_.size() - at_ < 4) return false;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, code, 16);
    if (error != std::errc{} || end != text_.data() + at_ + 4) return false;
    at_ += 4;
    return true;
  }

  bool take_escape(std::string& out) {
    if (at_ >= text_.size()) return false;
    switch (text_[at_++]) {
      case '"': out += '"'; return true;
      case '\\': out += '\\'; return true;
      case '/': out += '/'; return true;
      case 'b': out += '\b'; return true;
      case 'f': out += '\f'; return true;
      case 'n': out += '\n'; return true;
      case 'r': out += '\r'; return true;
      case 't': out += '\t'; return true;
      case 'u': break;
      default: return false;
    }
    std::uint32_t code = 0;
    if (!take_hex4(code)) return false;
    if (code >= 0xd800 && code <= 0xdbff && text_.substr(at_, 2) == "\\u") {
      const std::size_t before = at_;
      std::uint32_t low = 0;
      at_ += 2;
      if (!take_hex4(low)) return false;
      if (low >= 0xdc00 && low <= 0xdfff) {
        append_utf8(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
        return true;
      }
      at_ = before;
    }
    append_utf8(out, code >= 0xd800 && code <= 0xdfff ? 0xfffd : code);
    return true;
  }

  bool skip_value(int depth) {
    skip_space();
    if (at_ >= text_.size() || depth > k_max_depth) return false;
    std::string ignored;
    switch (text_[at_]) {
      case '"': return take_string(ignored);
      case '{':
        ++at_;
        if (take('}')) return true;
        do {
          ignored.clear();
          if (!take_string(ignored) || !take(':') || !skip_value(depth + 1)) return false;
        } while (take(','));
        return take('}');
      case '[':
        ++at_;
        if (take(']')) return true;
        do {
          if (!skip_value(depth + 1)) return false;
        } while (take(','));
        return take(']');
      default: break;
    }
    const std::size_t start = at_;
    while (at_ < text_.size() && std::string_view("+-.0123456789aeflnrstuE").find(text_[at_]) != std::string_view::npos) ++at_;
    const std::string_view word = text_.substr(start, at_ - start);
    if (word == "true" || word == "false" || word == "null") return true;
    return !word.empty() && (word.front() == '-' || (word.front() >= '0' && word.front() <= '9'));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Character first_character(std::string_view text) {
  Character found;
  found.bytes = utf8_length(text);
  if (found.bytes == 0) return found;
  found.point = static_cast<unsigned char>(text.front());
  if (found.bytes > 1) found.point &= 0x7fU >> found.bytes;
  for (std::size_t i = 1; i < found.bytes; ++i) found.point = found.point << 6 | (static_cast<unsigned char>(text[i]) & 0x3fU);
  found.steers = steers(found.point);
  return found;
}

std::string json_quote(std::string_view text) {
  std::string out = "\"";
  out.reserve(text.size() + 2);
  while (!text.empty()) {
    const Character next = first_character(text);
    const char c = text.front();
    if (next.bytes == 0) {
      out += k_replacement;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (next.steers) {
      append_escaped(out, next.point);
    } else {
      out += text.substr(0, next.bytes);
    }
    text.remove_prefix(next.bytes == 0 ? 1 : next.bytes);
  }
  out += '"';
  return out;
}

std::string json_without_steering(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  while (!json.empty()) {
    const Character next = first_character(json);
    if (next.steers && next.point >= 0x7f) append_escaped(out, next.point);
    else out += json.substr(0, std::max<std::size_t>(next.bytes, 1));
    json.remove_prefix(std::max<std::size_t>(next.bytes, 1));
  }
  return out;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character next = first_character(text);
    const bool shown = next.bytes != 0 && (!next.steers || next.point == '\n' || next.point == '\t');
    out += shown ? text.substr(0, next.bytes) : k_replacement;
    text.remove_prefix(next.bytes == 0 ? 1 : next.bytes);
  }
  return out;
}

std::optional<JsonFields> JsonFields::parse(std::string_view text) {
  Scanner scanner(text);
  JsonFields result;
  if (!scanner.take('{')) return std::nullopt;
  if (!scanner.take('}')) {
    do {
      std::pair<std::string, std::string> field;
      if (!scanner.take_string(field.first) || !scanner.take(':') || !scanner.take_value(field.second)) return std::nullopt;
      result.fields_.push_back(std::move(field));
    } while (scanner.take(','));
    if (!scanner.take('}')) return std::nullopt;
  }
  if (!scanner.at_end()) return std::nullopt;
  return result;
}

std::string_view JsonFields::get(std::string_view name) const noexcept {
  for (const auto& [key, value] : fields_)
    if (key == name) return value;
  return {};
}

std::optional<std::int64_t> JsonFields::number(std::string_view name) const noexcept {
  const std::string_view text = get(name);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

}  // namespace sallyport
