#include "policy/guard/filter_text.h"

#include <cstdio>

#include "policy/guard/decoders.h"

namespace sallyport::guard::filters {

Options parse(const Argv& argv, std::string_view with_value, std::initializer_list<std::string_view> long_with_value) {
  Options out;
  bool is_over = false;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const std::string word = plain(argv[i]);
    if (is_over || word.size() < 2 || word[0] != '-') {
      out.operands.push_back(word);
    } else if (word == "--") {
      is_over = true;
    } else if (word[1] == '-') {
      const std::size_t equals = word.find('=');
      const std::string name = word.substr(2, equals == std::string::npos ? std::string::npos : equals - 2);
      if (equals != std::string::npos) {
        out.flags.emplace_back(name, word.substr(equals + 1));
      } else if (std::find(long_with_value.begin(), long_with_value.end(), name) != long_with_value.end() && i + 1 < argv.size()) {
        out.flags.emplace_back(name, plain(argv[++i]));
      } else {
        out.flags.emplace_back(name, "");
      }
    } else {
      for (std::size_t j = 1; j < word.size(); ++j) {
        const std::string letter(1, word[j]);
        if (with_value.find(word[j]) != std::string_view::npos) {
          if (j + 1 < word.size()) {
            out.flags.emplace_back(letter, word.substr(j + 1));
          } else if (i + 1 < argv.size()) {
            out.flags.emplace_back(letter, plain(argv[++i]));
          }
          break;
        }
        out.flags.emplace_back(letter, "");
      }
    }
  }
  return out;
}

Text content(const Walk& walk, const std::vector<std::string>& files, const Text& input) {
  if (files.empty()) return input;
  std::string all;
  for (const std::string& file : files) {
    if (file == "-" || file == "/dev/stdin" || file == "/dev/fd/0" || file == "/proc/self/fd/0") {
      if (!input) return std::nullopt;
      all += *input;
      continue;
    }
    const KnownFile* known = walk.find_file(file);
    if (known == nullptr || !known->is_content_known) return std::nullopt;
    all += known->content;
  }
  return all;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}
std::string joined_lines(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  return all;
}

namespace {

/// A number as printf takes it: digits, 0x, a leading quote for the code of a character.
std::optional<long long> printf_number(const std::string& text) {
  if (text.empty()) return 0;
  if (text.size() > 1 && (text[0] == '\'' || text[0] == '"')) return static_cast<unsigned char>(text[1]);
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 0);
  if (end == text.c_str() || text.size() > 18) return std::nullopt;
  return value;
}

}  // namespace

std::string formatted(const std::string& format, const std::vector<std::string>& values, bool awk) {
  std::string out;
  std::size_t next = 0;
  bool took = false;
  do {
    took = false;
    for (std::size_t i = 0; i < format.size(); ++i) {
      if (format[i] != '%') {
        out.push_back(format[i]);
        continue;
      }
      if (i + 1 < format.size() && format[i + 1] == '%') {
        out.push_back('%');
        ++i;
        continue;
      }
      std::size_t end = i + 1;
      while (end < format.size() && std::string_view("-+ #0123456789.*").find(format[end]) != std::string_view::npos) ++end;
      while (end < format.size() && (format[end] == 'l' || format[end] == 'h')) ++end;
      if (end >= format.size()) break;
      const char kind = format[end];
      std::string spec = format.substr(i + 1, end - i - 1);
      spec.erase(std::remove_if(spec.begin(), spec.end(), [](char c) { return c == 'l' || c == 'h' || c == '*'; }), spec.end());
      if (spec.size() > 6) spec.clear();
      const std::string value = next < values.size() ? values[next] : std::string();
      if (next < values.size()) took = true;
      ++next;
      if (kind == 's' || kind == 'b' || kind == 'q') {
        std::string text = kind == 'b' ? decode_escapes(value, EscapeStyle::format) : value;
        const std::size_t dot = spec.find('.');
        if (dot != std::string::npos) text = text.substr(0, static_cast<std::size_t>(std::max(0, std::atoi(spec.c_str() + dot + 1))));
        out += text;
      } else if (kind == 'c') {
        const auto code = awk ? printf_number(value) : std::nullopt;
        if (code && awk) {
          out.push_back(static_cast<char>(static_cast<unsigned char>(*code)));
        } else if (!value.empty()) {
          out.push_back(value[0]);
        }
      } else if (std::string_view("dioxXu").find(kind) != std::string_view::npos) {
        const auto number = has_hole(value) ? std::nullopt : printf_number(value);
        if (!number) {
          out.push_back(k_hole);
        } else {
          char buffer[64];
          const std::string full = "%" + spec + "ll" + kind;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
          std::snprintf(buffer, sizeof buffer, full.c_str(), *number);
#pragma GCC diagnostic pop
          out += buffer;
        }
      } else {
        out.push_back(k_hole);
      }
      i = end;
    }
  } while (took && next < values.size() && next < 512 && out.size() < 64 * 1024 && !awk);
  return out;
}

}  // namespace sallyport::guard::filters
