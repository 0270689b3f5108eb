// policy/guard/syntax.h -- the shell grammar: text to a tree of commands.
//
// A parser of our own for bash's grammar (POSIX shell and the bash additions). Words keep their source text; policy/guard/expansion.cpp
// reads them. Nothing is recovered from an error: a text that bash would refuse, or that this parser does not know, is `is_error`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::guard {

enum class RedirectOp : std::uint8_t { read, write, append, read_write, here_document, here_string, duplicate_in, duplicate_out, both, both_append };

struct RedirectNode {
  RedirectOp op = RedirectOp::write;
  int fd = -1;                   ///< -1: the operator's own
  std::string_view target;       ///< word; for a here-document its delimiter
  std::string_view body;         ///< here-document
  bool is_literal = false;       ///< here-document with a quoted delimiter: nothing is expanded
  bool strips_tabs = false;      ///< <<-
};

enum class NodeKind : std::uint8_t {
  simple, pipeline, sequence, subshell, group, condition, loop, for_words, for_arithmetic, choice, function, test, arithmetic,
};
enum class Joint : std::uint8_t { then, conditional, background };

struct Node {
  NodeKind kind = NodeKind::simple;
  std::vector<std::string_view> assignments;  ///< simple: "a=1" in front
  std::vector<std::string_view> words;        ///< simple: words; for: the list; case: subject; test: everything between [[ and ]]
  std::vector<RedirectNode> redirects;
  std::vector<std::uint32_t> children;        ///< pipeline: stages; sequence: items; if/while: parts in order; case: bodies
  std::vector<Joint> joints;                  ///< sequence: how item i is reached
  std::vector<bool> in_background;            ///< sequence: `&` after item i; as long as the last of them
  std::vector<bool> pipes_stderr;             ///< pipeline: `|&` after stage i
  std::string_view name;                      ///< for variable, function name
  std::string_view source;                    ///< simple: from its first word; function: the body; arithmetic: the expression
  bool has_in = false;                        ///< for: `in` was there
};

struct Script {
  std::vector<Node> nodes;
  std::uint32_t root = 0;
  bool is_incomplete = false;
  bool is_error = false;
};

/// `text` must outlive the script. `budget` counts down with the work; at zero the script is an error.
[[nodiscard]] Script parse_script(std::string_view text, std::uint64_t& budget);

/// Where the shell's word that starts at `at` ends.
[[nodiscard]] std::size_t word_end(std::string_view text, std::size_t at, std::uint64_t& budget);
/// `at` is just behind `$(`, `<(` or `(`; the place of the closing parenthesis, or npos.
[[nodiscard]] std::size_t closing_parenthesis(std::string_view text, std::size_t at, std::uint64_t& budget);
/// `at` is just behind `${`; the place of the closing brace, or npos.
[[nodiscard]] std::size_t closing_brace(std::string_view text, std::size_t at, std::uint64_t& budget);
/// `at` is just behind the opening quote or backtick; the place of the closing one, or npos.
[[nodiscard]] std::size_t closing_quote(std::string_view text, std::size_t at, char quote, std::uint64_t& budget);

/// "name=" or "name+=" or "name[...]=" at the start: the length up to and with `=`; 0 when it is none.
[[nodiscard]] std::size_t assignment_prefix(std::string_view word) noexcept;
[[nodiscard]] bool is_name(std::string_view text) noexcept;
[[nodiscard]] inline bool is_name_start(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
[[nodiscard]] inline bool is_name_char(char c) noexcept { return is_name_start(c) || (c >= '0' && c <= '9'); }

}  // namespace sallyport::guard
