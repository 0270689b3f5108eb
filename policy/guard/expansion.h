// policy/guard/expansion.h -- one word to fields; inside of the walk only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/guard/walk.h"

namespace sallyport::guard {

inline constexpr std::size_t k_most_fields = 1024;
inline constexpr std::size_t k_longest_field = 64 * 1024;

/// Fields as they grow.
struct Fields {
  std::vector<std::string> done;
  std::string current;
  bool is_open = false;
  bool splits = true;
  std::string separators = " \t\n";

  void close() {
    if (is_open && done.size() < k_most_fields) done.push_back(std::move(current));
    current.clear();
    is_open = false;
  }
  void add(char c) {
    is_open = true;
    if (current.size() < k_longest_field) current.push_back(c);
  }
  void add_quoted(std::string_view text) {
    is_open = true;
    if (current.size() + text.size() < k_longest_field) current += text;
  }
  void add_bare(char c) { add(c == '*' ? k_star : c == '?' ? k_any : c == '[' ? k_class : c); }
  void add_split(std::string_view text) {
    for (const char c : text) {
      if (splits && separators.find(c) != std::string::npos) {
        close();
      } else {
        add_bare(c);
      }
    }
  }
};

/// One word on its way to fields.
class Expansion {
 public:
  Expansion(Walk& walk, Fields& fields) : walk_(walk), fields_(fields) {}

  void word(std::string_view raw, bool is_assignment);

  /// The inside of double quotes.
  void quoted(std::string_view raw);

 private:
  std::size_t tilde(std::string_view raw, std::size_t at);

  void put(std::string_view value, bool is_quoted);
  void put_list(const std::vector<std::string>& items, bool is_quoted, bool is_star);

  std::size_t process_substitution(std::string_view raw, std::size_t at);

  void substitution(std::string_view inside, bool is_quoted);

  /// At `$` or a backtick. Returns where the text goes on.
  std::size_t dollar(std::string_view raw, std::size_t at, bool is_quoted);

  /// Letters on either side: `r${zz}m` is written to vanish.
  static bool is_glued(std::string_view raw, std::size_t from, std::size_t to);

  /// The values of a name; nullopt: not set.
  std::optional<std::vector<std::string>> values_of(std::string_view name, bool& is_list);

  /// A variable that nobody set here: it may come from the environment.
  static std::string unset(std::string_view name, bool is_glued);

  void variable(std::string_view name, bool is_quoted, bool glued);

  std::string operand(std::string_view raw) { return walk_.expand_string(raw); }

  /// What stands between `${` and `}`.
  void parameter(std::string_view inside, bool is_quoted, bool glued);

  void put_word(std::string_view word, bool is_quoted);

  std::vector<std::string> slice_list(const std::vector<std::string>& values, std::string_view range, bool is_arguments);

  std::string modified(const std::string& value, std::string_view rest);
  /// A pattern with its live wildcards marked.
  std::string pattern_of(std::string_view raw);

  Walk& walk_;
  Fields& fields_;
};

/// {a,b} and {1..3}, outermost first. The texts hold no live brace expansion afterwards.
void expand_braces(const std::string& raw, std::vector<std::string>& out, std::uint64_t& budget);

}  // namespace sallyport::guard
