// What text programs print when their input is known. Only what can be known exactly; anything else is "unknown".
#include <algorithm>
#include <array>
#include <cstdio>

#include "policy/guard/decoders.h"
#include "policy/guard/walk.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {
namespace {

using Argv = std::vector<std::string>;
using Text = std::optional<std::string>;

/// Options and operands of a simple text program. `with_value`: letters whose value is the next word when nothing follows them.
struct Options {
  std::vector<std::pair<std::string, std::string>> flags;
  std::vector<std::string> operands;
  [[nodiscard]] bool has(std::string_view name) const {
    return std::any_of(flags.begin(), flags.end(), [&](const auto& f) { return f.first == name; });
  }
  [[nodiscard]] Text value(std::string_view name) const {
    for (const auto& [flag, text] : flags) {
      if (flag == name) return text;
    }
    return std::nullopt;
  }
};
Options parse(const Argv& argv, std::string_view with_value, std::initializer_list<std::string_view> long_with_value = {}) {
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

/// The files named, or the input; nullopt when any of them is unknown.
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

Text echo(const Argv& argv) {
  bool newline = true;
  bool escapes = false;
  std::size_t i = 1;
  for (; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (word.size() < 2 || word[0] != '-' || word.find_first_not_of("neE", 1) != std::string::npos) break;
    if (word.find('n') != std::string::npos) newline = false;
    if (word.find('e') != std::string::npos) escapes = true;
    if (word.find('E') != std::string::npos) escapes = false;
  }
  std::string out;
  for (std::size_t j = i; j < argv.size(); ++j) out += (j == i ? "" : " ") + plain(argv[j]);
  if (escapes) out = decode_escapes(out, EscapeStyle::echo);
  if (newline) out += '\n';
  return out;
}

/// A number as printf takes it: digits, 0x, a leading quote for the code of a character.
std::optional<long long> printf_number(const std::string& text) {
  if (text.empty()) return 0;
  if (text.size() > 1 && (text[0] == '\'' || text[0] == '"')) return static_cast<unsigned char>(text[1]);
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 0);
  if (end == text.c_str() || text.size() > 18) return std::nullopt;
  return value;
}

/// printf's and awk's format. `awk`: %c of a number is the character of that code.
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

Text tr(const Argv& argv, const Text& input) {
  if (!input) return std::nullopt;
  const Options o = parse(argv, "");
  if (o.operands.empty()) return std::nullopt;
  const std::string from = expand_set(o.operands[0]);
  const bool complement = o.has("c") || o.has("C") || o.has("complement");
  const bool deletes = o.has("d") || o.has("delete");
  const bool squeezes = o.has("s") || o.has("squeeze-repeats");
  std::string to = o.operands.size() > 1 ? expand_set(o.operands[1]) : std::string();
  std::string out;
  for (const char c : *input) {
    std::size_t at = from.find(c);
    if (complement) at = at == std::string::npos ? from.size() : std::string::npos;
    if (at == std::string::npos || c == k_hole) {
      out.push_back(c);
    } else if (deletes) {
      continue;
    } else {
      const char with = to.empty() ? c : to[std::min(at, to.size() - 1)];
      if (squeezes && !out.empty() && out.back() == with) continue;
      out.push_back(with);
    }
  }
  return out;
}

/// One sed command: s, y, d, p, address numbers. nullopt: not understood.
Text sed(const Argv& argv, const Walk& walk, const Text& input) {
  const Options o = parse(argv, "ef", {"expression", "file"});
  std::vector<std::string> files = o.operands;
  std::vector<std::string> scripts;
  for (const auto& [flag, value] : o.flags) {
    if (flag == "e" || flag == "expression") scripts.push_back(value);
    if (flag == "f" || flag == "i" || flag == "file") return std::nullopt;
  }
  if (scripts.empty()) {
    if (files.empty()) return std::nullopt;
    scripts.push_back(files.front());
    files.erase(files.begin());
  }
  const Text text = content(walk, files, input);
  if (!text) return std::nullopt;
  std::vector<std::string> lines = lines_of(*text);
  std::string all;
  for (const std::string& s : scripts) all += s + ";";
  for (std::size_t at = 0; at < all.size();) {
    const char c = all[at];
    if (c == ';' || c == ' ' || c == '\n') {
      ++at;
      continue;
    }
    if ((c != 's' && c != 'y') || at + 1 >= all.size()) return std::nullopt;
    const char mark = all[at + 1];
    std::array<std::string, 2> parts;
    std::size_t i = at + 2;
    for (std::string& part : parts) {
      while (i < all.size() && all[i] != mark) {
        if (all[i] == '\\' && i + 1 < all.size()) {
          if (all[i + 1] == mark) {
            ++i;
          } else {
            part.push_back(all[i++]);
          }
        }
        part.push_back(all[i++]);
      }
      if (i >= all.size()) return std::nullopt;
      ++i;
    }
    bool global = c == 'y';
    while (i < all.size() && all[i] != ';' && all[i] != '\n' && all[i] != ' ') {
      if (all[i] == 'e') return std::nullopt;
      global = global || all[i] == 'g';
      ++i;
    }
    at = i;
    if (c == 'y') {
      if (parts[0].size() != parts[1].size()) return std::nullopt;
      for (std::string& line : lines) {
        for (char& ch : line) {
          if (const std::size_t found = parts[0].find(ch); found != std::string::npos) ch = parts[1][found];
        }
      }
      continue;
    }
    // Only patterns without the operators of regular expressions, and `.`-free ends of line.
    std::string pattern;
    bool at_start = false;
    bool at_end = false;
    for (std::size_t k = 0; k < parts[0].size(); ++k) {
      const char p = parts[0][k];
      if (p == '\\' && k + 1 < parts[0].size() && std::string_view(".*[]^$/\\").find(parts[0][k + 1]) != std::string_view::npos) {
        pattern.push_back(parts[0][++k]);
      } else if (p == '^' && k == 0) {
        at_start = true;
      } else if (p == '$' && k + 1 == parts[0].size()) {
        at_end = true;
      } else if (std::string_view("*[\\").find(p) != std::string_view::npos) {
        return std::nullopt;
      } else {
        pattern.push_back(p == '.' ? k_any : p);
      }
    }
    const std::string with = decode_escapes(parts[1], EscapeStyle::string);
    if (parts[1].find('&') != std::string::npos) return std::nullopt;
    for (std::string& line : lines) {
      if (pattern.empty()) {
        if (at_start) line = with + line;
        else if (at_end) line += with;
        continue;
      }
      line = replaced(line, (at_start ? "#" : at_end ? "%" : "") + pattern, with, global && !at_start && !at_end);
    }
  }
  std::string out = joined_lines(lines);
  if (!text->ends_with('\n') && !out.empty()) out.pop_back();
  return out;
}

/// 1-3,5- over `size` items, zero based.
std::vector<std::size_t> ranges(std::string_view list, std::size_t size) {
  std::vector<std::size_t> out;
  std::size_t at = 0;
  while (at < list.size()) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    const std::string one(list.substr(at, end - at));
    const std::size_t dash = one.find('-');
    const auto from = static_cast<std::size_t>(std::max(1, std::atoi(one.c_str())));
    const std::size_t to = dash == std::string::npos ? from : dash + 1 < one.size() ? static_cast<std::size_t>(std::max(0, std::atoi(one.c_str() + dash + 1))) : size;
    for (std::size_t i = from; i <= to && i <= size; ++i) out.push_back(i - 1);
    at = end + 1;
  }
  std::sort(out.begin(), out.end());
  return out;
}

Text cut(const Argv& argv, const Walk& walk, const Text& input) {
  const Options o = parse(argv, "cbdf", {"characters", "bytes", "delimiter", "fields", "output-delimiter"});
  const Text text = content(walk, o.operands, input);
  if (!text) return std::nullopt;
  if (has_hole(*text)) return std::string(1, k_hole);
  Text list = o.value("c");
  if (!list) list = o.value("b");
  if (!list) list = o.value("characters");
  std::vector<std::string> out;
  for (const std::string& line : lines_of(*text)) {
    if (list) {
      std::string kept;
      for (const std::size_t i : ranges(*list, line.size())) kept.push_back(line[i]);
      out.push_back(std::move(kept));
      continue;
    }
    Text fields = o.value("f");
    if (!fields) fields = o.value("fields");
    if (!fields) return std::nullopt;
    Text mark = o.value("d");
    if (!mark) mark = o.value("delimiter");
    const char delimiter = mark && !mark->empty() ? (*mark)[0] : '\t';
    if (line.find(delimiter) == std::string::npos) {
      out.push_back(line);
      continue;
    }
    std::vector<std::string> parts(1);
    for (const char c : line) {
      if (c == delimiter) {
        parts.emplace_back();
      } else {
        parts.back().push_back(c);
      }
    }
    std::string kept;
    bool first = true;
    for (const std::size_t i : ranges(*fields, parts.size())) {
      kept += (first ? "" : std::string(1, delimiter)) + parts[i];
      first = false;
    }
    out.push_back(std::move(kept));
  }
  return joined_lines(out);
}

Text head_tail(const Argv& argv, const Walk& walk, const Text& input, bool is_head) {
  Argv words = argv;
  for (std::size_t i = 1; i < words.size(); ++i) {  // head -3
    if (words[i].size() > 1 && words[i][0] == '-' && words[i][1] >= '0' && words[i][1] <= '9') words[i] = "-n" + words[i].substr(1);
  }
  const Options o = parse(words, "nc", {"lines", "bytes"});
  const Text text = content(walk, o.operands, input);
  if (!text) return std::nullopt;
  const bool by_bytes = o.has("c") || o.has("bytes");
  std::string count = o.value(by_bytes ? (o.has("c") ? "c" : "bytes") : (o.has("n") ? "n" : "lines")).value_or("10");
  const bool from_start = count.starts_with('+');
  const bool but = count.starts_with('-');
  if (from_start || but) count.erase(0, 1);
  const auto n = static_cast<std::size_t>(std::max(0, std::atoi(count.c_str())));
  if (by_bytes) {
    if (is_head) return but ? text->substr(0, text->size() - std::min(n, text->size())) : text->substr(0, n);
    if (from_start) return n <= text->size() + 1 ? text->substr(std::min(n > 0 ? n - 1 : 0, text->size())) : std::string();
    return text->substr(text->size() - std::min(n, text->size()));
  }
  std::vector<std::string> lines = lines_of(*text);
  const auto size = lines.size();
  std::size_t from = 0;
  std::size_t to = size;
  if (is_head) {
    to = but ? size - std::min(n, size) : std::min(n, size);
  } else {
    from = from_start ? std::min(n > 0 ? n - 1 : 0, size) : size - std::min(n, size);
  }
  return joined_lines(std::vector<std::string>(lines.begin() + static_cast<std::ptrdiff_t>(from), lines.begin() + static_cast<std::ptrdiff_t>(std::max(from, to))));
}

/// awk 'BEGIN{printf "%c%c",114,109}' and awk '{print $2}'.
Text awk(const Argv& argv, const Walk& walk, const Text& input) {
  std::string program;
  std::string separators = " \t";
  std::vector<std::string> files;
  std::vector<std::pair<std::string, std::string>> variables;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const std::string word = plain(argv[i]);
    if (word == "-F" && i + 1 < argv.size()) separators = plain(argv[++i]);
    else if (word.starts_with("-F")) separators = word.substr(2);
    else if (word == "-v" && i + 1 < argv.size()) {
      const std::string assignment = plain(argv[++i]);
      const std::size_t equals = assignment.find('=');
      if (equals != std::string::npos) variables.emplace_back(assignment.substr(0, equals), assignment.substr(equals + 1));
    } else if (program.empty()) program = word;
    else files.push_back(word);
  }
  std::string body = program;
  const auto trim = [](std::string& t) {
    const std::size_t a = t.find_first_not_of(" \t\n;");
    const std::size_t b = t.find_last_not_of(" \t\n;");
    t = a == std::string::npos ? std::string() : t.substr(a, b - a + 1);
  };
  trim(body);
  const bool is_begin = body.starts_with("BEGIN");
  if (is_begin) body = body.substr(5);
  trim(body);
  if (!body.starts_with('{') || !body.ends_with('}')) return std::nullopt;
  body = body.substr(1, body.size() - 2);
  std::vector<std::string> records{""};
  if (!is_begin) {
    const Text text = content(walk, files, input);
    if (!text) return std::nullopt;
    records = lines_of(*text);
  }
  std::string out;
  for (const std::string& record : records) {
    std::vector<std::string> fields;
    std::string field;
    for (const char c : record) {
      if (separators.find(c) != std::string::npos) {
        if (!field.empty() || separators != " \t") fields.push_back(field);
        field.clear();
      } else {
        field.push_back(c);
      }
    }
    if (!field.empty()) fields.push_back(field);
    for (std::size_t at = 0; at < body.size();) {
      std::size_t end = at;
      bool in_text = false;
      while (end < body.size() && (in_text || body[end] != ';')) {
        if (body[end] == '\\' && in_text) ++end;
        else if (body[end] == '"') in_text = !in_text;
        ++end;
      }
      std::string statement = body.substr(at, std::min(end, body.size()) - at);
      at = end + 1;
      trim(statement);
      if (statement.empty()) continue;
      const bool is_printf = statement.starts_with("printf");
      if (!is_printf && !statement.starts_with("print")) return std::nullopt;
      std::string rest = statement.substr(is_printf ? 6 : 5);
      trim(rest);
      if (rest.starts_with('(') && rest.ends_with(')')) rest = rest.substr(1, rest.size() - 2);
      std::vector<std::string> items(1);
      for (std::size_t i = 0; i < rest.size();) {
        const char c = rest[i];
        if (c == '"') {
          std::size_t close = i + 1;
          while (close < rest.size() && rest[close] != '"') close += rest[close] == '\\' ? 2 : 1;
          if (close >= rest.size()) return std::nullopt;
          items.back() += decode_escapes(rest.substr(i + 1, close - i - 1), EscapeStyle::ansi_quote);
          i = close + 1;
        } else if (c == '$') {
          std::size_t close = i + 1;
          while (close < rest.size() && rest[close] >= '0' && rest[close] <= '9') ++close;
          const auto n = static_cast<std::size_t>(std::atoi(rest.substr(i + 1, close - i - 1).c_str()));
          if (close == i + 1) return std::nullopt;
          if (n == 0) items.back() += record;
          else if (n <= fields.size()) items.back() += fields[n - 1];
          else if (has_hole(record)) items.back() += k_hole;
          i = close;
        } else if (c >= '0' && c <= '9') {
          std::size_t close = i;
          while (close < rest.size() && rest[close] >= '0' && rest[close] <= '9') ++close;
          items.back() += rest.substr(i, close - i);
          i = close;
        } else if (c == ',') {
          items.emplace_back();
          ++i;
        } else if (c == ' ') {
          ++i;
        } else {
          bool found = false;
          for (const auto& [name, value] : variables) {
            if (rest.substr(i).starts_with(name)) {
              items.back() += value;
              i += name.size();
              found = true;
              break;
            }
          }
          if (!found) return std::nullopt;
        }
      }
      if (is_printf) {
        out += formatted(items[0], std::vector<std::string>(items.begin() + 1, items.end()), true);
      } else {
        if (rest.empty()) items[0] = record;
        for (std::size_t i = 0; i < items.size(); ++i) out += (i == 0 ? "" : " ") + items[i];
        out += '\n';
      }
    }
  }
  return out;
}

Text od_style(const Argv& argv, const Walk& walk, const Text& input) {
  const Options o = parse(argv, "lscgo");
  if (o.has("r")) {
    const Text text = content(walk, o.operands, input);
    if (!text) return std::nullopt;
    if (has_hole(*text)) return std::string(1, k_hole);
    if (o.has("p") || o.has("ps")) return decode_hex(*text);
    std::string pairs;  // 00000000: 726d 202d  rm -
    for (const std::string& line : lines_of(*text)) {
      const std::size_t colon = line.find(": ");
      const std::size_t end = line.find("  ");
      if (colon == std::string::npos) pairs += line;
      else pairs += line.substr(colon + 2, end == std::string::npos ? std::string::npos : end - colon - 2);
    }
    return decode_hex(pairs);
  }
  if (!o.has("p")) return std::nullopt;
  const Text text = content(walk, o.operands, input);
  if (!text || has_hole(*text)) return std::nullopt;
  return encode_hex(*text) + "\n";
}

Text base_n(const Argv& argv, const Walk& walk, const Text& input, int base) {
  const Options o = parse(argv, "wi", {"wrap"});
  const bool decodes = o.has("d") || o.has("D") || o.has("decode");
  std::vector<std::string> files = o.operands;
  if (const Text file = o.value("i"); file && !file->empty() && !decodes) files = {*file};
  const Text text = content(walk, files, input);
  if (!text) return std::nullopt;
  if (has_hole(*text)) return std::string(1, k_hole);
  if (!decodes) return base == 64 ? Text(encode_base64(*text) + "\n") : std::nullopt;
  return base == 64 ? decode_base64(*text) : decode_base32(*text);
}

Text openssl(const Argv& argv, const Walk& walk, const Text& input) {
  if (argv.size() < 2) return std::nullopt;
  bool is_base64 = argv[1] == "base64";
  bool decodes = false;
  std::vector<std::string> files;
  for (std::size_t i = 2; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (word == "-base64" || word == "-a") is_base64 = is_base64 || argv[1] == "enc";
    else if (word == "-d") decodes = true;
    else if (word == "-in" && i + 1 < argv.size()) files.push_back(argv[++i]);
    else if (word.starts_with("-aes") || word.starts_with("-des") || word == "-k" || word == "-pass" || word == "-K") return std::nullopt;
  }
  const Text text = content(walk, files, input);
  if (!is_base64 || !text || has_hole(*text)) return std::nullopt;
  return decodes ? decode_base64(*text) : Text(encode_base64(*text) + "\n");
}

Text seq(const Argv& argv) {
  const Options o = parse(argv, "sf");
  std::vector<long> numbers;
  for (const std::string& word : o.operands) {
    if (word.size() > 8) return std::nullopt;
    numbers.push_back(std::atol(word.c_str()));
  }
  if (numbers.empty() || numbers.size() > 3) return std::nullopt;
  const long from = numbers.size() > 1 ? numbers[0] : 1;
  const long step = numbers.size() == 3 ? numbers[1] : 1;
  const long to = numbers.back();
  if (step == 0) return std::nullopt;
  const std::string mark = o.value("s").value_or("\n");
  std::string out;
  int count = 0;
  for (long n = from; step > 0 ? n <= to : n >= to; n += step) {
    if (++count > 256) break;
    if (!out.empty()) out += mark;
    out += std::to_string(n);
  }
  return out + "\n";
}

std::string reversed_lines(const std::string& text) {
  std::vector<std::string> lines = lines_of(text);
  for (std::string& line : lines) std::reverse(line.begin(), line.end());
  std::string out = joined_lines(lines);
  if (!text.ends_with('\n') && !out.empty()) out.pop_back();
  return out;
}

/// Programs that print shell code of their own and are meant for eval.
bool prints_trusted_code(const Argv& argv, std::string_view name) {
  static constexpr std::array<std::string_view, 25> k_names{
      "ssh-agent", "dircolors", "direnv", "pyenv", "rbenv", "nodenv", "goenv", "jenv", "brew", "starship", "zoxide", "lesspipe", "conda", "mamba", "micromamba",
      "keychain", "resize", "fnm", "mise", "asdf", "minikube", "docker-machine", "thefuck", "atuin", "register-python-argcomplete"};
  if (std::find(k_names.begin(), k_names.end(), name) != k_names.end()) return true;
  return argv.size() > 1 && argv[1] == "completion" && (name == "kubectl" || name == "helm" || name == "npm" || name == "gh" || name == "argocd" || name == "kind");
}

}  // namespace

std::optional<std::string> filter_output(const Walk& walk, const std::vector<std::string>& argv, const std::optional<std::string>& input) {
  const std::string_view name = program_name(argv[0]);
  if (name == "echo") return echo(argv);
  if (name == "printf") {
    if (argv.size() < 2) return std::nullopt;
    const std::size_t from = argv[1] == "--" ? 2 : 1;
    if (from >= argv.size()) return std::nullopt;
    std::vector<std::string> values;
    for (std::size_t i = from + 1; i < argv.size(); ++i) values.push_back(plain(argv[i]));
    // The format's own escapes first, but not those that values bring.
    return formatted(decode_escapes(plain(argv[from]), EscapeStyle::format), values, false);
  }
  if (name == "cat" || name == "tee" || name == "pv" || name == "sponge" || name == "zcat" || name == "gzcat" || name == "buffer" || name == "unbuffer") {
    Options o = parse(argv, "");
    if (name == "tee" || name == "sponge") o.operands.clear();
    const Text text = content(walk, o.operands, input);
    if (name == "zcat" && text) return inflate(*text);
    return text;
  }
  if (name == "base64" || name == "base64url" || name == "b64decode") {
    if (name == "b64decode") {
      const Text text = content(walk, {}, input);
      return text ? decode_base64(*text) : std::nullopt;
    }
    return base_n(argv, walk, input, 64);
  }
  if (name == "base32") return base_n(argv, walk, input, 32);
  if (name == "basenc") {
    const Options o = parse(argv, "w");
    const Text text = content(walk, o.operands, input);
    if (!text || !(o.has("d") || o.has("decode"))) return std::nullopt;
    if (o.has("base16")) return decode_hex(*text);
    if (o.has("base32")) return decode_base32(*text);
    return decode_base64(*text);
  }
  if (name == "xxd") return od_style(argv, walk, input);
  if (name == "tr") return tr(argv, input);
  if (name == "rev" || name == "tac") {
    const Text text = content(walk, parse(argv, "").operands, input);
    if (!text) return std::nullopt;
    if (name == "rev") return reversed_lines(*text);
    std::vector<std::string> lines = lines_of(*text);
    std::reverse(lines.begin(), lines.end());
    return joined_lines(lines);
  }
  if (name == "rot13" || name == "caesar") return input ? Text(rot13(*input)) : std::nullopt;
  if (name == "sed" || name == "gsed") return sed(argv, walk, input);
  if (name == "cut") return cut(argv, walk, input);
  if (name == "head" || name == "tail") return head_tail(argv, walk, input, name == "head");
  if (name == "awk" || name == "gawk" || name == "mawk" || name == "nawk") return awk(argv, walk, input);
  if (name == "openssl") return openssl(argv, walk, input);
  if (name == "seq") return seq(argv);
  if (name == "gzip" || name == "gunzip" || name == "pigz" || name == "zlib-flate") {
    const Options o = parse(argv, "");
    if (name == "gzip" && !o.has("d") && !o.has("decompress") && !o.has("dc")) return std::nullopt;
    const Text text = content(walk, o.operands, input);
    return text && !has_hole(*text) ? inflate(*text) : std::nullopt;
  }
  if (name == "pwd") return walk.cwd().empty() ? std::nullopt : Text(walk.cwd() + "\n");
  if (name == "whoami") return std::nullopt;
  if (name == "basename" && argv.size() > 1) {
    std::string base(program_name(argv[1]));
    if (argv.size() > 2 && base.ends_with(argv[2])) base.resize(base.size() - argv[2].size());
    return base + "\n";
  }
  if (name == "dirname" && argv.size() > 1) {
    const std::size_t slash = argv[1].rfind('/');
    return (slash == std::string::npos ? "." : slash == 0 ? "/" : argv[1].substr(0, slash)) + "\n";
  }
  if ((name == "which" || name == "type" || name == "command" || name == "whereis") && argv.size() > 1 && !argv.back().starts_with('-')) {
    if (name == "type" && std::find(argv.begin(), argv.end(), "-p") == argv.end() && std::find(argv.begin(), argv.end(), "-P") == argv.end()) return std::nullopt;
    return "/usr/bin/" + std::string(program_name(argv.back())) + "\n";
  }
  if (name == "sort" || name == "uniq" || name == "fold" || name == "dos2unix" || name == "iconv" || name == "strings" || name == "col" || name == "expand") {
    const Text text = content(walk, parse(argv, "tkwf").operands, input);
    if (!text || lines_of(*text).size() > 1) return std::nullopt;
    return text;
  }
  if (name == "paste" && input) {
    const Options o = parse(argv, "d", {"delimiters"});
    if (!o.has("s") && !o.has("serial")) return std::nullopt;
    const std::string mark = o.value("d").value_or("\t");
    std::string out;
    bool first = true;
    for (const std::string& line : lines_of(*input)) {
      out += (first ? "" : mark.substr(0, 1)) + line;
      first = false;
    }
    return out + "\n";
  }
  if (name == "expr" && argv.size() == 5 && argv[1] == "substr") {
    const int from = std::atoi(argv[3].c_str());
    const int count = std::atoi(argv[4].c_str());
    if (from < 1 || count < 0 || static_cast<std::size_t>(from) > argv[2].size() + 1) return std::nullopt;
    return argv[2].substr(static_cast<std::size_t>(from - 1), static_cast<std::size_t>(count)) + "\n";
  }
  if (name == "grep" && input && argv.size() == 2) {
    std::string out;
    for (const std::string& line : lines_of(*input)) {
      if (line.find(plain(argv[1])) != std::string::npos) out += line + "\n";
    }
    return out.empty() ? std::nullopt : Text(out);
  }
  if (name == "yes") return (argv.size() > 1 ? plain(argv[1]) : std::string("y")) + "\n";
  if (name == "sleep" || name == "touch" || name == "mkdir" || name == "rm" || name == "cp" || name == "mv" || name == "ln" || name == "chmod" || name == "chown" || name == "kill") return std::string();
  if (prints_trusted_code(argv, name)) return std::string();
  return std::nullopt;
}

}  // namespace sallyport::guard
