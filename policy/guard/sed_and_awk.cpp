// What sed and awk print when their input is known: the parts of their languages that hide words.
#include <algorithm>
#include <array>
#include <cstdio>

#include "policy/guard/decoders.h"
#include "policy/guard/filter_text.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard::filters {

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

}  // namespace sallyport::guard::filters
