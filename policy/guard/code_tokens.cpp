#include "policy/guard/code_tokens.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>

#include "policy/guard/decoders.h"
#include "policy/guard/marked_text.h"

namespace sallyport::guard {
namespace {

constexpr std::size_t k_most_tokens = 800;

bool is_name_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

char closer_of(char open) {
  switch (open) {
    case '(': return ')';
    case '[': return ']';
    case '{': return '}';
    case '<': return '>';
    default: return open;
  }
}

bool is_text(const Token& t) { return t.kind == Token::Kind::text; }
bool is_sign(const Token& t, std::string_view sign) { return t.kind == Token::Kind::sign && t.value == sign; }
bool is_name(const Token& t, std::string_view name) { return t.kind == Token::Kind::name && t.value == name; }

/// Reads one token after the other.
class Tokeniser {
 public:
  Tokeniser(Language language, std::string_view code) : language_(language), code_(code) {}

  std::vector<Token> run() {
    while (at_ < code_.size() && tokens_.size() < k_most_tokens) step();
    return std::move(tokens_);
  }

 private:
  void push(Token::Kind kind, std::string value, bool interpolates = false) { tokens_.push_back(Token{kind, std::move(value), interpolates}); }

  void step() {
    const char c = code_[at_];
    if (c == '\n') {
      push(Token::Kind::sign, "\n");
      ++at_;
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      ++at_;
    } else if (starts_comment()) {
      while (at_ < code_.size() && code_[at_] != '\n') ++at_;
    } else if (c == '"' || c == '\'') {
      quoted(c);
    } else if (c == '`') {
      const std::string body = until('`');
      if (language_ == Language::node) {
        push(Token::Kind::text, body, true);
      } else {
        push(Token::Kind::command, body, true);
      }
    } else if (language_ == Language::lua && code_.substr(at_).starts_with("[[")) {
      const std::size_t end = std::min(code_.find("]]", at_), code_.size());
      push(Token::Kind::text, std::string(code_.substr(at_ + 2, end - at_ - 2)));
      at_ = std::min(end + 2, code_.size());
    } else if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      number();
    } else if (is_name_char(c) || c == '$' || (c == '@' && language_ == Language::perl) || static_cast<unsigned char>(c) >= 0x80 || c == k_hole) {
      name();
    } else {
      sign();
    }
  }

  [[nodiscard]] bool starts_comment() const {
    const std::string_view rest = code_.substr(at_);
    if (rest.starts_with('#')) return language_ != Language::node && language_ != Language::lua;
    if (rest.starts_with("//")) return language_ == Language::node || language_ == Language::php;
    if (rest.starts_with("--")) return language_ == Language::lua;
    return false;
  }

  /// The body up to `close`, escapes kept; stands behind it.
  std::string until(char close, char open = '\0') {
    ++at_;
    std::string body;
    int depth = 1;
    while (at_ < code_.size()) {
      const char c = code_[at_];
      if (c == '\\' && at_ + 1 < code_.size()) {
        body.push_back(c);
        body.push_back(code_[at_ + 1]);
        at_ += 2;
        continue;
      }
      if (open != '\0' && open != close && c == open) ++depth;
      if (c == close && --depth == 0) {
        ++at_;
        return body;
      }
      body.push_back(c);
      ++at_;
    }
    return body;
  }

  static std::string plain_single(const std::string& body) {
    std::string out;
    for (std::size_t i = 0; i < body.size(); ++i) {
      if (body[i] == '\\' && i + 1 < body.size() && (body[i + 1] == '\'' || body[i + 1] == '\\')) ++i;
      out.push_back(body[i]);
    }
    return out;
  }

  void quoted(char quote) {
    bool is_raw = false;
    bool is_format = false;
    if (language_ == Language::python && !tokens_.empty() && tokens_.back().kind == Token::Kind::name && at_ > 0 && is_name_char(code_[at_ - 1])) {
      const std::string& prefix = tokens_.back().value;
      if (prefix.size() <= 2 && prefix.find_first_not_of("rRbBfFuU") == std::string::npos) {
        is_raw = prefix.find_first_of("rR") != std::string::npos;
        is_format = prefix.find_first_of("fF") != std::string::npos;
        tokens_.pop_back();
      }
    }
    std::string body;
    const std::string triple(3, quote);
    if (language_ == Language::python && code_.substr(at_).starts_with(triple)) {
      const std::size_t end = std::min(code_.find(triple, at_ + 3), code_.size());
      body = std::string(code_.substr(at_ + 3, end - at_ - 3));
      at_ = std::min(end + 3, code_.size());
    } else {
      body = until(quote);
    }
    const bool single_is_raw = quote == '\'' && (language_ == Language::perl || language_ == Language::ruby || language_ == Language::php);
    if (is_raw) {
      push(Token::Kind::text, body);
    } else if (single_is_raw) {
      push(Token::Kind::text, plain_single(body));
    } else {
      push(Token::Kind::text, decode_escapes(body, EscapeStyle::string), is_format || language_ == Language::perl || language_ == Language::php || language_ == Language::ruby);
    }
  }

  void number() {
    std::size_t end = at_;
    while (end < code_.size() && (std::isalnum(static_cast<unsigned char>(code_[end])) != 0 || code_[end] == '_')) ++end;
    push(Token::Kind::number, std::string(code_.substr(at_, end - at_)));
    at_ = end;
  }

  void name() {
    std::size_t end = at_ + 1;
    while (end < code_.size() && (is_name_char(code_[end]) || static_cast<unsigned char>(code_[end]) >= 0x80)) ++end;
    std::string word(code_.substr(at_, end - at_));
    at_ = end;
    if (language_ == Language::perl && (word == "q" || word == "qq" || word == "qw" || word == "qx")) {
      std::size_t open = at_;
      while (open < code_.size() && code_[open] == ' ') ++open;
      if (open < code_.size() && std::string_view("([{</|!~^,;#%").find(code_[open]) != std::string_view::npos && !(open > at_ && (code_[open] == '#' || code_[open] == ',' || code_[open] == ';'))) {
        at_ = open;
        const char mark = code_[at_];
        const std::string body = until(closer_of(mark), mark);
        if (word == "qx") {
          push(Token::Kind::command, body, true);
        } else if (word == "qw") {
          std::size_t from = 0;
          while (from < body.size()) {
            const std::size_t to = std::min(body.find_first_of(" \n\t", from), body.size());
            if (to > from) {
              push(Token::Kind::text, body.substr(from, to - from));
              push(Token::Kind::sign, ",");
            }
            from = to + 1;
          }
        } else {
          push(Token::Kind::text, word == "q" ? plain_single(body) : decode_escapes(body, EscapeStyle::string), word == "qq");
        }
        return;
      }
    }
    push(Token::Kind::name, std::move(word));
  }

  void sign() {
    const std::string_view rest = code_.substr(at_);
    if (language_ == Language::ruby && rest.size() > 2 && rest[0] == '%' && (rest[1] == 'x' || rest[1] == 'q' || rest[1] == 'Q' || rest[1] == 'w') && std::string_view("([{<|").find(rest[2]) != std::string_view::npos) {
      const char kind = rest[1];
      const char mark = rest[2];
      at_ += 2;
      const std::string body = until(closer_of(mark), mark);
      push(kind == 'x' ? Token::Kind::command : Token::Kind::text, body, true);
      return;
    }
    for (const std::string_view two : {"..", "=>", "->", "==", "!=", "::", "&&", "||", "+="}) {
      if (rest.starts_with(two)) {
        push(Token::Kind::sign, std::string(two));
        at_ += 2;
        return;
      }
    }
    push(Token::Kind::sign, std::string(1, code_[at_++]));
  }

  Language language_;
  std::string_view code_;
  std::size_t at_ = 0;
  std::vector<Token> tokens_;
};

/// What a known function makes of a constant; nullopt: not one of these.
std::optional<std::string> applied(std::string_view function, const std::string& text) {
  if (function == "b64decode" || function == "standard_b64decode" || function == "urlsafe_b64decode" || function == "decodebytes" || function == "atob" || function == "base64_decode" || function == "decode_base64" || function == "decode64" ||
      function == "strict_decode64" || function == "urlsafe_decode64") {
    return decode_base64(text);
  }
  if (function == "b32decode") return decode_base32(text);
  if (function == "fromhex" || function == "unhexlify" || function == "a2b_hex" || function == "hex2bin" || function == "b16decode") return decode_hex(text);
  if (function == "str_rot13") return rot13(text);
  if (function == "strrev" || function == "reverse" || function == "reversed") return std::string(text.rbegin(), text.rend());
  if (function == "decodeURIComponent" || function == "unescape" || function == "unquote" || function == "decodeURI") return decode_percent(text, false);
  if (function == "urldecode" || function == "unquote_plus") return decode_percent(text, true);
  if (function == "decompress" || function == "gzinflate" || function == "gzuncompress" || function == "gzdecode") return inflate(text);
  if (function == "bytes" || function == "str" || function == "bytearray" || function == "String" || function == "lc" || function == "scalar" || function == "list") return text;
  return std::nullopt;
}

std::optional<char> character(const std::string& number) {
  char* end = nullptr;
  const long value = std::strtol(number.c_str(), &end, number.starts_with("0x") || number.starts_with("0X") ? 16 : 10);
  if (end == number.c_str() || value < 0 || value > 255) return std::nullopt;
  return static_cast<char>(static_cast<unsigned char>(value));
}

/// One pass of rewriting; true when something changed.
class Folder {
 public:
  Folder(Language language, std::vector<Token>& tokens) : language_(language), tokens_(tokens) {}

  bool pass() {
    bool changed = false;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      while (i < tokens_.size() && at(i)) changed = true;
    }
    return changed;
  }

 private:
  [[nodiscard]] const Token& token(std::size_t i) const {
    static const Token k_end{Token::Kind::sign, "", false};
    return i < tokens_.size() ? tokens_[i] : k_end;
  }
  void replace(std::size_t from, std::size_t count, std::string text) {
    tokens_[from] = Token{Token::Kind::text, std::move(text), false};
    tokens_.erase(tokens_.begin() + static_cast<std::ptrdiff_t>(from) + 1, tokens_.begin() + static_cast<std::ptrdiff_t>(std::min(from + count, tokens_.size())));
  }

  bool at(std::size_t i) {
    if (++steps_ > k_most_steps) return false;  // variables that stand for each other
    const Token& here = token(i);
    if (is_text(here)) return text_at(i);
    if (here.kind == Token::Kind::name) return name_at(i);
    // [114, 109] of numbers, as in bytes([..]) or [..].pack("c*")
    if (is_sign(here, "[") || is_sign(here, "(") || is_sign(here, "{")) {
      std::string all;
      std::size_t j = i + 1;
      while (token(j).kind == Token::Kind::number) {
        const auto c = character(token(j).value);
        if (!c || static_cast<unsigned char>(*c) < 9) return false;
        all.push_back(*c);
        ++j;
        if (is_sign(token(j), ",")) ++j;
        else break;
      }
      if (all.size() > 1 && (is_sign(token(j), "]") || is_sign(token(j), ")") || is_sign(token(j), "}"))) {
        replace(i, j - i + 1, all);
        return true;
      }
      // ("text") is "text", but not behind a name
      if (is_sign(here, "(") && is_text(token(i + 1)) && is_sign(token(i + 2), ")") && (i == 0 || (token(i - 1).kind == Token::Kind::sign && !is_sign(token(i - 1), ")") && !is_sign(token(i - 1), "]")))) {
        replace(i, 3, token(i + 1).value);
        return true;
      }
      // ["text"] behind a sign and before a method
      if (is_sign(here, "[") && is_text(token(i + 1)) && is_sign(token(i + 2), "]") && is_sign(token(i + 3), ".") && is_name(token(i + 4), "pack")) {
        replace(i, 3, token(i + 1).value);
        return true;
      }
    }
    return false;
  }

  bool text_at(std::size_t i) {
    const std::string& text = token(i).value;
    if (text.size() > 64 * 1024) return false;
    // "a" + "b", "a" . "b", "a" .. "b", "a" "b"
    const bool joins = is_sign(token(i + 1), "+") || (is_sign(token(i + 1), ".") && (language_ == Language::perl || language_ == Language::php)) || is_sign(token(i + 1), "..");
    if (joins && is_text(token(i + 2))) {
      replace(i, 3, text + token(i + 2).value);
      return true;
    }
    if (language_ == Language::python && is_text(token(i + 1))) {
      replace(i, 2, text + token(i + 1).value);
      return true;
    }
    // "..."[::-1]
    if (is_sign(token(i + 1), "[") && (is_sign(token(i + 2), "::") || (is_sign(token(i + 2), ":") && is_sign(token(i + 3), ":")))) {
      const std::size_t minus = is_sign(token(i + 2), "::") ? i + 3 : i + 4;
      if (is_sign(token(minus), "-") && token(minus + 1).value == "1" && is_sign(token(minus + 2), "]")) {
        replace(i, minus + 3 - i, std::string(text.rbegin(), text.rend()));
        return true;
      }
    }
    // "%s -rf %s" % ("rm", "/data") and "{} {}".format("rm", "x")
    if (is_sign(token(i + 1), "%") && (is_text(token(i + 2)) || is_sign(token(i + 2), "("))) return filled(i, i + 2, "%s");
    // methods
    const bool dot = is_sign(token(i + 1), ".") || is_sign(token(i + 1), "->") || is_sign(token(i + 1), ":");
    if (dot && token(i + 2).kind == Token::Kind::name) {
      const std::string& method = token(i + 2).value;
      if (method == "format" && is_sign(token(i + 3), "(")) return filled(i, i + 3, "{}");
      const bool has_call = is_sign(token(i + 3), "(");
      std::size_t end = i + 3;
      std::vector<std::string> values;
      if (has_call) {
        end = i + 4;
        while (end < tokens_.size() && !is_sign(token(end), ")")) {
          if (is_text(token(end)) || token(end).kind == Token::Kind::number || token(end).kind == Token::Kind::name) values.push_back(token(end).value);
          else if (!is_sign(token(end), ",") && !is_sign(token(end), "/")) return false;
          ++end;
        }
        ++end;
      }
      std::optional<std::string> made;
      if (method == "decode" || method == "encode" || method == "toString" || method == "to_s" || method == "strip" || method == "chomp" || method == "trim" || method == "split" || method == "rstrip") {
        made = text;
        if (!values.empty() && (values[0] == "rot13" || values[0] == "rot_13")) made = rot13(text);
        if (!values.empty() && (values[0] == "hex")) made = decode_hex(text);
        if (method == "split" && !(values.empty() || values[0].empty())) return false;
      } else if (method == "reverse") {
        made = std::string(text.rbegin(), text.rend());
      } else if (method == "join" && (values.empty() || (values.size() == 1 && values[0].empty()))) {
        made = text;
      } else if (method == "join" && text.empty() && values.size() == 1) {
        made = values[0];
      } else if ((method == "replace" || method == "gsub" || method == "sub" || method == "tr" || method == "replaceAll") && values.size() == 2 && !values[0].empty()) {
        std::string out = text;
        for (std::size_t p = out.find(values[0]); p != std::string::npos && out.size() < 8192; p = out.find(values[0], p + values[1].size())) out.replace(p, values[0].size(), values[1]);
        made = out;
      } else if (method == "lower" || method == "toLowerCase" || method == "downcase") {
        made = text;
        std::transform(made->begin(), made->end(), made->begin(), [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
      } else if (method == "unpack1" || method == "unpack") {
        if (!values.empty() && values[0].starts_with('m')) made = decode_base64(text);
        else if (!values.empty() && values[0].starts_with('H')) made = encode_hex(text);
        else if (!values.empty() && values[0].starts_with('a')) made = text;
      } else if (method == "pack") {
        if (!values.empty() && (values[0].starts_with('H'))) made = decode_hex(text);
        else if (!values.empty() && values[0].starts_with('m')) made = encode_base64(text);
        else if (!values.empty() && (values[0].starts_with('c') || values[0].starts_with('C') || values[0].starts_with('U'))) made = text;
      }
      if (!made) return false;
      replace(i, end - i, *made);
      return true;
    }
    if (token(i).interpolates && !variables_.empty()) return interpolate(i);
    return false;
  }

  bool filled(std::size_t i, std::size_t from, std::string_view slot) {
    std::vector<std::string> values;
    std::size_t end = from;
    if (is_text(token(from))) {
      values.push_back(token(from).value);
      ++end;
    } else {
      ++end;
      while (end < tokens_.size() && !is_sign(token(end), ")")) {
        if (is_text(token(end)) || token(end).kind == Token::Kind::number) values.push_back(token(end).value);
        else if (!is_sign(token(end), ",")) return false;
        ++end;
      }
      ++end;
    }
    std::string out = token(i).value;
    for (const std::string& value : values) {
      const std::size_t p = out.find(slot);
      if (p == std::string::npos) break;
      out.replace(p, slot.size(), value);
    }
    replace(i, end - i, out);
    return true;
  }

  /// "$x", "{x}", "#{x}" with x known.
  bool interpolate(std::size_t i) {
    std::string out = token(i).value;
    bool changed = false;
    for (const auto& [name, value] : variables_) {
      const std::string bare = name.starts_with('$') ? name.substr(1) : name;
      for (const std::string& form : {"${" + bare + "}", "#{" + bare + "}", "{" + bare + "}", "$" + bare}) {
        const std::size_t p = out.find(form);
        if (p == std::string::npos || out.size() > 8192 || value.find_first_of("${#") != std::string::npos) continue;
        if (form[0] == '$' && form[1] != '{' && p + form.size() < out.size() && is_name_char(out[p + form.size()])) continue;
        out.replace(p, form.size(), value);
        changed = true;
      }
    }
    if (changed) tokens_[i].value = out;
    return changed;
  }

  bool name_at(std::size_t i) {
    const std::string name = token(i).value;
    // x = "text" ends a statement: remember
    if (is_sign(token(i + 1), "=") && is_text(token(i + 2))) {
      const Token& after = token(i + 3);
      if (is_sign(after, ";") || is_sign(after, "\n") || is_sign(after, "") || is_sign(after, ")")) {
        const auto [found, fresh] = variables_.emplace(name, token(i + 2).value);
        if (!fresh && found->second == token(i + 2).value) return false;
        found->second = token(i + 2).value;
        return fresh;
      }
      return false;
    }
    if (const auto known = variables_.find(name); known != variables_.end() && !is_sign(token(i + 1), "=") && !is_sign(token(i + 1), "(") && !(i > 0 && is_sign(token(i - 1), "."))) {
      tokens_[i] = Token{Token::Kind::text, known->second, false};
      return true;
    }
    const bool call = is_sign(token(i + 1), "(");
    const std::size_t argument = call ? i + 2 : i + 1;
    const auto drop_owner = [&](std::size_t& from) {  // base64.b64decode -> the whole of it
      while (from >= 2 && (is_sign(token(from - 1), ".") || is_sign(token(from - 1), "::") || is_sign(token(from - 1), "->")) && (token(from - 2).kind == Token::Kind::name)) from -= 2;
    };
    if ((name == "chr" || name == "fromCharCode" || name == "char" || name == "fromCodePoint") && call && token(argument).kind == Token::Kind::number) {
      std::string all;
      std::size_t j = argument;
      while (token(j).kind == Token::Kind::number) {
        const auto c = character(token(j).value);
        if (!c) return false;
        all.push_back(*c);
        ++j;
        if (is_sign(token(j), ",")) ++j;
        else break;
      }
      if (!is_sign(token(j), ")")) return false;
      std::size_t from = i;
      drop_owner(from);
      replace(from, j - from + 1, all);
      return true;
    }
    if (name == "pack" && (is_text(token(argument))) && is_sign(token(argument + 1), ",")) {  // pack("H*", "..") , pack("C*", 114, 109)
      const std::string format = token(argument).value;
      std::size_t j = argument + 2;
      std::optional<std::string> made;
      if (is_text(token(j))) {
        made = format.starts_with('H') ? decode_hex(token(j).value) : std::optional(token(j).value);
        ++j;
      } else {
        std::string all;
        while (token(j).kind == Token::Kind::number) {
          const auto c = character(token(j).value);
          if (!c) return false;
          all.push_back(*c);
          ++j;
          if (is_sign(token(j), ",")) ++j;
          else break;
        }
        made = all;
      }
      if (!made || (call && !is_sign(token(j), ")"))) return false;
      replace(i, j - i + (call ? 1 : 0), *made);
      return true;
    }
    if (name == "join" && call && is_text(token(argument)) && is_sign(token(argument + 1), ",")) {  // join("", "r", "m")
      std::string all;
      std::size_t j = argument + 2;
      bool first = true;
      while (is_text(token(j))) {
        all += (first ? "" : token(argument).value) + token(j).value;
        first = false;
        ++j;
        if (is_sign(token(j), ",")) ++j;
        else break;
      }
      if (!is_sign(token(j), ")")) return false;
      replace(i, j - i + 1, all);
      return true;
    }
    if (name == "decode" && call && is_text(token(argument)) && is_sign(token(argument + 1), ",") && is_text(token(argument + 2))) {  // codecs.decode("..", "rot13")
      const std::string codec = token(argument + 2).value;
      const std::string value = token(argument).value;
      std::optional<std::string> made;
      if (codec.find("rot") != std::string::npos) made = rot13(value);
      if (codec.find("hex") != std::string::npos) made = decode_hex(value);
      if (codec.find("64") != std::string::npos) made = decode_base64(value);
      if (!made || !is_sign(token(argument + 3), ")")) return false;
      std::size_t from = i;
      drop_owner(from);
      replace(from, argument + 4 - from, *made);
      return true;
    }
    if (name == "from" && call && is_text(token(argument)) && is_sign(token(argument + 1), ",") && is_text(token(argument + 2)) && is_sign(token(argument + 3), ")")) {  // Buffer.from
      const std::string& coding = token(argument + 2).value;
      const auto made = coding == "base64" ? decode_base64(token(argument).value) : coding == "hex" ? decode_hex(token(argument).value) : std::optional(token(argument).value);
      if (!made) return false;
      std::size_t from = i;
      drop_owner(from);
      replace(from, argument + 4 - from, *made);
      return true;
    }
    if (is_text(token(argument)) && (call || language_ == Language::perl || language_ == Language::ruby)) {
      const std::size_t end = argument + 1;
      if (call && !is_sign(token(end), ")") && !is_sign(token(end), ",")) return false;
      const auto made = applied(name, token(argument).value);
      if (!made || has_hole(*made)) return false;
      std::size_t last = end;
      if (call) {
        while (last < tokens_.size() && !is_sign(token(last), ")")) ++last;
        ++last;
      }
      std::size_t from = i;
      drop_owner(from);
      replace(from, last - from, *made);
      return true;
    }
    return false;
  }

  static constexpr int k_most_steps = 12 * static_cast<int>(k_most_tokens);
  int steps_ = 0;
  Language language_;
  std::vector<Token>& tokens_;
  std::map<std::string, std::string> variables_;
};

}  // namespace

Language language_of(std::string_view program) {
  if (program.starts_with("python") || program.starts_with("pypy") || program == "ipython" || program == "jython" || program == "ipython3") return Language::python;
  if (program.starts_with("perl")) return Language::perl;
  if (program.starts_with("ruby") || program == "irb" || program == "jruby" || program == "rake") return Language::ruby;
  if (program == "node" || program == "nodejs" || program == "deno" || program == "bun" || program == "jrunscript" || program == "qjs" || program == "d8" || program == "tsx" || program == "ts-node") return Language::node;
  if (program.starts_with("php")) return Language::php;
  if (program.starts_with("lua") || program == "texlua" || program == "tarantool") return Language::lua;
  return Language::other;
}

std::vector<Token> tokenise(Language language, std::string_view code) { return Tokeniser(language, code).run(); }

void fold(Language language, std::vector<Token>& tokens) {
  Folder folder(language, tokens);
  for (int i = 0; i < 12 && folder.pass(); ++i) {
  }
}

}  // namespace sallyport::guard
