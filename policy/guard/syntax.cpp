// The shell grammar's commands: lists, pipelines, compound and simple commands.
#include "policy/guard/syntax.h"

#include <algorithm>
#include <array>
#include <optional>

#include "policy/guard/shell_parser.h"

namespace sallyport::guard {
namespace {

constexpr std::size_t k_none = std::string_view::npos;

}  // namespace

Script ShellParser::run() {
  script_.root = list("");
  skip_blanks();
  if (!failed_ && at_ < text_.size()) fail();
  read_bodies(true);
  script_.is_incomplete = incomplete_;
  script_.is_error = failed_ && !incomplete_;
  return std::move(script_);
}

std::size_t ShellParser::parenthesis(std::size_t at) {
  at_ = at;
  (void)list(")");
  if (failed_ || incomplete_ || at_ >= text_.size() || text_[at_] != ')') return k_none;
  return at_;
}

std::size_t ShellParser::word(std::size_t at) {
  at_ = at;
  scan_word();
  return failed_ ? k_none : at_;
}

std::string_view ShellParser::reserved() const {
  static constexpr std::array<std::string_view, 21> k_words{"if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until",
                                                            "for", "{", "}", "!", "[[", "]]", "function", "select", "time", "in"};
  std::size_t end = at_;
  while (end < text_.size() && !is_meta(text_[end]) && end - at_ < 9) ++end;
  const std::string_view word = text_.substr(at_, end - at_);
  return std::find(k_words.begin(), k_words.end(), word) != k_words.end() ? word : std::string_view();
}

void ShellParser::expect(std::string_view word) {
  skip_lines();
  if (failed_) return;
  if (at_ >= text_.size()) return fail_incomplete();
  if (reserved() != word) return fail();
  at_ += word.size();
}

bool ShellParser::ends_list(std::string_view ends) const {
  if (at_ >= text_.size()) return true;
  if (text_[at_] == ')') return true;
  if (looking_at(";;") || looking_at(";&")) return true;
  const std::string_view word = reserved();
  if (word.empty() || ends.empty() || ends == ")") return false;
  for (std::size_t from = 0; from < ends.size();) {
    const std::size_t to = std::min(ends.find(' ', from), ends.size());
    if (ends.substr(from, to - from) == word) return true;
    from = to + 1;
  }
  return false;
}

std::uint32_t ShellParser::list(std::string_view ends) {
  const std::uint32_t self = make(NodeKind::sequence);
  if (++depth_ > k_deepest_syntax) {
    fail();
    return self;
  }
  Joint joint = Joint::then;
  while (!failed_ && spend()) {
    skip_lines();
    if (failed_ || ends_list(ends)) break;
    const std::uint32_t item = pipeline();
    if (failed_) {
      // What is complete so far is judged, also in front of an open quote.
      if (incomplete_) add_item(self, item, joint);
      break;
    }
    add_item(self, item, joint);
    skip_blanks();
    joint = Joint::then;
    if (looking_at("&&") || looking_at("||")) {
      at_ += 2;
      joint = Joint::conditional;
      skip_lines();
      if (at_ >= text_.size()) incomplete_ = true;
      if (ends_list(ends) && at_ < text_.size()) fail();
    } else if (looking_at(";;") || looking_at(";&")) {
      break;
    } else if (peek() == ';') {
      ++at_;
    } else if (peek() == '&') {
      node(self).in_background.resize(node(self).children.size());
      node(self).in_background.back() = true;
      ++at_;
    } else if (peek() == '\n') {
      continue;
    } else if (at_ < text_.size() && text_[at_] != ')') {
      fail();
    }
  }
  --depth_;
  return self;
}

void ShellParser::add_item(std::uint32_t self, std::uint32_t item, Joint joint) {
  node(self).children.push_back(item);
  node(self).joints.push_back(joint);
}

std::uint32_t ShellParser::pipeline() {
  for (;;) {
    skip_blanks();
    const std::string_view word = reserved();
    if (word == "!") {
      ++at_;
    } else if (word == "time") {
      at_ += 4;
      skip_blanks();
      if (looking_at("-p") && is_meta(peek(2))) at_ += 2;
      skip_blanks();
      if (at_ >= text_.size() || peek() == '\n' || peek() == ';') return make(NodeKind::sequence);
    } else {
      break;
    }
  }
  const std::uint32_t first = command();
  skip_blanks();
  if (failed_ || peek() != '|' || peek(1) == '|') return first;
  const std::uint32_t self = make(NodeKind::pipeline);
  node(self).children.push_back(first);
  while (!failed_ && peek() == '|' && peek(1) != '|') {
    ++at_;
    const bool both = peek() == '&';
    if (both) ++at_;
    node(self).pipes_stderr.push_back(both);
    skip_lines();
    if (at_ >= text_.size()) {
      incomplete_ = true;
      break;
    }
    const std::uint32_t next = command();
    node(self).children.push_back(next);
    skip_blanks();
  }
  return self;
}

std::uint32_t ShellParser::command() {
  if (++depth_ > k_deepest_syntax) {
    fail();
    return make(NodeKind::sequence);
  }
  if (!spend(60)) return make(NodeKind::sequence);
  const std::uint32_t self = command_inside();
  --depth_;
  return self;
}

std::uint32_t ShellParser::command_inside() {
  skip_blanks();
  const std::string_view word = reserved();
  if (peek() == '(') {
    if (peek(1) == '(') {
      if (const auto self = try_arithmetic()) return *self;
    }
    const std::uint32_t self = make(NodeKind::subshell);
    ++at_;
    const std::uint32_t body = list(")");
    node(self).children.push_back(body);
    if (failed_) return self;
    if (at_ >= text_.size()) {
      fail_incomplete();
      return self;
    }
    if (peek() != ')') {
      fail();
      return self;
    }
    ++at_;
    redirects(self);
    return self;
  }
  if (word == "{") {
    const std::uint32_t self = make(NodeKind::group);
    ++at_;
    const std::uint32_t body = list("}");
    node(self).children.push_back(body);
    expect("}");
    redirects(self);
    return self;
  }
  if (word == "if") return condition();
  if (word == "while" || word == "until") {
    const std::uint32_t self = make(NodeKind::loop);
    at_ += word.size();
    const std::uint32_t test = list("do");
    node(self).children.push_back(test);
    expect("do");
    const std::uint32_t body = failed_ ? make(NodeKind::sequence) : list("done");
    node(self).children.push_back(body);
    expect("done");
    redirects(self);
    return self;
  }
  if (word == "for" || word == "select") return for_loop();
  if (word == "case") return choice();
  if (word == "[[") return test();
  if (word == "function") {
    at_ += word.size();
    skip_blanks();
    const std::size_t start = at_;
    scan_word();
    const std::string_view name = text_.substr(start, at_ - start);
    skip_blanks();
    if (peek() == '(') {
      ++at_;
      skip_blanks();
      if (peek() != ')') fail();
      ++at_;
    }
    return function(name);
  }
  if (!word.empty() && word != "in" && word != "]]" && word != "time") {  // `then` without `if`
    fail();
    return make(NodeKind::sequence);
  }
  return simple();
}

std::optional<std::uint32_t> ShellParser::try_arithmetic() {
  const std::size_t back = at_;
  const bool was_incomplete = incomplete_;
  at_ += 2;
  scan_arithmetic();
  if (failed_ || text_[at_ - 2] != ')') {
    if (budget_ == 0) return std::nullopt;
    failed_ = false;
    incomplete_ = was_incomplete;
    at_ = back;
    return std::nullopt;
  }
  const std::uint32_t self = make(NodeKind::arithmetic);
  node(self).source = text_.substr(back + 2, at_ - back - 4);
  redirects(self);
  return self;
}

std::uint32_t ShellParser::condition() {
  const std::uint32_t self = make(NodeKind::condition);
  at_ += 2;
  const auto part = [&](std::string_view ends) {
    const std::uint32_t child = list(ends);
    node(self).children.push_back(child);
  };
  part("then");
  expect("then");
  if (!failed_) part("elif else fi");
  while (!failed_) {
    skip_lines();
    const std::string_view word = reserved();
    if (word == "elif") {
      at_ += 4;
      part("then");
      expect("then");
      if (!failed_) part("elif else fi");
    } else if (word == "else") {
      at_ += 4;
      part("fi");
    } else {
      break;
    }
  }
  expect("fi");
  redirects(self);
  return self;
}

std::uint32_t ShellParser::for_loop() {
  at_ += reserved().size();
  skip_blanks();
  if (looking_at("((")) {
    const std::uint32_t self = make(NodeKind::for_arithmetic);
    const std::size_t start = at_ + 2;
    at_ += 2;
    scan_arithmetic();
    if (failed_) return self;
    node(self).source = text_.substr(start, at_ - start - 2);
    loop_body(self);
    return self;
  }
  const std::uint32_t self = make(NodeKind::for_words);
  const std::size_t start = at_;
  scan_word();
  const std::string_view name = text_.substr(start, at_ - start);
  if (failed_) return self;
  if (name.empty() && at_ >= text_.size()) {
    fail_incomplete();
    return self;
  }
  if (!is_name(name)) {
    fail();
    return self;
  }
  node(self).name = name;
  skip_lines();
  if (reserved() == "in") {
    at_ += 2;
    node(self).has_in = true;
    for (;;) {
      skip_blanks();
      const std::size_t before = at_;
      scan_word();
      if (failed_ || at_ == before) break;
      node(self).words.push_back(text_.substr(before, at_ - before));
    }
  }
  loop_body(self);
  return self;
}

void ShellParser::loop_body(std::uint32_t self) {
  skip_blanks();
  if (peek() == ';') ++at_;
  skip_lines();
  if (failed_) return;
  if (at_ >= text_.size()) return fail_incomplete();
  const bool braces = reserved() == "{";
  if (!braces && reserved() != "do") return fail();
  at_ += braces ? 1 : 2;
  const std::uint32_t body = list(braces ? "}" : "done");
  node(self).children.push_back(body);
  expect(braces ? "}" : "done");
  redirects(self);
}

std::uint32_t ShellParser::choice() {
  const std::uint32_t self = make(NodeKind::choice);
  at_ += 4;
  skip_blanks();
  const std::size_t start = at_;
  scan_word();
  node(self).words.push_back(text_.substr(start, at_ - start));
  expect("in");
  while (!failed_) {
    skip_lines();
    if (at_ >= text_.size()) {
      fail_incomplete();
      break;
    }
    if (reserved() == "esac") {
      at_ += 4;
      break;
    }
    if (peek() == '(') ++at_;
    for (;;) {  // patterns
      skip_blanks();
      const std::size_t before = at_;
      scan_word();
      if (failed_) break;
      if (at_ == before) {
        if (at_ >= text_.size()) {
          fail_incomplete();
        } else {
          fail();
        }
        break;
      }
      skip_blanks();
      if (peek() != '|') break;
      ++at_;
    }
    if (failed_) break;
    if (at_ >= text_.size()) {
      fail_incomplete();
      break;
    }
    if (peek() != ')') {
      fail();
      break;
    }
    ++at_;
    const std::uint32_t body = list("esac");
    node(self).children.push_back(body);
    skip_lines();
    if (looking_at(";;&")) {
      at_ += 3;
    } else if (looking_at(";;") || looking_at(";&")) {
      at_ += 2;
    }
  }
  redirects(self);
  return self;
}

std::uint32_t ShellParser::test() {
  const std::uint32_t self = make(NodeKind::test);
  at_ += 2;
  while (!failed_ && spend()) {
    skip_lines();
    if (at_ >= text_.size()) {
      fail_incomplete();
      break;
    }
    if (reserved() == "]]") {
      at_ += 2;
      break;
    }
    if (std::string_view("()<>&|;").find(text_[at_]) != k_none) {
      ++at_;
      continue;
    }
    const std::size_t before = at_;
    scan_word();
    // A pattern may hold groups: (a|b).
    if (failed_) break;
    if (at_ == before) {
      fail();
      break;
    }
    node(self).words.push_back(text_.substr(before, at_ - before));
  }
  redirects(self);
  return self;
}

std::uint32_t ShellParser::function(std::string_view name) {
  const std::uint32_t self = make(NodeKind::function);
  node(self).name = name;
  skip_lines();
  if (at_ >= text_.size()) {
    fail_incomplete();
    return self;
  }
  const std::size_t start = at_;
  (void)command();
  node(self).source = text_.substr(start, at_ - start);
  return self;
}

std::uint32_t ShellParser::simple() {
  const std::uint32_t self = make(NodeKind::simple);
  std::size_t first_word = k_none;
  std::size_t last_end = at_;
  while (!failed_ && spend()) {
    skip_blanks();
    if (at_ >= text_.size()) break;
    if (redirect(self)) {
      last_end = at_;
      continue;
    }
    const std::size_t before = at_;
    scan_word();
    if (at_ == before) break;
    const std::string_view word = text_.substr(before, at_ - before);
    last_end = at_;
    if (first_word == k_none) {
      if (assignment_prefix(word) != 0) {
        node(self).assignments.push_back(word);
        continue;
      }
      first_word = before;
      // name ( ) { ...; }
      const std::size_t back = at_;
      skip_blanks();
      if (!failed_ && peek() == '(' && word.find_first_of("$`'\"\\") == k_none) {
        ++at_;
        skip_blanks();
        if (at_ >= text_.size()) {
          fail_incomplete();
          break;
        }
        if (peek() != ')') {
          fail();
          break;
        }
        ++at_;
        return function(word);
      }
      at_ = back;
    }
    node(self).words.push_back(word);
  }
  if (first_word != k_none) node(self).source = text_.substr(first_word, last_end - first_word);
  const Node& made = node(self);
  if (!failed_ && made.words.empty() && made.assignments.empty() && made.redirects.empty()) fail();
  return self;
}

Script parse_script(std::string_view text, std::uint64_t& budget) { return ShellParser(text, budget).run(); }

}  // namespace sallyport::guard
