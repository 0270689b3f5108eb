// Words to fields: quotes, tildes, substitutions, splitting.
#include "policy/guard/expansion.h"

#include <algorithm>

#include "policy/guard/decoders.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {
namespace {

constexpr std::size_t k_none = std::string_view::npos;

}  // namespace

void Expansion::word(std::string_view raw, bool is_assignment) {
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

void Expansion::quoted(std::string_view raw) {
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

std::size_t Expansion::tilde(std::string_view raw, std::size_t at) {
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

void Expansion::put(std::string_view value, bool is_quoted) {
  if (!walk_.spend(value.size() / 8)) return;
  if (is_quoted) {
    fields_.add_quoted(value);
  } else {
    fields_.add_split(value);
  }
}

void Expansion::put_list(const std::vector<std::string>& items, bool is_quoted, bool is_star) {
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

std::size_t Expansion::process_substitution(std::string_view raw, std::size_t at) {
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

void Expansion::substitution(std::string_view inside, bool is_quoted) {
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

std::size_t Expansion::dollar(std::string_view raw, std::size_t at, bool is_quoted) {
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

bool Expansion::is_glued(std::string_view raw, std::size_t from, std::size_t to) {
  const auto is_letter = [](char c) { return is_name_char(c) || c == '-' || c == '.' || c == '\'' || c == '"' || c == '\\' || c == '$' || c == '`' || c == '}'; };
  const bool left = from > 0 && is_letter(raw[from - 1]);
  const bool right = to < raw.size() && is_letter(raw[to]);
  return left || right;
}

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
