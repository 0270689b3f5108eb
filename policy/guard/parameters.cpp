// `$name` and `${name...}`: values, defaults, slices, what is cut off or replaced.
#include <algorithm>
#include <cctype>

#include "policy/guard/decoders.h"
#include "policy/guard/expansion.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {
namespace {

constexpr std::size_t k_none = std::string_view::npos;

std::string case_changed(std::string text, bool upper, bool all) {
  for (std::size_t i = 0; i < text.size() && (all || i == 0); ++i) {
    text[i] = static_cast<char>(upper ? std::toupper(static_cast<unsigned char>(text[i])) : std::tolower(static_cast<unsigned char>(text[i])));
  }
  return text;
}

}  // namespace

std::optional<std::vector<std::string>> Expansion::values_of(std::string_view name, bool& is_list) {
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
  const Variable* found = walk_.find_variable(base);
  if (found != nullptr && found->is_associative && !index.empty() && !is_whole) {
    const Variable known = *found;
    const std::string key = walk_.expand_string(index);
    if (has_hole(key)) return std::vector<std::string>{std::string(1, k_hole)};
    const auto at = std::find(known.keys.begin(), known.keys.end(), key);
    if (at == known.keys.end()) return std::nullopt;
    return std::vector<std::string>{known.items[static_cast<std::size_t>(at - known.keys.begin())]};
  }
  const std::string number = index.empty() || is_whole ? "0" : walk_.arithmetic(index);
  found = walk_.find_variable(base);
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

std::string Expansion::unset(std::string_view name, bool is_glued) {
  if (is_glued || name.empty() || !is_name_start(name[0])) return {};
  return std::string(1, k_hole);
}

void Expansion::variable(std::string_view name, bool is_quoted, bool glued) {
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

void Expansion::parameter(std::string_view inside, bool is_quoted, bool glued) {
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
      if (const Variable* keyed = walk_.find_variable(name.substr(0, name.find('['))); keyed != nullptr && keyed->is_associative) {
        put_list(keyed->keys, is_quoted, false);
        return;
      }
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

void Expansion::put_word(std::string_view word, bool is_quoted) {
  if (is_quoted) {
    fields_.add_quoted(operand(word));
  } else {
    this->word(word, false);
  }
}

std::vector<std::string> Expansion::slice_list(const std::vector<std::string>& values, std::string_view range, bool is_arguments) {
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

std::string Expansion::modified(const std::string& value, std::string_view rest) {
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
      case 'Q':
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

std::string Expansion::pattern_of(std::string_view raw) {
  Fields fields;
  fields.splits = false;
  Expansion inner(walk_, fields);
  inner.word(raw, false);
  return fields.current;
}

}  // namespace sallyport::guard
