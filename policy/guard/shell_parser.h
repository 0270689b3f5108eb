// policy/guard/shell_parser.h -- reads the shell grammar; inside of syntax.h only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/guard/syntax.h"

namespace sallyport::guard {

/// How deep lists, quotes and substitutions may stand inside each other.
inline constexpr int k_deepest_syntax = 40;

inline bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }
/// What ends an unquoted word.
inline bool is_meta(char c) { return is_blank(c) || c == '\n' || c == ';' || c == '&' || c == '|' || c == '(' || c == ')' || c == '<' || c == '>'; }

/// A recursive descent over the text. `failed_` is final: nothing is read after it.
class ShellParser {
 public:
  ShellParser(std::string_view text, std::uint64_t& budget) : text_(text), budget_(budget) {}

  Script run();
  /// The closing parenthesis of the list that starts at `at`, or npos.
  std::size_t parenthesis(std::size_t at);
  std::size_t word(std::size_t at);

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
  void skip_blanks();
  /// Blanks, comments and newlines; a newline brings the waiting here-documents.
  void skip_lines();

  // ---- here-documents
  struct Waiting {
    std::uint32_t node;
    std::size_t index;
    std::string delimiter;
  };
  void read_bodies(bool at_end);

  // ---- words
  void scan_single_quote();
  void scan_ansi_quote();
  void scan_backtick();
  void scan_double_quote();
  void scan_parenthesis();
  void scan_brace_expansion();
  /// Just behind `((`: through the matching `))`.
  void scan_arithmetic();
  void scan_dollar(bool is_in_quotes);
  void scan_dollar_inside(bool is_in_quotes, int outer);
  /// One word; stands at what ends it.
  void scan_word();
  void scan_array();
  void scan_pattern_group();

  // ---- commands
  std::uint32_t make(NodeKind kind) {
    script_.nodes.emplace_back();
    script_.nodes.back().kind = kind;
    return static_cast<std::uint32_t>(script_.nodes.size() - 1);
  }
  Node& node(std::uint32_t index) { return script_.nodes[index]; }

  /// The unquoted reserved word that stands here, or "".
  [[nodiscard]] std::string_view reserved() const;
  void expect(std::string_view word);
  [[nodiscard]] bool ends_list(std::string_view ends) const;

  /// Commands up to one of the words in `ends` (or `)`, `;;`, the end), which is not taken.
  std::uint32_t list(std::string_view ends);
  void add_item(std::uint32_t self, std::uint32_t item, Joint joint);

  std::uint32_t pipeline();

  std::uint32_t command();
  std::uint32_t command_inside();

  std::optional<std::uint32_t> try_arithmetic();

  std::uint32_t condition();

  std::uint32_t for_loop();
  void loop_body(std::uint32_t self);

  std::uint32_t choice();

  std::uint32_t test();

  std::uint32_t function(std::string_view name);

  // ---- redirections
  /// Takes one redirection if one stands here.
  bool redirect(std::uint32_t self);
  void redirects(std::uint32_t self);

  std::uint32_t simple();

  std::string_view text_;
  std::uint64_t& budget_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool failed_ = false;
  bool incomplete_ = false;
  std::vector<Waiting> waiting_;
  Script script_;
};

}  // namespace sallyport::guard
