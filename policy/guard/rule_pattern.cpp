#include "policy/guard/rule_pattern.h"

#include <re2/re2.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "policy/guard/small_pattern.h"

namespace sallyport::guard {
namespace {

constexpr std::size_t k_none = std::string_view::npos;
constexpr std::size_t k_most_words = 48;  ///< in one list; beyond it the search costs more than it saves
constexpr std::size_t k_most_lists = 4;
constexpr int k_deepest = 16;

re2::StringPiece piece(std::string_view text) { return re2::StringPiece(text.data(), text.size()); }

re2::RE2::Options pattern_options(std::int64_t memory) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(memory);
  options.set_dot_nl(true);
  options.set_never_capture(true);
  return options;
}

/// `(?i)`, `(?is)` in front of everything: its length, or 0.
std::size_t flags_length(std::string_view pattern) {
  if (!pattern.starts_with("(?")) return 0;
  std::size_t at = 2;
  while (at < pattern.size() && (pattern[at] == 'i' || pattern[at] == 's')) ++at;
  return at > 2 && at < pattern.size() && pattern[at] == ')' ? at + 1 : 0;
}

/// Behind the bracket expression that begins at `at`; npos: it has no end.
std::size_t class_end(std::string_view pattern, std::size_t at) {
  ++at;
  if (at < pattern.size() && pattern[at] == '^') ++at;
  if (at < pattern.size() && pattern[at] == ']') ++at;
  for (; at < pattern.size(); ++at) {
    if (pattern[at] == '\\') {
      ++at;
    } else if (pattern[at] == '[' && at + 1 < pattern.size() && pattern[at + 1] == ':') {
      at = pattern.find(":]", at + 2);
      if (at == k_none) return k_none;
      ++at;
    } else if (pattern[at] == ']') {
      return at + 1;
    }
  }
  return k_none;
}

/// Reads an expression for the words that it cannot do without. Anything that it does not know makes the whole unknown.
class WordFinder {
 public:
  WordFinder(std::string_view pattern, bool in_small_letters) : pattern_(pattern), in_small_letters_(in_small_letters) {}

  [[nodiscard]] NeededWords find() {
    NeededWords lists = concatenation(0);
    if (is_unknown_ || at_ != pattern_.size()) return {};
    return lists;
  }

 private:
  [[nodiscard]] char peek() const { return at_ < pattern_.size() ? pattern_[at_] : '\0'; }

  enum class Times { once, once_or_more, perhaps };
  Times quantifier() {
    const char c = peek();
    if (c != '*' && c != '+' && c != '?' && c != '{') return Times::once;
    Times times = c == '+' ? Times::once_or_more : Times::perhaps;
    if (c == '{') {
      const std::size_t close = pattern_.find('}', at_);
      if (close == k_none || pattern_.substr(at_ + 1, close - at_ - 1).find_first_not_of("0123456789,") != k_none) {
        is_unknown_ = true;  // a letter like any other
        return Times::perhaps;
      }
      at_ = close;
    }
    ++at_;
    if (peek() == '?') ++at_;
    if (const char next = peek(); next == '*' || next == '+' || next == '{') is_unknown_ = true;
    return times;
  }

  NeededWords concatenation(int depth) {
    NeededWords lists;
    std::string run;
    const auto flush = [&] {
      if (run.size() > 1) lists.push_back({run});
      run.clear();
    };
    const auto letter = [&](char c) {
      const Times times = quantifier();
      if (times == Times::perhaps) return flush();
      run.push_back(in_small_letters_ && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
      if (times == Times::once_or_more) flush();
    };
    while (at_ < pattern_.size() && !is_unknown_) {
      const char c = pattern_[at_];
      if (c == '|' || c == ')') break;
      if (c == '(') {
        flush();
        std::vector<std::string> words = group(depth);
        if (quantifier() != Times::perhaps && !words.empty()) lists.push_back(std::move(words));
      } else if (c == '[') {
        flush();
        at_ = class_end(pattern_, at_);
        if (at_ == k_none) {
          is_unknown_ = true;
          break;
        }
        (void)quantifier();
      } else if (c == '\\') {
        if (at_ + 1 >= pattern_.size()) {
          is_unknown_ = true;
          break;
        }
        const char next = pattern_[at_ + 1];
        at_ += 2;
        if (std::string_view("dDwWsSbBAzntrfva").find(next) != k_none) {
          flush();
          (void)quantifier();
        } else if ((next >= '0' && next <= '9') || (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z')) {
          is_unknown_ = true;
        } else {
          letter(next);
        }
      } else if (c == '.' || c == '^' || c == '$') {
        flush();
        ++at_;
        (void)quantifier();
      } else if (c == '*' || c == '+' || c == '?' || c == '{' || static_cast<unsigned char>(c) >= 0x80) {
        is_unknown_ = true;  // a quantifier of nothing; a letter of several bytes, of which a quantifier would take all
      } else {
        ++at_;
        letter(c);
      }
    }
    flush();
    // The longest say most.
    const auto shortest = [](const std::vector<std::string>& list) { return std::min_element(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); })->size(); };
    std::stable_sort(lists.begin(), lists.end(), [&](const auto& a, const auto& b) { return shortest(a) > shortest(b); });
    if (lists.size() > k_most_lists) lists.resize(k_most_lists);
    return lists;
  }

  /// From the `(`: the words of which one must be there, whichever alternative holds; empty: unknown.
  std::vector<std::string> group(int depth) {
    ++at_;
    const bool is_in_any_letters = pattern_.substr(at_).starts_with("?i:");
    if (peek() == '?') {
      if (!is_in_any_letters && !pattern_.substr(at_).starts_with("?:")) is_unknown_ = true;
      at_ += is_in_any_letters ? 3 : 2;
    }
    if (depth > k_deepest) is_unknown_ = true;
    std::vector<std::string> words;
    bool every = true;
    while (!is_unknown_) {
      NeededWords lists = concatenation(depth + 1);
      if (lists.empty() || words.size() + lists.front().size() > k_most_words) {
        every = false;
      } else {
        words.insert(words.end(), lists.front().begin(), lists.front().end());
      }
      if (at_ >= pattern_.size()) {
        is_unknown_ = true;
        break;
      }
      if (pattern_[at_++] == ')') break;
    }
    return every && !is_unknown_ && !is_in_any_letters ? words : std::vector<std::string>();
  }

  std::string_view pattern_;
  bool in_small_letters_;
  std::size_t at_ = 0;
  bool is_unknown_ = false;
};

/// Where the outermost `|` stand; nullopt: flags in the middle, a quotation, or what is no expression.
std::optional<std::vector<std::size_t>> outermost_bars(std::string_view pattern) {
  std::vector<std::size_t> found;
  std::size_t open = 0;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    switch (pattern[at]) {
      case '\\':
        if (at + 1 == pattern.size() || pattern[at + 1] == 'Q') return std::nullopt;
        ++at;
        break;
      case '[':
        at = class_end(pattern, at);
        if (at == k_none) return std::nullopt;
        --at;
        break;
      case '(': {
        ++open;
        const std::string_view rest = pattern.substr(at + 1);
        if (rest.starts_with('?') && !rest.starts_with("?:") && !rest.starts_with("?i:")) return std::nullopt;
        break;
      }
      case ')':
        if (open-- == 0) return std::nullopt;
        break;
      case '|':
        if (open == 0) found.push_back(at);
        break;
      default: break;
    }
  }
  return open == 0 ? std::optional(std::move(found)) : std::nullopt;
}

/// The letters that a text begins with when it matches `branch`: `^aws ` and the like; may be empty.
std::string_view beginning_of(std::string_view branch) {
  if (!branch.starts_with('^')) return {};
  branch.remove_prefix(1);
  std::size_t end = 0;
  const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ' || c == '-' || c == '_' || c == '/'; };
  while (end < branch.size() && is_plain(branch[end])) ++end;
  if (end > 0 && end < branch.size() && std::string_view("*+?{").find(branch[end]) != k_none) --end;
  return branch.substr(0, end);
}

/// Behind `^(?:`: the first letters of its alternatives, when each has one that is plain; empty: unknown.
std::string first_letters_of(std::string_view branch) {
  if (!branch.starts_with("^(?:")) return {};
  branch.remove_prefix(4);
  std::string letters;
  std::size_t open = 0;
  bool is_first = true;
  for (std::size_t at = 0; at < branch.size(); ++at) {
    const char c = branch[at];
    if (is_first) {
      const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      if (!is_plain || (at + 1 < branch.size() && std::string_view("*?{").find(branch[at + 1]) != k_none)) return {};
      letters.push_back(c);
      is_first = false;
    } else if (c == '\\') {
      ++at;
    } else if (c == '[') {
      at = class_end(branch, at);
      if (at == k_none) return {};
      --at;
    } else if (c == '(') {
      ++open;
    } else if (c == '|') {
      is_first = open == 0;
    } else if (c == ')' && open-- == 0) {
      return at + 1 < branch.size() && std::string_view("*?{").find(branch[at + 1]) != k_none ? std::string() : letters;
    }
  }
  return {};
}

bool ignores_capitals(std::string_view branch) { return branch.substr(0, flags_length(branch)).find('i') != k_none; }

struct NeededWord {
  explicit NeededWord(std::string word) : text(std::move(word)), pairs(text) {}
  std::string text;
  LetterPairs pairs;
};

}  // namespace

LetterPairs::LetterPairs(std::string_view text) {
  unsigned before = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const unsigned small = static_cast<unsigned char>(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
    if (i > 0) {
      const unsigned pair = (before * 37U + small) & 255U;
      bits[pair >> 6U] |= std::uint64_t{1} << (pair & 63U);
    }
    before = small;
  }
}

std::vector<std::string> branches_of(std::string_view pattern) {
  const std::size_t flags = flags_length(pattern);
  const std::string_view rest = pattern.substr(flags);
  const auto bars = outermost_bars(rest);
  if (!bars) return {std::string(pattern)};
  std::vector<std::string> out;
  std::size_t from = 0;
  for (std::size_t n = 0; n <= bars->size(); ++n) {
    const std::size_t to = n < bars->size() ? (*bars)[n] : rest.size();
    out.push_back(std::string(pattern.substr(0, flags)) + std::string(rest.substr(from, to - from)));
    from = to + 1;
  }
  return out;
}

NeededWords needed_words(std::string_view branch) { return WordFinder(branch.substr(flags_length(branch)), ignores_capitals(branch)).find(); }

struct RulePattern::Branch {
  static constexpr std::uint32_t k_seldom = 4;
  static constexpr std::int64_t k_memory = 128 << 10;
  static constexpr std::int64_t k_most_memory = 1 << 20;  // what rules are checked with

  std::string text;
  std::string_view beginning;
  std::string first_letters;
  std::once_flag once_words;
  std::vector<std::vector<NeededWord>> needed;
  bool in_small_letters = false;
  std::atomic<std::uint32_t> times_asked{0};
  std::once_flag once_small;
  std::optional<SmallPattern> quick;
  std::once_flag once;
  std::unique_ptr<re2::RE2> compiled;

  void read(std::string made) {
    text = std::move(made);
    beginning = beginning_of(text);
    first_letters = first_letters_of(text);
    in_small_letters = ignores_capitals(text);
  }
  [[nodiscard]] bool matches(const SearchedText& of, bool otherwise) {
    if (!of.text.starts_with(beginning)) return false;
    if (!first_letters.empty() && (of.text.empty() || first_letters.find(of.text[0]) == k_none)) return false;
    std::call_once(once_small, [&] { quick = SmallPattern::read(text); });
    // Looking for words pays off for what is asked often.
    if (!(quick && quick->is_anchored() && times_asked.fetch_add(1, std::memory_order_relaxed) < k_seldom) && !has_needed_words(of)) return false;
    if (quick) {
      if (const auto found = quick->found_in(of.text)) return *found;
    }
    const re2::RE2& whole = expression();
    return whole.ok() ? re2::RE2::PartialMatch(piece(of.text), whole) : otherwise;
  }

 private:
  [[nodiscard]] bool has_needed_words(const SearchedText& of) {
    std::call_once(once_words, [&] {
      for (std::vector<std::string>& list : needed_words(text)) {
        std::vector<NeededWord>& made = needed.emplace_back();
        for (std::string& word : list) made.emplace_back(std::move(word));
      }
    });
    const auto has = [&](std::string_view where, const NeededWord& word) { return of.pairs.hold(word.pairs) && where.find(word.text) != k_none; };
    const auto has_every = [&](std::string_view where) {
      return std::all_of(needed.begin(), needed.end(), [&](const auto& list) { return std::any_of(list.begin(), list.end(), [&](const NeededWord& word) { return has(where, word); }); });
    };
    if (needed.empty()) return true;
    if (!in_small_letters) return has_every(of.text);
    std::string small(of.text);
    for (char& c : small) {
      if (static_cast<unsigned char>(c) >= 0x80) return true;  // some letters beyond ASCII are capitals of small ones within
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return has_every(small);
  }
  [[nodiscard]] const re2::RE2& expression() {
    std::call_once(once, [&] {
      compiled = std::make_unique<re2::RE2>(piece(text), pattern_options(k_memory));
      if (!compiled->ok()) compiled = std::make_unique<re2::RE2>(piece(text), pattern_options(k_most_memory));
    });
    return *compiled;
  }
};

RulePattern::RulePattern() = default;
RulePattern::~RulePattern() = default;

bool RulePattern::matches(std::string_view pattern, const SearchedText& text, bool otherwise) const {
  std::call_once(once_, [&] {
    std::vector<std::string> texts = branches_of(pattern);
    branches_ = std::make_unique<Branch[]>(texts.size());
    count_ = texts.size();
    for (std::size_t i = 0; i < count_; ++i) branches_[i].read(std::move(texts[i]));
  });
  for (std::size_t i = 0; i < count_; ++i) {
    if (branches_[i].matches(text, otherwise)) return true;
  }
  return false;
}

}  // namespace sallyport::guard
