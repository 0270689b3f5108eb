#include "policy/identity/principal.h"

#include <algorithm>

namespace sallyport::policy {
namespace {

constexpr std::size_t k_max_word = 256;  ///< characters that one {placeholder} may stand for

bool is_word_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("._-:@/+=,").find(c) != std::string_view::npos;
}

bool is_plain_word(std::string_view word) {
  return !word.empty() && word.size() <= k_max_word && word.front() != '-' && word.find("..") == std::string_view::npos &&
         std::all_of(word.begin(), word.end(), is_word_character);
}

}  // namespace

std::string Place::str() const {
  std::string text = file ? *file : std::string("?");
  if (line != 0) text += ":" + std::to_string(line);
  if (line != 0 && column != 0) text += ":" + std::to_string(column);
  return text;
}

Result<CommandTemplate> CommandTemplate::parse(std::string_view text) {
  CommandTemplate result;
  result.text_ = std::string(text);
  if (text.empty() || text.size() > 4096) return fail(Errc::invalid, "a command template has 1 to 4096 characters");
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return fail(Errc::invalid, "a command template has no control characters");
  }
  std::string literal;
  while (!text.empty()) {
    const char c = text.front();
    if (c == '{' && text.size() > 1 && text[1] == '{') {
      literal += '{';
      text.remove_prefix(2);
      continue;
    }
    if (c != '{') {
      literal += c;
      text.remove_prefix(1);
      continue;
    }
    const std::size_t end = text.find('}');
    if (end == std::string_view::npos) return fail(Errc::invalid, "`{` without `}` (write `{{` for a literal brace)");
    const std::string_view inside = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    const std::size_t colon = inside.find(':');
    const std::string_view name = inside.substr(0, colon);
    const bool name_is_right = !name.empty() && std::all_of(name.begin(), name.end(), [](char n) {
      return (n >= 'a' && n <= 'z') || (n >= '0' && n <= '9') || n == '_';
    });
    if (!name_is_right) return fail(Errc::invalid, "a placeholder is {name} or {name:one|other} with a name of a-z, 0-9, _");
    if (!literal.empty()) result.pieces_.push_back(Piece{std::exchange(literal, {}), false, {}});
    if (!result.pieces_.empty() && result.pieces_.back().is_word) {
      return fail(Errc::invalid, "two placeholders need a literal between them");
    }
    Piece piece;
    piece.is_word = true;
    if (colon != std::string_view::npos) {
      std::string_view rest = inside.substr(colon + 1);
      while (true) {
        const std::size_t bar = rest.find('|');
        if (rest.substr(0, bar).empty()) return fail(Errc::invalid, "an empty choice in {" + std::string(inside) + "}");
        piece.choices.emplace_back(rest.substr(0, bar));
        if (bar == std::string_view::npos) break;
        rest.remove_prefix(bar + 1);
      }
    }
    result.pieces_.push_back(std::move(piece));
  }
  if (!literal.empty()) result.pieces_.push_back(Piece{std::move(literal), false, {}});
  // A placeholder at one end of a literal that may itself be part of a word would make the split ambiguous: the word is
  // then taken as the longest run, so "a{x}b" would never match. Ask for a literal that ends the word.
  for (std::size_t i = 0; i + 1 < result.pieces_.size(); ++i) {
    if (result.pieces_[i].is_word && result.pieces_[i].choices.empty() && is_word_character(result.pieces_[i + 1].literal.front())) {
      return fail(Errc::invalid, "a placeholder must be followed by a blank, a quote or the end");
    }
  }
  return result;
}

bool CommandTemplate::matches(std::string_view command) const {
  // Choices may be prefixes of each other, so each is tried; the depth is the number of pieces, which the author wrote.
  const auto match_from = [this](auto&& self, std::size_t index, std::string_view rest) -> bool {
    if (index == pieces_.size()) return rest.empty();
    const Piece& piece = pieces_[index];
    if (!piece.is_word) return rest.starts_with(piece.literal) && self(self, index + 1, rest.substr(piece.literal.size()));
    if (!piece.choices.empty()) {
      return std::any_of(piece.choices.begin(), piece.choices.end(), [&](const std::string& choice) {
        return rest.starts_with(choice) && self(self, index + 1, rest.substr(choice.size()));
      });
    }
    const auto end = std::find_if_not(rest.begin(), rest.end(), is_word_character);
    const auto length = static_cast<std::size_t>(end - rest.begin());
    return is_plain_word(rest.substr(0, length)) && self(self, index + 1, rest.substr(length));
  };
  return match_from(match_from, 0, command);
}

bool asks_directory(const Principal& principal, std::string_view what) {
  return std::find(principal.directory.begin(), principal.directory.end(), what) != principal.directory.end();
}

}  // namespace sallyport::policy
