// recorder/search/words.h -- text as a search sees it: folded, cut into words.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sallyport::search {

/// Lower case (ASCII, Latin, Greek, Cyrillic), full-width forms as ASCII, every run of blanks as one space. Broken UTF-8 becomes
/// U+FFFD. Both sides of a comparison go through it.
[[nodiscard]] std::string fold(std::string_view text);

/// The words of folded text, without repeats: runs of letters and digits (at most 64 bytes of each count); of scripts without spaces
/// (Chinese, Japanese, Korean) each character and each pair; each emoji.
[[nodiscard]] std::vector<std::string> words_of(std::string_view folded);

/// The words that every line with this phrase must have: as words_of, but pairs instead of characters where there are pairs.
[[nodiscard]] std::vector<std::string> words_to_ask(std::string_view folded);

/// Whether `phrase` stands in `line` (both folded), beginning and ending where words do.
[[nodiscard]] bool has_phrase(std::string_view line, std::string_view phrase);

}  // namespace sallyport::search
