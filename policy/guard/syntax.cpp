#include "policy/guard/syntax.h"

#include <algorithm>
#include <array>
#include <optional>

namespace sallyport::guard {
namespace {

constexpr int k_deepest = 40;
constexpr std::size_t k_none = std::string_view::npos;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name_char(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
/// What ends an unquoted word.
bool is_meta(char c) { return is_blank(c) || c == '\n' || c == ';' || c == '&' || c == '|' || c == '(' || c == ')' || c == '<' || c == '>'; }

/// A recursive descent over the text. `failed_` is final: nothing is read after it.
class Parser {
 public:
  Parser(std::string_view text, std::uint64_t& budget) : text_(text), budget_(budget) {}

  Script run() {
    script_.root = list("");
    skip_blanks();
    if (!failed_ && at_ < text_.size()) fail();
    read_bodies(true);
    script_.is_incomplete = incomplete_;
    script_.is_error = failed_ && !incomplete_;
    return std::move(script_);
  }
  /// The closing parenthesis of the list that starts at `at`, or npos.
  std::size_t parenthesis(std::size_t at) {
    at_ = at;
    (void)list(")");
    if (failed_ || incomplete_ || at_ >= text_.size() || text_[at_] != ')') return k_none;
    return at_;
  }
  std::size_t word(std::size_t at) {
    at_ = at;
    scan_word();
    return failed_ ? k_none : at_;
  }

 private:
  // ---- characters
  [[nodiscard]] char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  [[nodiscard]] bool looking_at(std::string_view what) const { return text_.substr(at_, what.size()) == what; }
  bool spend(std::uint64_t units = 1) {
    if (budget_ < units) {
      budget_ = 0;
      failed_ = true;
      return false;
    }
    budget_ -= units;
    return true;
  }
  void fail() { failed_ = true; }
  void fail_incomplete() {
    if (failed_) return;
    failed_ = true;
    incomplete_ = true;
    at_ = text_.size();
  }
  void skip_blanks() {
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
  /// Blanks, comments and newlines; a newline brings the waiting here-documents.
  void skip_lines() {
    for (;;) {
      skip_blanks();
      if (peek() != '\n' || at_ >= text_.size()) return;
      ++at_;
      read_bodies(false);
      if (!spend()) return;
    }
  }

  // ---- here-documents
  struct Waiting {
    std::uint32_t node;
    std::size_t index;
    std::string delimiter;
  };
  void read_bodies(bool at_end) {
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

  // ---- words
  void scan_single_quote() {
    const std::size_t end = text_.find('\'', at_);
    if (end == k_none) return fail_incomplete();
    at_ = end + 1;
  }
  void scan_ansi_quote() {
    while (at_ < text_.size()) {
      if (text_[at_] == '\\') {
        at_ += 2;
      } else if (text_[at_++] == '\'') {
        return;
      }
    }
    fail_incomplete();
  }
  void scan_backtick() {
    while (at_ < text_.size()) {
      if (text_[at_] == '\\') {
        at_ += 2;
      } else if (text_[at_++] == '`') {
        return;
      }
    }
    fail_incomplete();
  }
  void scan_double_quote() {
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
  void scan_parenthesis() {
    if (++depth_ > k_deepest) {
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
  void scan_brace_expansion() {
    if (++depth_ > k_deepest) return fail();
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
  /// Just behind `((`: through the matching `))`.
  void scan_arithmetic() {
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
  void scan_dollar(bool is_in_quotes) {
    if (depth_ >= k_deepest) return fail();
    const int outer = depth_++;
    scan_dollar_inside(is_in_quotes, outer);
    depth_ = outer;
  }
  void scan_dollar_inside(bool is_in_quotes, int outer) {
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
  /// One word; stands at what ends it.
  void scan_word() {
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
  void scan_array() {
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
  void scan_pattern_group() {
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

  // ---- commands
  std::uint32_t make(NodeKind kind) {
    script_.nodes.emplace_back();
    script_.nodes.back().kind = kind;
    return static_cast<std::uint32_t>(script_.nodes.size() - 1);
  }
  Node& node(std::uint32_t index) { return script_.nodes[index]; }

  /// The unquoted reserved word that stands here, or "".
  [[nodiscard]] std::string_view reserved() const {
    static constexpr std::array<std::string_view, 21> k_words{"if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until",
                                                              "for", "{", "}", "!", "[[", "]]", "function", "select", "time", "in"};
    std::size_t end = at_;
    while (end < text_.size() && !is_meta(text_[end]) && end - at_ < 9) ++end;
    const std::string_view word = text_.substr(at_, end - at_);
    return std::find(k_words.begin(), k_words.end(), word) != k_words.end() ? word : std::string_view();
  }
  void expect(std::string_view word) {
    skip_lines();
    if (failed_) return;
    if (at_ >= text_.size()) return fail_incomplete();
    if (reserved() != word) return fail();
    at_ += word.size();
  }
  [[nodiscard]] bool ends_list(std::string_view ends) const {
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

  /// Commands up to one of the words in `ends` (or `)`, `;;`, the end), which is not taken.
  std::uint32_t list(std::string_view ends) {
    const std::uint32_t self = make(NodeKind::sequence);
    if (++depth_ > k_deepest) {
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
  void add_item(std::uint32_t self, std::uint32_t item, Joint joint) {
    node(self).children.push_back(item);
    node(self).joints.push_back(joint);
  }

  std::uint32_t pipeline() {
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

  std::uint32_t command() {
    if (++depth_ > k_deepest) {
      fail();
      return make(NodeKind::sequence);
    }
    if (!spend(60)) return make(NodeKind::sequence);
    const std::uint32_t self = command_inside();
    --depth_;
    return self;
  }
  std::uint32_t command_inside() {
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

  std::optional<std::uint32_t> try_arithmetic() {
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

  std::uint32_t condition() {
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

  std::uint32_t for_loop() {
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
  void loop_body(std::uint32_t self) {
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

  std::uint32_t choice() {
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

  std::uint32_t test() {
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

  std::uint32_t function(std::string_view name) {
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

  // ---- redirections
  /// Takes one redirection if one stands here.
  bool redirect(std::uint32_t self) {
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
  void redirects(std::uint32_t self) {
    while (!failed_) {
      skip_blanks();
      if (!redirect(self)) return;
    }
  }

  std::uint32_t simple() {
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

  std::string_view text_;
  std::uint64_t& budget_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false;
  bool incomplete_ = false;
  std::vector<Waiting> waiting_;
  Script script_;
};

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

Script parse_script(std::string_view text, std::uint64_t& budget) { return Parser(text, budget).run(); }

std::size_t word_end(std::string_view text, std::size_t at, std::uint64_t& budget) { return Parser(text, budget).word(at); }

std::size_t closing_parenthesis(std::string_view text, std::size_t at, std::uint64_t& budget) { return Parser(text, budget).parenthesis(at); }

namespace {

std::size_t quote_end(std::string_view text, std::size_t at, char quote, std::uint64_t& budget, int depth);

std::size_t brace_end(std::string_view text, std::size_t at, std::uint64_t& budget, int depth) {
  if (depth > k_deepest) return k_none;
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
  if (depth > k_deepest) return k_none;
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
