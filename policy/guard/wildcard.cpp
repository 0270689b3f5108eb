#include "policy/guard/wildcard.h"

#include <algorithm>
#include <cctype>

#include "policy/guard/marked_text.h"

namespace sallyport::guard {
namespace {

constexpr std::size_t k_none = std::string_view::npos;
constexpr std::string_view k_marks("\x02\x04\x05\x06", 4);

bool is_star(char c, bool is_plain) { return c == k_star || (is_plain && c == '*'); }
bool is_any(char c, bool is_plain) { return c == k_any || (is_plain && c == '?'); }

/// A bracket expression at `at` (its `[`): does it hold `c`? Sets `end` behind it; false and end = 0 when it is none.
bool class_holds(std::string_view pattern, std::size_t at, char c, std::size_t& end) {
  const std::size_t close = pattern.find(']', at + 2);
  end = 0;
  if (close == k_none) return false;
  end = close + 1;
  std::string_view set = pattern.substr(at + 1, close - at - 1);
  const bool negated = !set.empty() && (set[0] == '!' || set[0] == '^');
  if (negated) set.remove_prefix(1);
  bool found = false;
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (i + 2 < set.size() && set[i + 1] == '-') {
      found = found || (c >= set[i] && c <= set[i + 2]);
      i += 2;
    } else {
      found = found || set[i] == c;
    }
  }
  return found != negated;
}

/// Two patterns over the same alphabet: is there a text that both match, and in how many letters do they agree in it at most? -1: none is.
/// A dot is no letter beside something unknown: nearly every name has one. Iterative, quadratic.
int agreement(std::string_view rule, std::string_view arg) {
  constexpr int k_apart = -1;
  const bool is_partly_unknown = arg.find(k_hole) != k_none;
  const auto arg_star = [&](std::size_t j) { return arg[j] == k_star || arg[j] == k_hole; };
  const auto counts = [&](char c) { return !is_partly_unknown || std::isalnum(static_cast<unsigned char>(c)) != 0; };
  // reach[j]: in how many letters rule[0..i) and arg[0..j) agree at most, when they can describe the same text.
  std::vector<int> reach(arg.size() + 1, k_apart);
  reach[0] = 0;
  for (std::size_t j = 0; j < arg.size(); ++j) {
    if (arg_star(j)) reach[j + 1] = reach[j];
  }
  for (std::size_t i = 0; i < rule.size(); ++i) {
    std::vector<int> next(arg.size() + 1, k_apart);
    for (std::size_t j = 0; j <= arg.size(); ++j) {
      if (rule[i] == '*') {
        next[j] = std::max(reach[j], j > 0 ? next[j - 1] : k_apart);
      } else if (j > 0 && arg_star(j - 1)) {
        next[j] = std::max(reach[j], next[j - 1]);
      } else if (j > 0 && reach[j - 1] != k_apart) {
        if (rule[i] == arg[j - 1]) next[j] = reach[j - 1] + (counts(rule[i]) ? 1 : 0);
        else if (rule[i] == '?' || arg[j - 1] == k_any || arg[j - 1] == k_class) next[j] = reach[j - 1] + 1;
      }
    }
    reach = std::move(next);
  }
  return reach[arg.size()];
}

/// Where every letter of the one is taken by a wildcard of the other, nothing says that they mean the same: `unix_*` is not taken for
/// `*.pth`, and for `*_rsa` not by its one letter either. An exception is given to all that it might name.
bool components_meet(std::string_view rule, std::string_view arg, Meeting meeting) {
  const int letters = agreement(rule, arg);
  if (meeting == Meeting::loose) return letters >= 0;
  return letters >= (rule.starts_with('*') ? 2 : 1);
}

/// A live bracket expression becomes `?` for the meeting of two patterns.
std::string without_classes(std::string_view component) {
  std::string out;
  for (std::size_t i = 0; i < component.size(); ++i) {
    if (component[i] == k_class) {
      const std::size_t close = component.find(']', i + 2);
      out.push_back(k_any);
      if (close != k_none) i = close;
    } else {
      out.push_back(component[i]);
    }
  }
  return out;
}

std::vector<std::string_view> split_path(std::string_view path) {
  std::vector<std::string_view> parts;
  std::size_t from = 0;
  while (from <= path.size()) {
    const std::size_t to = std::min(path.find('/', from), path.size());
    parts.push_back(path.substr(from, to - from));
    from = to + 1;
  }
  return parts;
}

}  // namespace

bool wildcard_match(std::string_view pattern, std::string_view text, bool is_plain) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star_p = k_none;
  std::size_t star_t = 0;
  while (t < text.size()) {
    if (p < pattern.size() && is_star(pattern[p], is_plain)) {
      star_p = p++;
      star_t = t;
      continue;
    }
    if (p < pattern.size()) {
      std::size_t end = 0;
      if (pattern[p] == k_class || (is_plain && pattern[p] == '[')) {
        const bool holds = class_holds(pattern, p, text[t], end);
        if (end != 0 && holds) {
          p = end;
          ++t;
          continue;
        }
        if (end == 0 && text[t] == '[') {
          ++p;
          ++t;
          continue;
        }
      } else if (is_any(pattern[p], is_plain) || pattern[p] == text[t]) {
        ++p;
        ++t;
        continue;
      }
    }
    if (star_p == k_none) return false;
    p = star_p + 1;
    t = ++star_t;
  }
  while (p < pattern.size() && is_star(pattern[p], is_plain)) ++p;
  return p == pattern.size();
}

namespace {

/// Told apart by the letters that differ most often, before the whole is compared.
bool are_same(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  if (a.empty()) return true;
  const std::size_t second = a.size() > 1 ? 1 : 0;
  return a[second] == b[second] && a.back() == b.back() && a == b;
}

}  // namespace

PathText::PathText(std::string_view path) : text(path), last(path.substr(path.rfind('/') + 1)) {
  const auto is_mark = [](char c) { return static_cast<unsigned char>(c) < 8; };
  has_marks = std::any_of(text.begin(), text.end(), is_mark);
  last_has_marks = has_marks && std::any_of(last.begin(), last.end(), is_mark);
}

const std::vector<std::string_view>& PathText::parts() const {
  if (parts_.empty()) parts_ = split_path(text);
  return parts_;
}

PathPattern::PathPattern(std::string_view pattern, Meeting meeting) : text_(pattern), last_(pattern.substr(pattern.rfind('/') + 1)), meeting_(meeting) {
  const auto is_wild = [](char c) { return c == '*' || c == '?'; };
  const std::vector<std::string_view> parts = split_path(pattern);
  parts_.reserve(parts.size());
  for (const std::string_view part : parts) {
    const bool is_plain = std::none_of(part.begin(), part.end(), is_wild);
    parts_.push_back(Part{part, part == "**" ? PartKind::any_depth : part == "*" ? PartKind::one : is_plain ? PartKind::plain : PartKind::wild});
    if (part == "**") last_any_depth_ = parts_.size() - 1;
  }
  is_anywhere_ = pattern.starts_with("**/");
  is_name_ = is_anywhere_ && parts.size() == 2;
  is_last_plain_ = parts_.back().kind == PartKind::plain;
  plain_length_ = static_cast<std::size_t>(std::find_if(pattern.begin(), pattern.end(), is_wild) - pattern.begin());
}

bool PathPattern::part_matches(const Part& part, std::string_view of_path, bool may_have_marks) const {
  if (part.kind == PartKind::one) return !of_path.empty();
  if (!may_have_marks || of_path.find_first_of(k_marks) == k_none) {
    return part.kind == PartKind::plain ? part.text == of_path : wildcard_match(part.text, of_path, true);
  }
  if (!part.text.empty() && part.text[0] == '.' && (of_path[0] == k_star || of_path[0] == k_any)) return false;  // wildcards leave hidden files out
  const std::string flat = without_classes(of_path);
  const auto is_letter = [](char c) { return c != k_star && c != k_any && c != k_hole; };
  if (std::none_of(flat.begin(), flat.end(), is_letter)) {
    // ??? may be etc, but * is nothing in particular.
    return std::all_of(flat.begin(), flat.end(), [](char c) { return c == k_any; }) && flat.size() > 1 && components_meet(part.text, flat, meeting_);
  }
  return components_meet(part.text, flat, meeting_);
}

bool PathPattern::parts_match(std::size_t at, const PathText& path, std::size_t from, int depth) const {
  if (depth > 8) return false;
  const std::vector<std::string_view>& parts = path.parts();
  while (at < parts_.size()) {
    if (parts_[at].kind == PartKind::any_depth) {
      if (at + 1 == parts_.size()) return true;
      const std::size_t left = parts_.size() - at - 1;
      if (at == last_any_depth_) {  // what is left stands at the end
        if (parts.size() < from + left) return false;
        return parts_match(at + 1, path, parts.size() - left, depth + 1);
      }
      for (std::size_t skip = from; skip <= parts.size(); ++skip) {
        if (parts_match(at + 1, path, skip, depth + 1)) return true;
      }
      return false;
    }
    if (from >= parts.size() || !part_matches(parts_[at], parts[from], path.has_marks)) return false;
    ++at;
    ++from;
  }
  return from == parts.size();
}

bool PathPattern::may_match(const PathText& path) const {
  constexpr std::size_t k_longest_path = 4096;  // the kernel takes no longer one
  if (path.text.size() > k_longest_path) return false;
  // The last component is plain text: the path's must be the same, or hold something live.
  if (is_last_plain_ && !path.last_has_marks && !are_same(path.last, last_)) return false;
  if (is_anywhere_) {
    // *.log names no file in particular: it is not taken for a name that may stand anywhere.
    if (is_name_ && !path.last.empty() && path.last[0] == k_star) return false;
    // The pattern of a relative path may begin anywhere: so says its `**`.
  } else {
    // Most patterns differ in their first letters: no need to look at the components.
    const std::size_t same = std::min(plain_length_, path.text.size());
    if (!path.has_marks) {
      if (!are_same(text_.substr(0, same), path.text.substr(0, same))) return false;
    } else {
      for (std::size_t i = 0; i < same; ++i) {
        if (text_[i] == path.text[i]) continue;
        if (static_cast<unsigned char>(path.text[i]) < 8) break;
        return false;
      }
    }
  }
  return parts_match(0, path, 0, 0);
}

bool path_may_match(std::string_view pattern, std::string_view path) { return PathPattern(pattern).may_match(PathText(path)); }

std::string clean_path(std::string_view path) {
  const bool is_absolute = path.starts_with('/');
  std::vector<std::string_view> kept;
  for (const std::string_view part : split_path(path)) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!kept.empty() && kept.back() != "..") {
        kept.pop_back();
        continue;
      }
      if (is_absolute) continue;
    }
    kept.push_back(part);
  }
  std::string out = is_absolute ? "/" : "";
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (i > 0) out.push_back('/');
    out += kept[i];
  }
  if (out.empty()) out.push_back('.');
  return out;
}

namespace {

constexpr std::size_t k_longest_matched = 100;  // patterns over longer values cost too much: the result is unknown

}  // namespace

std::string without_prefix(const std::string& value, std::string_view pattern, bool longest) {
  if (!has_glob(pattern)) return value.starts_with(pattern) ? value.substr(pattern.size()) : value;
  if (value.size() > k_longest_matched) return std::string(1, k_hole);
  for (std::size_t i = 0; i <= value.size(); ++i) {
    const std::size_t length = longest ? value.size() - i : i;
    if (wildcard_match(pattern, std::string_view(value).substr(0, length))) return value.substr(length);
  }
  return value;
}

std::string without_suffix(const std::string& value, std::string_view pattern, bool longest) {
  if (!has_glob(pattern)) return value.ends_with(pattern) ? value.substr(0, value.size() - pattern.size()) : value;
  if (value.size() > k_longest_matched) return std::string(1, k_hole);
  for (std::size_t i = 0; i <= value.size(); ++i) {
    const std::size_t from = longest ? i : value.size() - i;
    if (wildcard_match(pattern, std::string_view(value).substr(from))) return value.substr(0, from);
  }
  return value;
}

std::string replaced(const std::string& value, std::string_view pattern, std::string_view with, bool all) {
  if (pattern.empty()) return value;
  const bool at_start = !all && pattern.front() == '#';
  const bool at_end = !all && pattern.front() == '%';
  if (at_start || at_end) pattern.remove_prefix(1);
  const bool is_plain = !has_glob(pattern);
  if (!is_plain && value.size() > k_longest_matched) return std::string(1, k_hole);
  std::string out;
  std::size_t i = 0;
  bool done = pattern.empty();
  while (i < value.size()) {
    const std::string_view rest = std::string_view(value).substr(i);
    std::size_t length = k_none;
    if (!done && !(at_start && i != 0)) {
      if (is_plain) {
        if (rest.starts_with(pattern) && !(at_end && rest.size() != pattern.size())) length = pattern.size();
      } else {
        for (std::size_t n = rest.size(); n > 0; --n) {
          if (at_end && n != rest.size()) break;
          if (wildcard_match(pattern, rest.substr(0, n))) {
            length = n;
            break;
          }
        }
      }
    }
    if (length != k_none) {
      out += with;
      i += length;
      if (!all) done = true;
    } else {
      out.push_back(value[i++]);
    }
    if (out.size() > 64 * 1024) return std::string(1, k_hole);
  }
  return out;
}

}  // namespace sallyport::guard
