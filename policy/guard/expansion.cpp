// Words to fields: quotes, braces, tildes, parameters, substitutions, arithmetic, splitting.
#include <algorithm>
#include <array>
#include <cctype>

#include "policy/guard/decoders.h"
#include "policy/guard/walk.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {
namespace {

constexpr std::size_t k_none = std::string_view::npos;
constexpr std::size_t k_most_fields = 1024;
constexpr std::size_t k_longest_field = 64 * 1024;

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name_char(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }

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

/// {a,b} and {1..3}, outermost first. The text holds no live brace expansion afterwards.
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

std::string case_changed(std::string text, bool upper, bool all) {
  for (std::size_t i = 0; i < text.size() && (all || i == 0); ++i) {
    text[i] = static_cast<char>(upper ? std::toupper(static_cast<unsigned char>(text[i])) : std::tolower(static_cast<unsigned char>(text[i])));
  }
  return text;
}

}  // namespace

/// One word on its way to fields.
class Expansion {
 public:
  Expansion(Walk& walk, Fields& fields) : walk_(walk), fields_(fields) {}

  void word(std::string_view raw, bool is_assignment) {
    std::size_t i = 0;
    if (!raw.empty() && raw[0] == '~') i = tilde(raw, 0);
    while (i < raw.size() && walk_.spend(1)) {
      const char c = raw[i];
      if (c == '\\') {
        if (i + 1 < raw.size() && raw[i + 1] != '\n') {
          fields_.add(raw[i + 1]);
        }
        walk_.is_resolved_ = true;
        i += 2;
      } else if (c == '\'') {
        const std::size_t end = std::min(raw.find('\'', i + 1), raw.size());
        fields_.add_quoted(raw.substr(i + 1, end - i - 1));
        i = end + 1;
      } else if (c == '"') {
        std::size_t end = closing_quote(raw, i + 1, '"', walk_.budget_);
        if (end == k_none) end = raw.size();
        fields_.is_open = true;
        quoted(raw.substr(i + 1, end - i - 1));
        i = end + 1;
      } else if (c == '`' || c == '$') {
        i = dollar(raw, i, false);
      } else if ((c == '<' || c == '>') && i + 1 < raw.size() && raw[i + 1] == '(') {
        i = process_substitution(raw, i);
      } else if (c == '~' && is_assignment && i > 0 && (raw[i - 1] == '=' || raw[i - 1] == ':')) {
        i = tilde(raw, i);
      } else {
        fields_.add_bare(c);
        ++i;
      }
    }
  }

  /// The inside of double quotes.
  void quoted(std::string_view raw) {
    std::size_t i = 0;
    while (i < raw.size() && walk_.spend(1)) {
      const char c = raw[i];
      if (c == '\\' && i + 1 < raw.size() && std::string_view("$`\"\\\n").find(raw[i + 1]) != k_none) {
        if (raw[i + 1] != '\n') fields_.add(raw[i + 1]);
        i += 2;
      } else if (c == '`' || c == '$') {
        i = dollar(raw, i, true);
      } else {
        fields_.add(c);
        ++i;
      }
    }
  }

 private:
  std::size_t tilde(std::string_view raw, std::size_t at) {
    std::size_t end = at + 1;
    while (end < raw.size() && (is_name_char(raw[end]) || raw[end] == '-' || raw[end] == '+' || raw[end] == '.')) ++end;
    if (end < raw.size() && raw[end] != '/' && raw[end] != ':') {
      fields_.add('~');
      return at + 1;
    }
    const std::string_view user = raw.substr(at + 1, end - at - 1);
    if (user.empty()) {
      fields_.add_quoted(walk_.home());
    } else if (user == "root") {
      fields_.add_quoted("/root");
    } else if (user == "+") {
      fields_.add_quoted(walk_.cwd().empty() ? std::string(1, k_hole) : walk_.cwd());
    } else if (user == "-") {
      fields_.add(k_hole);
    } else {
      fields_.add_quoted("/home/" + std::string(user));
    }
    return end;
  }

  void put(std::string_view value, bool is_quoted) {
    if (!walk_.spend(value.size() / 8)) return;
    if (is_quoted) {
      fields_.add_quoted(value);
    } else {
      fields_.add_split(value);
    }
  }
  void put_list(const std::vector<std::string>& items, bool is_quoted, bool is_star) {
    if (is_star && is_quoted) {
      std::string all;
      for (std::size_t i = 0; i < items.size(); ++i) all += (i == 0 ? "" : " ") + items[i];
      fields_.add_quoted(all);
      return;
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) fields_.splits ? fields_.close() : fields_.add(' ');
      put(items[i], is_quoted);
    }
  }

  std::size_t process_substitution(std::string_view raw, std::size_t at) {
    const std::size_t end = closing_parenthesis(raw, at + 2, walk_.budget_);
    if (end == k_none) {
      fields_.add(k_hole);
      return raw.size();
    }
    const std::string_view inside = raw.substr(at + 2, end - at - 2);
    walk_.is_resolved_ = true;
    // A name of its own for each, so that what reads it finds its text.
    const std::string path = "/dev/fd/63." + std::to_string(walk_.overlay_.files.size());
    if (raw[at] == '<') {
      const Walk::Overlay before = walk_.saved();
      Output text = walk_.run_text(inside, Input{Input::Kind::nothing, "", ""}, "<( )");
      walk_.leave(before);
      KnownFile file;
      file.content = std::move(text);
      file.is_content_known = true;
      walk_.overlay_.files[path] = std::move(file);
    } else {
      const Walk::Overlay before = walk_.saved();
      (void)walk_.run_text(inside, Input{Input::Kind::pipe, std::nullopt, "another command"}, ">( )");
      walk_.leave(before);
    }
    fields_.add_quoted(path);
    return end + 1;
  }

  void substitution(std::string_view inside, bool is_quoted) {
    walk_.is_resolved_ = true;
    Output text;
    std::string_view trimmed = inside;
    while (!trimmed.empty() && (trimmed.front() == ' ' || trimmed.front() == '\n')) trimmed.remove_prefix(1);
    const Walk::Overlay before = walk_.saved();
    if (trimmed.starts_with('<') && !trimmed.starts_with("<<") && !trimmed.starts_with("<(")) {
      const std::string path = walk_.expand_string(trimmed.substr(1 + std::min(trimmed.substr(1).find_first_not_of(" \t"), trimmed.size() - 1)));
      Command read;
      read.argv = {"cat", path};
      read.is_resolved = true;
      walk_.emit(read);
      const KnownFile* file = walk_.find_file(path);
      text = file != nullptr && file->is_content_known ? file->content : std::string(1, k_hole);
    } else {
      text = walk_.run_text(inside, Input{}, "$( )");
    }
    walk_.leave(before);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    // Nothing printed by something unknown and nothing printed at all are different things.
    put(text, is_quoted);
  }

  /// At `$` or a backtick. Returns where the text goes on.
  std::size_t dollar(std::string_view raw, std::size_t at, bool is_quoted) {
    if (raw[at] == '`') {
      std::size_t end = closing_quote(raw, at + 1, '`', walk_.budget_);
      if (end == k_none) end = raw.size();
      std::string inside;
      for (std::size_t i = at + 1; i < end; ++i) {
        if (raw[i] == '\\' && i + 1 < end && (raw[i + 1] == '`' || raw[i + 1] == '\\' || raw[i + 1] == '$' || (is_quoted && raw[i + 1] == '"'))) ++i;
        inside.push_back(raw[i]);
      }
      substitution(inside, is_quoted);
      return end + 1;
    }
    if (at + 1 >= raw.size()) {
      fields_.add('$');
      return at + 1;
    }
    const char next = raw[at + 1];
    if (next == '(') {
      if (raw.substr(at).starts_with("$((")) {
        const std::size_t end = raw.find("))", at + 3);
        // The end that balances.
        std::size_t close = at + 3;
        int depth = 2;
        while (close < raw.size() && depth > 0) {
          if (raw[close] == '(') ++depth;
          if (raw[close] == ')') --depth;
          ++close;
        }
        if (end != k_none && depth == 0 && raw[close - 2] == ')') {
          walk_.is_resolved_ = true;
          put(walk_.arithmetic(raw.substr(at + 3, close - at - 5)), is_quoted);
          return close;
        }
      }
      const std::size_t end = closing_parenthesis(raw, at + 2, walk_.budget_);
      if (end == k_none) {
        fields_.add(k_hole);
        return raw.size();
      }
      substitution(raw.substr(at + 2, end - at - 2), is_quoted);
      return end + 1;
    }
    if (next == '{') {
      const std::size_t end = closing_brace(raw, at + 2, walk_.budget_);
      if (end == k_none) {
        fields_.add(k_hole);
        return raw.size();
      }
      walk_.is_resolved_ = true;
      parameter(raw.substr(at + 2, end - at - 2), is_quoted, is_glued(raw, at, end + 1));
      return end + 1;
    }
    if (next == '\'' && !is_quoted) {
      std::size_t end = at + 2;
      while (end < raw.size() && raw[end] != '\'') end += raw[end] == '\\' ? 2 : 1;
      end = std::min(end, raw.size());
      walk_.is_resolved_ = true;
      fields_.add_quoted(sanitise(decode_escapes(raw.substr(at + 2, end - at - 2), EscapeStyle::ansi_quote)));
      return end + 1;
    }
    if (next == '"' && !is_quoted) return at + 1;
    if (next == '[' && !is_quoted) {
      const std::size_t end = raw.find(']', at);
      if (end != k_none) {
        put(walk_.arithmetic(raw.substr(at + 2, end - at - 2)), is_quoted);
        return end + 1;
      }
    }
    std::size_t end = at + 1;
    if (is_name_start(next)) {
      while (end < raw.size() && is_name_char(raw[end])) ++end;
    } else if ((next >= '0' && next <= '9') || std::string_view("@*#?-$!").find(next) != k_none) {
      ++end;
    } else {
      fields_.add('$');
      return at + 1;
    }
    walk_.is_resolved_ = true;
    variable(raw.substr(at + 1, end - at - 1), is_quoted, is_glued(raw, at, end));
    return end;
  }

  /// Letters on either side: `r${zz}m` is written to vanish.
  static bool is_glued(std::string_view raw, std::size_t from, std::size_t to) {
    const auto is_letter = [](char c) { return is_name_char(c) || c == '-' || c == '.' || c == '\'' || c == '"' || c == '\\' || c == '$' || c == '`' || c == '}'; };
    const bool left = from > 0 && is_letter(raw[from - 1]);
    const bool right = to < raw.size() && is_letter(raw[to]);
    return left || right;
  }

  /// The values of a name; nullopt: not set.
  std::optional<std::vector<std::string>> values_of(std::string_view name, bool& is_list) {
    is_list = false;
    if (name == "@" || name == "*") {
      is_list = true;
      return walk_.arguments();
    }
    if (name == "#") return std::vector<std::string>{std::to_string(walk_.arguments().size())};
    if (name == "0") {
      const Variable* given = walk_.find_variable("0");
      return given != nullptr ? given->values : std::vector<std::string>{"bash"};
    }
    if (name == "?" ) return std::vector<std::string>{"0"};
    if (name == "$" || name == "!") return std::vector<std::string>{std::string(1, k_hole)};
    if (name == "-") return std::vector<std::string>{"himBHs"};
    if (!name.empty() && name[0] >= '0' && name[0] <= '9') {
      const std::size_t index = name.size() < 4 ? static_cast<std::size_t>(std::stoi(std::string(name))) : 9999;
      if (index - 1 < walk_.arguments().size()) return std::vector<std::string>{walk_.arguments()[index - 1]};
      return std::nullopt;
    }
    std::string_view base = name;
    std::string_view index;
    if (const std::size_t open = name.find('['); open != k_none && name.ends_with(']')) {
      base = name.substr(0, open);
      index = name.substr(open + 1, name.size() - open - 2);
    }
    // The index is expanded even where there is nothing to index.
    const bool is_whole = index == "@" || index == "*";
    const std::string number = index.empty() || is_whole ? "0" : walk_.arithmetic(index);
    const Variable* found = walk_.find_variable(base);
    if (found == nullptr) return std::nullopt;
    if (found->is_array) {
      if (is_whole) {
        is_list = true;
        return found->items;
      }
      if (has_hole(number) || number.empty() || number.size() > 4) return std::vector<std::string>{std::string(1, k_hole)};
      const int at = std::stoi(number);
      const auto size = static_cast<int>(found->items.size());
      if (at >= size || at + size < 0) return std::nullopt;
      return std::vector<std::string>{found->items[static_cast<std::size_t>(at < 0 ? at + size : at)]};
    }
    if (found->values.empty()) return std::nullopt;
    walk_.choices_seen_ = std::max(walk_.choices_seen_, found->values.size());
    return std::vector<std::string>{found->values[std::min(walk_.choice_, found->values.size() - 1)]};
  }

  /// A variable that nobody set here: it may come from the environment.
  static std::string unset(std::string_view name, bool is_glued) {
    if (is_glued || name.empty() || !is_name_start(name[0])) return {};
    return std::string(1, k_hole);
  }

  void variable(std::string_view name, bool is_quoted, bool glued) {
    bool is_list = false;
    const auto values = values_of(name, is_list);
    if (!values) {
      put(unset(name, glued), is_quoted);
    } else if (is_list) {
      put_list(*values, is_quoted, name == "*" || name.ends_with("[*]"));
    } else {
      put(values->front(), is_quoted);
    }
  }

  std::string operand(std::string_view raw) { return walk_.expand_string(raw); }

  /// What stands between `${` and `}`.
  void parameter(std::string_view inside, bool is_quoted, bool glued) {
    if (inside.empty()) return;
    if (inside[0] == '#' && inside.size() > 1) {
      bool is_list = false;
      const auto values = values_of(inside.substr(1), is_list);
      if (is_list || !values) {
        put(std::to_string(values ? values->size() : 0), is_quoted);
      } else {
        put(has_hole(values->front()) ? std::string(1, k_hole) : std::to_string(values->front().size()), is_quoted);
      }
      return;
    }
    bool is_indirect = false;
    if (inside[0] == '!' && inside.size() > 1) {
      is_indirect = true;
      inside.remove_prefix(1);
    }
    std::size_t end = 0;
    if (is_name_start(inside[0])) {
      while (end < inside.size() && is_name_char(inside[end])) ++end;
      if (end < inside.size() && inside[end] == '[') {
        const std::size_t close = inside.find(']', end);
        if (close != k_none) end = close + 1;
      }
    } else if (inside[0] >= '0' && inside[0] <= '9') {
      while (end < inside.size() && inside[end] >= '0' && inside[end] <= '9') ++end;
    } else {
      end = 1;
    }
    const std::string_view name = inside.substr(0, end);
    std::string_view rest = inside.substr(end);
    bool is_list = false;
    auto values = values_of(name, is_list);
    if (is_indirect) {
      if (rest == "*" || rest == "@") {  // names that begin so
        fields_.add(k_hole);
        return;
      }
      if (values && name.ends_with(']') && is_list) {  // the indices
        fields_.add(k_hole);
        return;
      }
      const std::string target = values ? values->front() : std::string();
      if (has_hole(target) || target.empty()) {
        fields_.add(k_hole);
        return;
      }
      values = values_of(target, is_list);
    }
    if (rest.empty()) {
      if (!values) {
        put(unset(name, glued), is_quoted);
      } else if (is_list) {
        put_list(*values, is_quoted, name == "*" || name.ends_with("[*]"));
      } else {
        put(values->front(), is_quoted);
      }
      return;
    }
    const bool has_colon = rest[0] == ':' && rest.size() > 1 && std::string_view("-=+?").find(rest[1]) != k_none;
    const char op = has_colon ? rest[1] : rest[0];
    if (std::string_view("-=+?").find(op) != k_none) {
      const std::string_view word = rest.substr(has_colon ? 2 : 1);
      const bool is_set = values && !(has_colon && values->size() == 1 && values->front().empty()) && !(is_list && values->empty());
      if (op == '+') {
        // Not set here may be set in the environment: what it would give is taken.
        if (is_set || (!values && !word.empty())) put_word(word, is_quoted);
        return;
      }
      if (is_set) {
        put_list(*values, is_quoted, false);
        return;
      }
      if (op == '=') walk_.set_variable(name, operand(word));
      if (op == '?') {
        put(unset(name, glued), is_quoted);
      } else {
        put_word(word, is_quoted);
      }
      return;
    }
    if (!values) {
      put(unset(name, glued), is_quoted);
      return;
    }
    std::vector<std::string> changed;
    if (is_list && rest[0] == ':') {
      changed = slice_list(*values, rest.substr(1), name == "@" || name == "*");
    } else {
      for (const std::string& value : *values) changed.push_back(modified(value, rest));
    }
    put_list(changed, is_quoted, false);
  }

  void put_word(std::string_view word, bool is_quoted) {
    if (is_quoted) {
      fields_.add_quoted(operand(word));
    } else {
      this->word(word, false);
    }
  }

  std::vector<std::string> slice_list(const std::vector<std::string>& values, std::string_view range, bool is_arguments) {
    const std::size_t colon = range.find(':');
    const std::string from = walk_.arithmetic(range.substr(0, colon));
    const std::string count = colon == k_none ? "9999" : walk_.arithmetic(range.substr(colon + 1));
    if (has_hole(from) || has_hole(count) || from.size() > 5 || count.size() > 5) return {std::string(1, k_hole)};
    std::vector<std::string> all = values;
    if (is_arguments) all.insert(all.begin(), "bash");
    int first = std::stoi(from);
    const int size = static_cast<int>(all.size());
    if (first < 0) first += size;
    std::vector<std::string> out;
    for (int i = std::max(first, 0), n = std::stoi(count); i < size && n > 0; ++i, --n) out.push_back(all[static_cast<std::size_t>(i)]);
    return out;
  }

  std::string modified(const std::string& value, std::string_view rest) {
    const char op = rest[0];
    const bool doubled = rest.size() > 1 && rest[1] == op;
    if (op == '^') return case_changed(value, true, doubled);
    if (op == ',') return case_changed(value, false, doubled);
    if (op == '@' && rest.size() == 2) {
      switch (rest[1]) {
        case 'U': return case_changed(value, true, true);
        case 'u': return case_changed(value, true, false);
        case 'L': return case_changed(value, false, true);
        case 'E': return sanitise(decode_escapes(value, EscapeStyle::ansi_quote));
        case 'Q': return value;
        case 'P': return value;
        default: return std::string(1, k_hole);
      }
    }
    if (op == ':') {
      if (has_hole(value)) return std::string(1, k_hole);
      const std::size_t colon = rest.find(':', 1);
      const std::string from = walk_.arithmetic(rest.substr(1, colon == k_none ? k_none : colon - 1));
      const std::string count = colon == k_none ? "99999" : walk_.arithmetic(rest.substr(colon + 1));
      if (has_hole(from) || has_hole(count) || from.size() > 5 || count.size() > 5) return std::string(1, k_hole);
      const int size = static_cast<int>(value.size());
      int first = from.empty() ? 0 : std::stoi(from);
      if (first < 0) first += size;
      if (first < 0 || first > size) return {};
      int length = std::stoi(count);
      if (length < 0) length = size + length - first;
      return value.substr(static_cast<std::size_t>(first), static_cast<std::size_t>(std::max(length, 0)));
    }
    if (op == '#' || op == '%') {
      if (has_hole(value)) return std::string(1, k_hole);
      const std::string pattern = pattern_of(rest.substr(doubled ? 2 : 1));
      if (!walk_.spend(has_glob(pattern) ? value.size() * value.size() / 8 : value.size() / 8)) return std::string(1, k_hole);
      return op == '#' ? without_prefix(value, pattern, doubled) : without_suffix(value, pattern, doubled);
    }
    if (op == '/') {
      if (has_hole(value)) return std::string(1, k_hole);
      const std::string_view body = rest.substr(doubled ? 2 : 1);
      std::size_t slash = k_none;
      for (std::size_t i = 0; i < body.size(); ++i) {
        if (body[i] == '\\') {
          ++i;
        } else if (body[i] == '/' && i > 0) {
          slash = i;
          break;
        }
      }
      const std::string pattern = pattern_of(body.substr(0, slash));
      const std::string with = slash == k_none ? std::string() : operand(body.substr(slash + 1));
      // Each place, each length, each way of the pattern's wildcards.
      const std::size_t length = std::min<std::size_t>(value.size(), 1000);
      if (!walk_.spend(has_glob(pattern) ? length * length * length / 16 : value.size() / 4)) return std::string(1, k_hole);
      return replaced(value, pattern, with, doubled);
    }
    return std::string(1, k_hole);
  }
  /// A pattern with its live wildcards marked.
  std::string pattern_of(std::string_view raw) {
    Fields fields;
    fields.splits = false;
    Expansion inner(walk_, fields);
    inner.word(raw, false);
    return fields.current;
  }

  Walk& walk_;
  Fields& fields_;
};

std::vector<std::string> Walk::expand_words(const std::vector<std::string_view>& raw) {
  Fields fields;
  if (const Variable* ifs = find_variable("IFS"); ifs != nullptr && !ifs->values.empty() && !has_hole(ifs->values[0])) fields.separators = ifs->values[0];
  for (const std::string_view word : raw) {
    if (!spend(4)) break;
    if (word.find('{') == k_none) {
      Expansion(*this, fields).word(word, false);
      fields.close();
      continue;
    }
    std::vector<std::string> parts;
    expand_braces(std::string(word), parts, budget_);
    if (parts.size() > 1) is_resolved_ = true;
    for (const std::string& part : parts) {
      Expansion(*this, fields).word(part, false);
      fields.close();
    }
  }
  return std::move(fields.done);
}

std::string Walk::expand_string(std::string_view raw) {
  Fields fields;
  fields.splits = false;
  Expansion(*this, fields).word(raw, true);
  return plain(fields.current);
}

std::string Walk::expand_here_document(std::string_view raw) {
  Fields fields;
  fields.splits = false;
  Expansion(*this, fields).quoted(raw);
  return fields.current;
}

}  // namespace sallyport::guard
