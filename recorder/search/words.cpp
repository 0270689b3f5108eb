#include "recorder/search/words.h"

#include <algorithm>
#include <cstdint>
#include <unordered_set>
#include <utility>

#include "platform/model/utf8.h"

namespace sallyport::search {
namespace {

constexpr std::size_t k_longest_word = 64;
constexpr char32_t k_broken = 0xfffd;

/// Takes one code point off the front.
char32_t take(std::string_view& text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  const std::size_t size = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
  if (size == 0 || size > text.size()) {
    text.remove_prefix(1);
    return k_broken;
  }
  char32_t c = size == 1 ? lead : lead & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((at(i) & 0xc0) != 0x80) {
      text.remove_prefix(1);
      return k_broken;
    }
    c = c << 6 | (at(i) & 0x3fU);
  }
  text.remove_prefix(size);
  return c;
}

char32_t lower(char32_t c) {
  if (c >= 0xff01 && c <= 0xff5e) c -= 0xfee0;  // full-width forms
  if (c >= 'A' && c <= 'Z') return c + 32;
  if (c < 0x80) return c;
  if (c >= 0xc0 && c <= 0xde && c != 0xd7) return c + 32;
  if ((c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177)) return c | 1;
  if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) return c % 2 == 1 ? c + 1 : c;
  if (c >= 0x391 && c <= 0x3a9) return c + 32;
  if (c >= 0x410 && c <= 0x42f) return c + 32;
  if (c >= 0x400 && c <= 0x40f) return c + 80;
  return c;
}

bool is_blank(char32_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == 0xa0 || c == 0x3000 || (c >= 0x2000 && c <= 0x200a); }

/// Scripts whose words are not parted by spaces.
bool is_dense(char32_t c) {
  return (c >= 0x2e80 && c <= 0x2fdf) || (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) ||
         (c >= 0xac00 && c <= 0xd7af) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff);
}
bool is_emoji(char32_t c) { return (c >= 0x1f000 && c <= 0x1faff) || (c >= 0x2600 && c <= 0x27bf); }

bool is_letter(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  if (c < 0xc0) return c == 0xaa || c == 0xb5 || c == 0xba;
  if (c == 0xd7 || c == 0xf7 || c == k_broken) return false;
  if (c >= 0x2000 && c <= 0x2bff) return false;  // punctuation, arrows, box drawing
  if (c >= 0x3000 && c <= 0x303f) return false;
  if (c >= 0xe000 && c <= 0xf8ff) return false;
  if (c >= 0xfe00 && c <= 0xfe0f) return false;
  return !is_dense(c) && !is_emoji(c) && c < 0x1f000;
}

/// Calls `word`, `dense` or `emoji` for what comes.
std::vector<std::string> cut(std::string_view text, bool to_ask) {
  std::vector<std::string> words;
  std::unordered_set<std::string> known;
  const auto give = [&](std::string word) {
    if (!word.empty() && known.insert(word).second) words.push_back(std::move(word));
  };
  std::string word;
  std::u32string dense;
  const auto end_dense = [&] {
    for (std::size_t i = 0; i < dense.size(); ++i) {
      std::string one;
      append_utf8(one, dense[i]);
      if (!to_ask || dense.size() == 1) give(one);
      if (i + 1 < dense.size()) {
        append_utf8(one, dense[i + 1]);
        give(std::move(one));
      }
    }
    dense.clear();
  };
  const auto end_word = [&] {
    if (word.size() > k_longest_word) word.resize(k_longest_word);
    give(std::exchange(word, {}));
  };
  while (!text.empty()) {
    const char32_t c = take(text);
    if (is_dense(c)) {
      end_word();
      dense += c;
      continue;
    }
    end_dense();
    if (is_letter(c)) {
      if (word.size() < 2 * k_longest_word) append_utf8(word, c);
      continue;
    }
    end_word();
    if (is_emoji(c)) {
      std::string one;
      append_utf8(one, c);
      give(std::move(one));
    }
  }
  end_word();
  end_dense();
  return words;
}

/// The code point that ends before `at`; 0 at the beginning.
char32_t before(std::string_view text, std::size_t at) {
  if (at == 0) return 0;
  std::size_t begin = at - 1;
  while (begin > 0 && at - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  std::string_view one = text.substr(begin, at - begin);
  return take(one);
}
char32_t after(std::string_view text, std::size_t at) {
  if (at >= text.size()) return 0;
  std::string_view rest = text.substr(at);
  return take(rest);
}

}  // namespace

std::string fold(std::string_view text) {
  std::string folded;
  folded.reserve(text.size());
  bool blank = true;
  while (!text.empty()) {
    const char32_t c = lower(take(text));
    if (is_blank(c)) {
      if (!blank) folded += ' ';
      blank = true;
      continue;
    }
    blank = false;
    append_utf8(folded, c);
  }
  if (!folded.empty() && folded.back() == ' ') folded.pop_back();
  return folded;
}

std::vector<std::string> words_of(std::string_view folded) { return cut(folded, false); }
std::vector<std::string> words_to_ask(std::string_view folded) { return cut(folded, true); }

bool has_phrase(std::string_view line, std::string_view phrase) {
  if (phrase.empty()) return false;
  const bool begins_word = is_letter(after(phrase, 0)), ends_word = is_letter(before(phrase, phrase.size()));
  for (std::size_t at = line.find(phrase); at != std::string_view::npos; at = line.find(phrase, at + 1)) {
    const bool left = !begins_word || at == 0 || !is_letter(before(line, at));
    const std::size_t end = at + phrase.size();
    if (left && (!ends_word || end == line.size() || !is_letter(after(line, end)))) return true;
  }
  return false;
}

}  // namespace sallyport::search
