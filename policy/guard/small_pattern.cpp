#include "policy/guard/small_pattern.h"

#include <algorithm>
#include <cstring>

namespace sallyport::guard {
namespace {

constexpr std::size_t k_most_steps = 2000;
constexpr std::size_t k_most_tried = std::size_t{1} << 16U;  ///< bits, one for each fork at each letter
constexpr std::size_t k_most_open = 4096;
constexpr int k_deepest = 16;
constexpr int k_most_times = 64;

using Letters = std::array<std::uint64_t, 2>;

bool has(const Letters& set, char c) { return ((set[static_cast<unsigned char>(c) >> 6U] >> (static_cast<unsigned>(c) & 63U)) & 1U) != 0; }
void put(Letters& set, char c) { set[static_cast<unsigned char>(c) >> 6U] |= std::uint64_t{1} << (static_cast<unsigned>(c) & 63U); }
Letters inverted(const Letters& set) { return {~set[0], ~set[1]}; }
bool is_small(char c) { return c >= 'a' && c <= 'z'; }
bool is_capital(char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return is_small(c) || is_capital(c) || is_digit(c) || c == '_'; }

template <typename Test>
Letters letters_that(const Test& test) {
  Letters out{};
  for (int c = 0; c < 128; ++c) {
    if (test(static_cast<char>(c))) put(out, static_cast<char>(c));
  }
  return out;
}

/// `\d`, `\S` ...; nullopt: no set.
std::optional<Letters> named_set(char name) {
  static const Letters k_digits = letters_that(is_digit);
  static const Letters k_words = letters_that(is_word);
  static const Letters k_blanks = letters_that([](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'; });
  switch (name) {
    case 'd': return k_digits;
    case 'D': return inverted(k_digits);
    case 'w': return k_words;
    case 'W': return inverted(k_words);
    case 's': return k_blanks;
    case 'S': return inverted(k_blanks);
    default: return std::nullopt;
  }
}

/// The letter behind a backslash; nullopt: something else.
std::optional<char> escaped(char c) {
  switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case 'f': return '\f';
    default: break;
  }
  if (is_small(c) || is_capital(c) || is_digit(c) || static_cast<unsigned char>(c) >= 0x80) return std::nullopt;
  return c;
}

}  // namespace

/// Writes the steps as it reads. Places are relative, so that a part may be moved as a whole.
class SmallPatternReader {
 public:
  explicit SmallPatternReader(std::string_view expression) : rest_(expression) { out_.steps_.reserve(expression.size() + 8); }

  std::optional<SmallPattern> read() {
    if (rest_.starts_with("(?")) {
      std::size_t at = 2;
      while (at < rest_.size() && (rest_[at] == 'i' || rest_[at] == 's')) ++at;
      if (at > 2 && at < rest_.size() && rest_[at] == ')') {
        ignores_capitals_ = rest_.substr(0, at).find('i') != std::string_view::npos;
        rest_.remove_prefix(at + 1);
      }
    }
    if (!alternatives(0) || !rest_.empty() || out_.steps_.size() > k_most_steps) return std::nullopt;
    add(SmallPattern::Op::found);
    out_.prepare();
    return std::move(out_);
  }

 private:
  using Op = SmallPattern::Op;
  using Step = SmallPattern::Step;

  SmallPattern::Step& add(Op op) {
    out_.steps_.emplace_back();
    out_.steps_.back().op = op;
    return out_.steps_.back();
  }
  void add_set(const Letters& set) {
    const auto known = std::find(out_.sets_.begin(), out_.sets_.end(), set);
    const auto index = static_cast<std::uint16_t>(known - out_.sets_.begin());
    if (known == out_.sets_.end()) out_.sets_.push_back(set);
    add(Op::set).index = index;
  }
  void add_letter(char c) {
    if (ignores_capitals_ && (is_small(c) || is_capital(c))) {
      Letters both{};
      put(both, c);
      put(both, static_cast<char>(c ^ 0x20));
      add_set(both);
    } else {
      add(Op::letter).letter = c;
    }
  }
  static std::int16_t distance(std::size_t from, std::size_t to) { return static_cast<std::int16_t>(static_cast<std::ptrdiff_t>(to) - static_cast<std::ptrdiff_t>(from)); }
  void insert_fork(std::size_t at, std::size_t second) {
    Step fork;
    fork.op = Op::fork;
    fork.first = 1;
    fork.second = distance(at, second);
    out_.steps_.insert(out_.steps_.begin() + static_cast<std::ptrdiff_t>(at), fork);
  }

  [[nodiscard]] bool alternatives(int depth) {
    if (depth > k_deepest) return false;
    std::vector<std::size_t> jumps;
    for (;;) {
      const std::size_t start = out_.steps_.size();
      if (!concatenation(depth)) return false;
      if (!rest_.starts_with('|')) break;
      rest_.remove_prefix(1);
      insert_fork(start, out_.steps_.size() + 2);
      jumps.push_back(out_.steps_.size());
      add(Op::jump);
    }
    if (out_.steps_.size() > k_most_steps) return false;
    for (const std::size_t at : jumps) out_.steps_[at].first = distance(at, out_.steps_.size());
    return true;
  }

  [[nodiscard]] bool concatenation(int depth) {
    while (!rest_.empty() && rest_.front() != '|' && rest_.front() != ')') {
      const std::size_t start = out_.steps_.size();
      if (!atom(depth) || !times(start) || out_.steps_.size() > k_most_steps) return false;
    }
    return true;
  }

  [[nodiscard]] bool atom(int depth) {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    switch (c) {
      case '(': return group(depth);
      case '[': return bracket();
      case '.': add_set(inverted({})); return true;
      case '^': add(Op::begin); return true;
      case '$': add(Op::end); return true;
      case '*':
      case '+':
      case '?':
      case '{': return false;
      case '\\': {
        if (rest_.empty()) return false;
        const char next = rest_.front();
        rest_.remove_prefix(1);
        if (next == 'b' || next == 'B') {
          add(next == 'b' ? Op::word_edge : Op::no_word_edge);
          return true;
        }
        if (const auto set = named_set(next)) {
          add_set(*set);
          return true;
        }
        const auto letter = escaped(next);
        if (letter) add_letter(*letter);
        return letter.has_value();
      }
      default:
        if (static_cast<unsigned char>(c) >= 0x80) return false;
        add_letter(c);
        return true;
    }
  }

  [[nodiscard]] bool group(int depth) {
    const bool outer = ignores_capitals_;
    if (rest_.starts_with("?:")) {
      rest_.remove_prefix(2);
    } else if (rest_.starts_with("?i:")) {
      rest_.remove_prefix(3);
      ignores_capitals_ = true;
    } else if (rest_.starts_with('?')) {
      return false;
    }
    if (!alternatives(depth + 1) || !rest_.starts_with(')')) return false;
    rest_.remove_prefix(1);
    ignores_capitals_ = outer;
    return true;
  }

  [[nodiscard]] bool bracket() {
    const bool is_inverted = rest_.starts_with('^');
    if (is_inverted) rest_.remove_prefix(1);
    Letters set{};
    const auto one = [&]() -> std::optional<char> {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (static_cast<unsigned char>(c) >= 0x80) return std::nullopt;
      if (c != '\\') return c;
      if (rest_.empty()) return std::nullopt;
      const char next = rest_.front();
      rest_.remove_prefix(1);
      return escaped(next);
    };
    for (bool is_first = true; ; is_first = false) {
      if (rest_.empty()) return false;
      if (rest_.front() == ']' && !is_first) break;
      if (rest_.starts_with("[:") || rest_.starts_with("[=") || rest_.starts_with("[.")) return false;
      if (rest_.front() == '-' && !is_first && !(rest_.size() > 1 && rest_[1] == ']')) return false;  // neither a range nor at an end
      if (rest_.front() == '\\' && rest_.size() > 1) {
        if (const auto named = named_set(rest_[1])) {
          set[0] |= (*named)[0];
          set[1] |= (*named)[1];
          rest_.remove_prefix(2);
          continue;
        }
      }
      const auto from = one();
      if (!from) return false;
      auto to = from;
      if (rest_.size() > 1 && rest_[0] == '-' && rest_[1] != ']') {
        rest_.remove_prefix(1);
        to = one();
        if (!to || *to < *from) return false;
      }
      for (int c = *from; c <= *to; ++c) put(set, static_cast<char>(c));
    }
    rest_.remove_prefix(1);
    if (ignores_capitals_) {
      for (char c = 'a'; c <= 'z'; ++c) {
        const char capital = static_cast<char>(c ^ 0x20);
        if (!has(set, c) && !has(set, capital)) continue;
        put(set, c);
        put(set, capital);
      }
    }
    add_set(is_inverted ? inverted(set) : set);
    return true;
  }

  /// How often the part that begins at `start` comes.
  [[nodiscard]] bool times(std::size_t start) {
    if (rest_.empty()) return true;
    const char c = rest_.front();
    if (c != '*' && c != '+' && c != '?' && c != '{') return true;
    int least = c == '+' ? 1 : 0;
    int most = c == '?' ? 1 : -1;
    rest_.remove_prefix(1);
    if (c == '{') {
      const auto number = [&]() -> std::optional<int> {
        if (rest_.size() > 1 && rest_[0] == '0' && is_digit(rest_[1])) return std::nullopt;  // no count to RE2, but letters
        int value = 0;
        std::size_t digits = 0;
        for (; !rest_.empty() && is_digit(rest_.front()) && digits < 3; ++digits) {
          value = value * 10 + (rest_.front() - '0');
          rest_.remove_prefix(1);
        }
        return digits > 0 ? std::optional(value) : std::nullopt;
      };
      const auto from = number();
      if (!from) return false;
      least = most = *from;
      if (rest_.starts_with(',')) {
        rest_.remove_prefix(1);
        if (!rest_.starts_with('}')) {
          const auto to = number();
          if (!to) return false;
          most = *to;
        } else {
          most = -1;
        }
      }
      if (!rest_.starts_with('}') || least > k_most_times || most > k_most_times || (most >= 0 && most < least)) return false;
      rest_.remove_prefix(1);
    }
    if (rest_.starts_with('?')) rest_.remove_prefix(1);  // which of several matches is found first does not matter
    if (!rest_.empty() && (rest_.front() == '*' || rest_.front() == '+' || rest_.front() == '?' || rest_.front() == '{')) return false;
    auto& steps = out_.steps_;
    const std::vector<Step> once(steps.begin() + static_cast<std::ptrdiff_t>(start), steps.end());
    if (once.size() * static_cast<std::size_t>(std::max(most, least) + 1) > k_most_steps) return false;
    const auto again = [&] { steps.insert(steps.end(), once.begin(), once.end()); };
    const auto perhaps = [&] {
      const std::size_t at = steps.size();
      again();
      insert_fork(at, steps.size() + 1);
    };
    steps.resize(start);
    for (int i = 0; i < least; ++i) again();
    if (most < 0) {
      if (least > 0) {
        Step& back = add(Op::fork);
        back.first = static_cast<std::int16_t>(-static_cast<std::ptrdiff_t>(once.size()));
        back.second = 1;
      } else {
        again();
        insert_fork(start, steps.size() + 2);
        const std::size_t at = steps.size();
        add(Op::jump).first = distance(at, start);
      }
    } else {
      for (int i = least; i < most; ++i) perhaps();
    }
    return true;
  }

  std::string_view rest_;
  bool ignores_capitals_ = false;
  SmallPattern out_;
};

std::optional<SmallPattern> SmallPattern::read(std::string_view expression) { return SmallPatternReader(expression).read(); }

void SmallPattern::prepare() {
  for (Step& step : steps_) {
    if (step.op == Op::fork) step.index = static_cast<std::uint16_t>(forks_++);
  }
  // What a match may begin with: everything that is reached without a letter.
  std::vector<bool> seen(steps_.size());
  std::vector<std::size_t> open{0};
  is_anchored_ = steps_[0].op == Op::begin;
  while (!open.empty()) {
    const std::size_t at = open.back();
    open.pop_back();
    if (seen[at]) continue;
    seen[at] = true;
    const Step& step = steps_[at];
    const auto to = [&](std::int16_t by) { return static_cast<std::size_t>(static_cast<std::ptrdiff_t>(at) + by); };
    switch (step.op) {
      case Op::letter: put(starts_, step.letter); break;
      case Op::set:
        starts_[0] |= sets_[step.index][0];
        starts_[1] |= sets_[step.index][1];
        break;
      case Op::fork:
        open.push_back(to(step.first));
        open.push_back(to(step.second));
        break;
      case Op::jump: open.push_back(to(step.first)); break;
      case Op::begin:
      case Op::end:
      case Op::word_edge:
      case Op::no_word_edge: open.push_back(at + 1); break;
      case Op::found: starts_empty_ = true; break;
    }
  }
}

std::optional<bool> SmallPattern::found_in(std::string_view text) const {
  if (is_anchored_ && !starts_empty_ && (text.empty() || (static_cast<unsigned char>(text[0]) < 0x80 && !has(starts_, text[0])))) return false;
  const std::size_t bits = forks_ * (text.size() + 1);
  if (bits > k_most_tried) return std::nullopt;
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) return std::nullopt;
  std::array<std::uint64_t, k_most_tried / 64 + 1> tried;  // only what is needed is cleared
  std::memset(tried.data(), 0, (bits / 64 + 1) * sizeof tried[0]);
  bool is_too_much = false;
  const bool found = run(text, tried.data(), is_too_much);
  return is_too_much ? std::nullopt : std::optional(found);
}

bool SmallPattern::run(std::string_view text, std::uint64_t* tried, bool& is_too_much) const {
  struct Place {
    std::uint32_t step;
    std::uint32_t at;
  };
  std::array<Place, k_most_open> open;
  const auto is_edge = [&](std::size_t at) { return (at > 0 && is_word(text[at - 1])) != (at < text.size() && is_word(text[at])); };
  const auto is_refused = [&](const Step& s, std::size_t at) {
    if (s.op == Op::letter) return at >= text.size() || text[at] != s.letter;
    return s.op == Op::set && (at >= text.size() || !has(sets_[s.index], text[at]));
  };
  const std::size_t last = is_anchored_ ? 0 : text.size();
  for (std::size_t from = 0; from <= last; ++from) {
    if (!starts_empty_ && (from == text.size() || !has(starts_, text[from]))) continue;
    std::size_t count = 0;
    open[count++] = Place{0, static_cast<std::uint32_t>(from)};
    while (count > 0) {
      --count;
      std::size_t step = open[count].step;
      std::size_t at = open[count].at;
      for (bool goes_on = true; goes_on;) {
        const Step& s = steps_[step];
        const auto to = [&](std::int16_t by) { return static_cast<std::size_t>(static_cast<std::ptrdiff_t>(step) + by); };
        switch (s.op) {
          case Op::letter:
            goes_on = at < text.size() && text[at] == s.letter;
            ++at;
            ++step;
            break;
          case Op::set:
            goes_on = at < text.size() && has(sets_[s.index], text[at]);
            ++at;
            ++step;
            break;
          case Op::jump: step = to(s.first); break;
          case Op::begin:
            goes_on = at == 0;
            ++step;
            break;
          case Op::end:
            goes_on = at == text.size();
            ++step;
            break;
          case Op::word_edge:
            goes_on = is_edge(at);
            ++step;
            break;
          case Op::no_word_edge:
            goes_on = !is_edge(at);
            ++step;
            break;
          case Op::fork: {
            // A way that begins with another letter is not gone. Rounds lead over `first`: that it was gone is noted below.
            const std::size_t first = to(s.first);
            const std::size_t second = to(s.second);
            if (is_refused(steps_[first], at)) {
              step = second;
              break;
            }
            const std::size_t bit = s.index * (text.size() + 1) + at;
            std::uint64_t& word = tried[bit / 64];
            const std::uint64_t mask = std::uint64_t{1} << (bit % 64);
            if ((word & mask) != 0) {
              goes_on = false;
              break;
            }
            word |= mask;
            if (!is_refused(steps_[second], at)) {
              if (count == k_most_open) {
                is_too_much = true;
                return false;
              }
              open[count++] = Place{static_cast<std::uint32_t>(second), static_cast<std::uint32_t>(at)};
            }
            step = first;
            break;
          }
          case Op::found: return true;
        }
      }
    }
  }
  return false;
}

}  // namespace sallyport::guard
