// platform/model/utf8.h -- what is UTF-8 (RFC 3629: no surrogates, no overlong forms), and where text stops being it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sallyport {

/// Bytes of the valid sequence that `text` begins with, 0 if there is none.
[[nodiscard]] std::size_t utf8_length(std::string_view text) noexcept;

/// U+FFFD in the place of what is no character (a surrogate, beyond U+10FFFF).
void append_utf8(std::string& to, char32_t c);

/// "LINE:COLUMN" of the first byte that is not UTF-8, both from 1, the column in bytes; "" when all of it is.
[[nodiscard]] std::string place_not_utf8(std::string_view text);

/// `text` with each byte that is not part of UTF-8 written as \xHH: what a peer sent may name anything, but a text field of
/// the control protocol that is not UTF-8 ends the link it came on. Nothing is dropped.
[[nodiscard]] std::string escape_not_utf8(std::string_view text);

/// UTF-8 without anything that steers what shows it (Character::steers), tab and newline included: fit to be a name.
[[nodiscard]] bool is_plain_text(std::string_view text);

}  // namespace sallyport
