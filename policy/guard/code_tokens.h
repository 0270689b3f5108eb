// policy/guard/code_tokens.h -- scripting languages' one-liners as tokens, with constant strings folded.
//
// Not a parser of any of these languages: strings, names, numbers and signs, which is enough to find what a one-liner hands to
// system() and its kin. `"r"+"m"`, chr(114), base64.b64decode("..."), "..."[::-1] and the like become the string that they make.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sallyport::guard {

struct Token {
  enum class Kind { text, name, number, sign, command };  ///< command: a backtick or qx string, which the language runs
  Kind kind = Kind::sign;
  std::string value;
  bool interpolates = false;  ///< text with variables in it
};

enum class Language { python, perl, ruby, node, php, lua, other };
[[nodiscard]] Language language_of(std::string_view program);

[[nodiscard]] std::vector<Token> tokenise(Language language, std::string_view code);
/// Folds constants and simple variables, in place, to a fixed point.
void fold(Language language, std::vector<Token>& tokens);

}  // namespace sallyport::guard
