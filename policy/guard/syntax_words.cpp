// The shell grammar below its commands: blanks, quotes, words, redirections, here-documents.
#include "policy/guard/shell_parser.h"

#include <algorithm>
#include <array>
#include <utility>

namespace sallyport::guard {
namespace {

constexpr std::size_t k_none = std::string_view::npos;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

void ShellParser::skip_blanks() {
  while (at_ < text_.size()) {
    if (is_blank(text_[at_])) {
      ++at_;
    } else if (text_[at_] == '\\' && peek(1) == '\n') {
      at_ += 2;
    } else if (text_[at_] == '#' && (at_ == 0 || is_meta(text_[at_ - 1]))) {
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    } else {
      return;
    }
  }
}

void ShellParser::skip_lines() {
  for (;;) {
    skip_blanks();
    if (peek() != '\n' || at_ >= text_.size()) return;
    ++at_;
    read_bodies(false);
    if (!spend()) return;
  }
}

void ShellParser::read_bodies(bool at_end) {
  if (waiting_.empty()) return;
  std::vector<Waiting> waiting = std::move(waiting_);
  waiting_.clear();
  for (const Waiting& w : waiting) {
    RedirectNode& redirect = script_.nodes[w.node].redirects[w.index];
    if (at_end || at_ >= text_.size()) {
      incomplete_ = true;
      redirect.body = {};
      continue;
    }
    const std::size_t start = at_;
    std::size_t stop = k_none;
    while (at_ < text_.size()) {
      const std::size_t newline = std::min(text_.find('\n', at_), text_.size());
      std::string_view line = text_.substr(at_, newline - at_);
      if (redirect.strips_tabs) line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
      const std::size_t line_start = at_;
      at_ = std::min(newline + 1, text_.size());
      if (!spend(1 + line.size() / 16)) return;
      if (line == w.delimiter) {
        stop = line_start;
        break;
      }
      // Inside $( ) the delimiter may be followed by the closing parenthesis.
      if (line.starts_with(w.delimiter) && depth_ > 1 && line.substr(w.delimiter.size()).find_first_not_of(" \t)") == k_none && line.ends_with(')')) {
        stop = line_start;
        at_ = line_start + w.delimiter.size();
        break;
      }
    }
    if (stop == k_none) {
      incomplete_ = true;
      stop = text_.size();
    }
    redirect.body = text_.substr(start, stop - start);
  }
}

void ShellParser::scan_single_quote() {
  const std::size_t end = text_.find('\'', at_);
  if (end == k_none) return fail_incomplete();
  at_ = end + 1;
}

void ShellParser::scan_ansi_quote() {
  while (at_ < text_.size()) {
    if (text_[at_] == '\\') {
      at_ += 2;
    } else if (text_[at_++] == '\'') {
      return;
    }
  }
  fail_incomplete();
}

void ShellParser::scan_backtick() {
  while (at_ < text_.size()) {
    if (text_[at_] == '\\') {
      at_ += 2;
    } else if (text_[at_++] == '`') {
      return;
    }
  }
  fail_incomplete();
}

void ShellParser::scan_double_quote() {
  while (at_ < text_.size() && !failed_) {
    const char c = text_[at_];
    if (c == '\\') {
      at_ += 2;
    } else if (c == '"') {
      ++at_;
      return;
    } else if (c == '`') {
      ++at_;
      scan_backtick();
    } else if (c == '$') {
      scan_dollar(true);
    } else {
      ++at_;
    }
  }
  fail_incomplete();
}

void ShellParser::scan_parenthesis() {
  if (++depth_ > k_deepest_syntax) {
    fail();
    return;
  }
  // Here-documents that wait outside must not be fed by a newline in here.
  std::vector<Waiting> outside = std::move(waiting_);
  waiting_.clear();
  (void)list(")");
  skip_lines();
  waiting_ = std::move(outside);
  --depth_;
  if (failed_) return;
  if (at_ >= text_.size()) return fail_incomplete();
  if (text_[at_] != ')') return fail();
  ++at_;
}

void ShellParser::scan_brace_expansion() {
  if (++depth_ > k_deepest_syntax) return fail();
  while (at_ < text_.size() && !failed_) {
    const char c = text_[at_];
    if (c == '}') {
      ++at_;
      --depth_;
      return;
    }
    if (c == '\\') {
      at_ += 2;
    } else if (c == '\'') {
      ++at_;
      scan_single_quote();
    } else if (c == '"') {
      ++at_;
      scan_double_quote();
    } else if (c == '`') {
      ++at_;
      scan_backtick();
    } else if (c == '$') {
      scan_dollar(false);
    } else {
      ++at_;
    }
  }
  fail_incomplete();
}

void ShellParser::scan_arithmetic() {
  int open = 2;
  while (at_ < text_.size() && !failed_) {
    const char c = text_[at_++];
    if (c == '(') ++open;
    if (c == ')' && --open == 0) return;
    if (c == '\\') ++at_;
    if (c == '\'') scan_single_quote();
    if (c == '"') scan_double_quote();
    if (c == '`') scan_backtick();
    if (c == '$') {
      --at_;
      scan_dollar(false);
    }
  }
  fail_incomplete();
}

void ShellParser::scan_dollar(bool is_in_quotes) {
  if (depth_ >= k_deepest_syntax) return fail();
  const int outer = depth_++;
  scan_dollar_inside(is_in_quotes, outer);
  depth_ = outer;
}

void ShellParser::scan_dollar_inside(bool is_in_quotes, int outer) {
  ++at_;  // the dollar
  if (!spend()) return;
  if (looking_at("((")) {
    const std::size_t back = at_;
    const bool was_incomplete = incomplete_;
    at_ += 2;
    scan_arithmetic();
    if (!failed_ && text_[at_ - 2] == ')') return;
    // $( (a) ...) and not arithmetic
    if (budget_ == 0) return;
    failed_ = false;
    incomplete_ = was_incomplete;
    at_ = back + 1;
    depth_ = outer + 1;
    scan_parenthesis();
  } else if (peek() == '(') {
    ++at_;
    scan_parenthesis();
  } else if (peek() == '{') {
    ++at_;
    scan_brace_expansion();
  } else if (peek() == '[' && !is_in_quotes) {  // the old arithmetic
    const std::size_t end = text_.find(']', at_);
    if (end != k_none) at_ = end + 1;
  } else if (peek() == '\'' && !is_in_quotes) {
    ++at_;
    scan_ansi_quote();
  } else if (peek() == '"' && !is_in_quotes) {
    ++at_;
    scan_double_quote();
  }
}

void ShellParser::scan_word() {
  const std::size_t start = at_;
  while (at_ < text_.size() && !failed_ && spend()) {
    const char c = text_[at_];
    if (c == '\\') {
      if (at_ + 1 >= text_.size()) {
        // A backslash at the very end: the shell would ask for more.
        ++at_;
        incomplete_ = true;
        return;
      }
      at_ += 2;
    } else if (c == '\'') {
      ++at_;
      scan_single_quote();
    } else if (c == '"') {
      ++at_;
      scan_double_quote();
    } else if (c == '`') {
      ++at_;
      scan_backtick();
    } else if (c == '$') {
      scan_dollar(false);
    } else if ((c == '<' || c == '>') && peek(1) == '(') {
      at_ += 2;
      scan_parenthesis();
    } else if (c == '(' && at_ > start) {
      const char before = text_[at_ - 1];
      const std::string_view so_far = text_.substr(start, at_ - start);
      if (before == '=' && assignment_prefix(so_far) == so_far.size()) {
        ++at_;
        scan_array();
      } else if (std::string_view("?*+@!").find(before) != k_none) {
        ++at_;
        scan_pattern_group();
      } else {
        return;
      }
    } else if (is_meta(c)) {
      return;
    } else {
      ++at_;
    }
  }
}

void ShellParser::scan_array() {
  for (;;) {
    skip_lines();
    if (failed_) return;
    if (at_ >= text_.size()) return fail_incomplete();
    if (text_[at_] == ')') {
      ++at_;
      return;
    }
    const std::size_t before = at_;
    scan_word();
    if (at_ == before) return fail();
  }
}

void ShellParser::scan_pattern_group() {
  int open = 1;
  while (at_ < text_.size() && !failed_) {
    const char c = text_[at_++];
    if (c == '(') ++open;
    if (c == ')' && --open == 0) return;
    if (c == '\\') ++at_;
    if (c == '\'') scan_single_quote();
    if (c == '"') scan_double_quote();
    if (c == '`') scan_backtick();
    if (c == '$') {
      --at_;
      scan_dollar(false);
    }
  }
  fail_incomplete();
}

bool ShellParser::redirect(std::uint32_t self) {
  std::size_t ahead = at_;
  int fd = -1;
  if (ahead < text_.size() && text_[ahead] == '{') {
    std::size_t end = ahead + 1;
    while (end < text_.size() && is_name_char(text_[end])) ++end;
    if (end == ahead + 1 || end >= text_.size() || text_[end] != '}') return false;
    ahead = end + 1;
    fd = 10;
  } else {
    std::size_t digits = 0;
    int number = 0;
    while (ahead < text_.size() && is_digit(text_[ahead]) && digits < 5) {
      number = number * 10 + (text_[ahead] - '0');
      ++ahead;
      ++digits;
    }
    if (digits != 0) fd = number;
  }
  const std::string_view rest = text_.substr(std::min(ahead, text_.size()));
  static constexpr std::array<std::pair<std::string_view, RedirectOp>, 13> k_operators{{
      {"&>>", RedirectOp::both_append}, {"&>", RedirectOp::both}, {"<<<", RedirectOp::here_string}, {"<<-", RedirectOp::here_document},
      {"<<", RedirectOp::here_document}, {"<>", RedirectOp::read_write}, {"<&", RedirectOp::duplicate_in}, {">>", RedirectOp::append},
      {">&", RedirectOp::duplicate_out}, {">|", RedirectOp::write}, {">", RedirectOp::write}, {"<", RedirectOp::read}, {"", RedirectOp::read}}};
  for (const auto& [spelling, op] : k_operators) {
    if (spelling.empty()) return false;
    if (!rest.starts_with(spelling)) continue;
    if (spelling.front() == '&' && fd != -1) return false;
    if (spelling.size() == 1 && rest.size() > 1 && rest[1] == '(') return false;  // process substitution
    at_ = ahead + spelling.size();
    skip_blanks();
    RedirectNode made;
    made.op = op;
    made.fd = fd;
    made.strips_tabs = spelling == "<<-";
    const std::size_t start = at_;
    scan_word();
    made.target = text_.substr(start, at_ - start);
    if (failed_) return true;
    if (made.target.empty()) {
      if (at_ >= text_.size()) {
        fail_incomplete();
      } else {
        fail();
      }
      return true;
    }
    if (op == RedirectOp::here_document) {
      made.is_literal = made.target.find_first_of("'\"\\") != k_none;
      std::string delimiter;
      for (const char c : made.target) {
        if (c != '\'' && c != '"' && c != '\\') delimiter.push_back(c);
      }
      waiting_.push_back(Waiting{self, node(self).redirects.size(), std::move(delimiter)});
    }
    node(self).redirects.push_back(made);
    return true;
  }
  return false;
}

void ShellParser::redirects(std::uint32_t self) {
  while (!failed_) {
    skip_blanks();
    if (!redirect(self)) return;
  }
}

}  // namespace sallyport::guard
