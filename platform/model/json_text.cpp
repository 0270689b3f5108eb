#include "platform/model/json_text.h"

#include <charconv>

namespace sallyport {
namespace {

constexpr int k_max_depth = 32;
constexpr std::string_view k_replacement = "\xef\xbf\xbd";

bool is_continuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

/// Bytes of the valid UTF-8 sequence that `text` begins with, 0 if there is none (RFC 3629: no surrogates, no overlong forms).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : 0); };
  const unsigned first = byte(0);
  if (text.empty()) return 0;
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return is_continuation(byte(1)) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned second = byte(1);
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return 0;
    return is_continuation(byte(1)) && is_continuation(byte(2)) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned second = byte(1);
    if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return 0;
    return is_continuation(byte(1)) && is_continuation(byte(2)) && is_continuation(byte(3)) ? 4 : 0;
  }
  return 0;
}

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
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

std::string json_quote(std::string_view text) {
  static constexpr std::string_view k_hex = "0123456789abcdef";
  std::string out = "\"";
  out.reserve(text.size() + 2);
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char c = text.front();
    if (length == 0) {
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
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += "\\u00";
      out += k_hex[static_cast<unsigned char>(c) >> 4];
      out += k_hex[static_cast<unsigned char>(c) & 15];
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
  return out;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto c = static_cast<unsigned char>(text.front());
    const bool is_control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ||
                            (length == 2 && c == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0);  // C1
    out += length == 0 || is_control ? k_replacement : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
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
