// {a,b} and {1..3}.
#include <algorithm>

#include "policy/guard/expansion.h"

namespace sallyport::guard {
namespace {

constexpr std::size_t k_none = std::string_view::npos;

}  // namespace

void expand_braces(const std::string& raw, std::vector<std::string>& out, std::uint64_t& budget) {
  const std::uint64_t cost = 16 + raw.size() / 8;
  if (budget < 64 + cost) {  // the walk says so
    if (out.empty()) out.push_back(raw);
    budget = 0;
    return;
  }
  budget -= cost;
  if (out.size() >= 256) {
    out.push_back(raw);
    return;
  }
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const char c = raw[i];
    if (c == '\\') {
      ++i;
    } else if (c == '\'' || c == '"' || c == '`') {
      const std::size_t end = closing_quote(raw, i + 1, c, budget);
      if (end == k_none) break;
      i = end;
    } else if (c == '$' && i + 1 < raw.size() && (raw[i + 1] == '{' || raw[i + 1] == '(')) {
      const std::size_t end = raw[i + 1] == '{' ? closing_brace(raw, i + 2, budget) : closing_parenthesis(raw, i + 2, budget);
      if (end == k_none) break;
      i = end;
    } else if (c == '{') {
      std::vector<std::string> parts;
      std::string part;
      int depth = 1;
      std::size_t j = i + 1;
      bool has_comma = false;
      for (; j < raw.size(); ++j) {
        const char d = raw[j];
        if (d == '\\' && j + 1 < raw.size()) {
          part += d;
          part += raw[++j];
          continue;
        }
        if (d == '\'' || d == '"') {
          const std::size_t end = closing_quote(raw, j + 1, d, budget);
          if (end == k_none) break;
          part += raw.substr(j, end - j + 1);
          j = end;
          continue;
        }
        if (d == '{') ++depth;
        if (d == '}' && --depth == 0) break;
        if (d == ',' && depth == 1) {
          has_comma = true;
          parts.push_back(std::move(part));
          part.clear();
          continue;
        }
        part += d;
      }
      if (j >= raw.size() || depth != 0) continue;
      parts.push_back(std::move(part));
      if (!has_comma) {
        const std::size_t dots = parts[0].find("..");
        if (dots == k_none) continue;
        const std::string from = parts[0].substr(0, dots);
        std::string to = parts[0].substr(dots + 2);
        to = to.substr(0, to.find(".."));
        const auto is_number = [](const std::string& t) {
          return !t.empty() && t.size() < 7 && std::all_of(t.begin() + (t[0] == '-' ? 1 : 0), t.end(), [](char ch) { return ch >= '0' && ch <= '9'; }) && t != "-";
        };
        parts.clear();
        if (is_number(from) && is_number(to)) {
          int a = std::stoi(from);
          const int b = std::stoi(to);
          for (int n = 0; n < 128; ++n, a += a < b ? 1 : -1) {
            parts.push_back(std::to_string(a));
            if (a == b) break;
          }
        } else if (from.size() == 1 && to.size() == 1) {
          for (char a = from[0];; a = static_cast<char>(a + (a < to[0] ? 1 : -1))) {
            parts.emplace_back(1, a);
            if (a == to[0]) break;
          }
        } else {
          continue;
        }
      }
      for (const std::string& one : parts) {
        if (budget == 0) break;
        expand_braces(raw.substr(0, i) + one + raw.substr(j + 1), out, budget);
      }
      return;
    }
  }
  out.push_back(raw);
}

}  // namespace sallyport::guard
