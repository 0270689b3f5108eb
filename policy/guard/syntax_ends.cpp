// Where a word, a quote, a brace or a parenthesis ends, and what a name is.
#include <algorithm>

#include "policy/guard/shell_parser.h"
#include "policy/guard/syntax.h"

namespace sallyport::guard {
namespace {

constexpr std::size_t k_none = std::string_view::npos;

}  // namespace

bool is_name(std::string_view text) noexcept {
  return !text.empty() && is_name_start(text.front()) && std::all_of(text.begin(), text.end(), is_name_char);
}

std::size_t assignment_prefix(std::string_view word) noexcept {
  std::size_t at = 0;
  if (word.empty() || !is_name_start(word[0])) return 0;
  while (at < word.size() && is_name_char(word[at])) ++at;
  if (at < word.size() && word[at] == '[') {
    const std::size_t close = word.find(']', at);
    if (close == k_none) return 0;
    at = close + 1;
  }
  if (at < word.size() && word[at] == '+') ++at;
  return at < word.size() && word[at] == '=' ? at + 1 : 0;
}

std::size_t word_end(std::string_view text, std::size_t at, std::uint64_t& budget) { return ShellParser(text, budget).word(at); }

std::size_t closing_parenthesis(std::string_view text, std::size_t at, std::uint64_t& budget) { return ShellParser(text, budget).parenthesis(at); }

namespace {

std::size_t quote_end(std::string_view text, std::size_t at, char quote, std::uint64_t& budget, int depth);

std::size_t brace_end(std::string_view text, std::size_t at, std::uint64_t& budget, int depth) {
  if (depth > k_deepest_syntax) return k_none;
  std::size_t open = 1;
  for (std::size_t i = at; i < text.size(); ++i) {
    if (budget == 0) return k_none;
    --budget;
    const char c = text[i];
    if (c == '\\') {
      ++i;
    } else if (c == '\'') {
      const std::size_t end = text.find('\'', i + 1);
      if (end == k_none) return k_none;
      i = end;
    } else if (c == '"' || c == '`') {
      const std::size_t end = quote_end(text, i + 1, c, budget, depth + 1);
      if (end == k_none) return k_none;
      i = end;
    } else if (c == '$' && i + 1 < text.size() && text[i + 1] == '(') {
      const std::size_t end = closing_parenthesis(text, i + 2, budget);
      if (end == k_none) return k_none;
      i = end;
    } else if (c == '$' && i + 1 < text.size() && text[i + 1] == '{') {
      ++open;
      ++i;
    } else if (c == '}' && --open == 0) {
      return i;
    }
  }
  return k_none;
}

std::size_t quote_end(std::string_view text, std::size_t at, char quote, std::uint64_t& budget, int depth) {
  if (depth > k_deepest_syntax) return k_none;
  for (std::size_t i = at; i < text.size(); ++i) {
    if (budget == 0) return k_none;
    --budget;
    const char c = text[i];
    if (c == quote) return i;
    if (c == '\\' && quote != '\'') {
      ++i;
    } else if (quote == '"' && c == '$' && i + 1 < text.size() && (text[i + 1] == '(' || text[i + 1] == '{')) {
      const std::size_t end = text[i + 1] == '(' ? closing_parenthesis(text, i + 2, budget) : brace_end(text, i + 2, budget, depth + 1);
      if (end == k_none) return k_none;
      i = end;
    } else if (quote == '"' && c == '`') {
      const std::size_t end = quote_end(text, i + 1, '`', budget, depth + 1);
      if (end == k_none) return k_none;
      i = end;
    }
  }
  return k_none;
}

}  // namespace

std::size_t closing_brace(std::string_view text, std::size_t at, std::uint64_t& budget) { return brace_end(text, at, budget, 0); }

std::size_t closing_quote(std::string_view text, std::size_t at, char quote, std::uint64_t& budget) { return quote_end(text, at, quote, budget, 0); }

}  // namespace sallyport::guard
