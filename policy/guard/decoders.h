// policy/guard/decoders.h -- undoes the encodings that commands are hidden in. Pure, bounded by the size of the input.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sallyport::guard {

/// ansi_quote: $'...'; echo: echo -e (\0nnn); format: printf's format and %b; string: "..." of C-like languages.
enum class EscapeStyle { ansi_quote, echo, format, string };
[[nodiscard]] std::string decode_escapes(std::string_view text, EscapeStyle style);

/// Blanks are skipped; the URL alphabet is understood too; nullopt when it is not base64.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);
[[nodiscard]] std::string encode_base64(std::string_view bytes);
[[nodiscard]] std::optional<std::string> decode_base32(std::string_view text);
/// Pairs of hex digits; blanks, `\x` and `0x` are skipped.
[[nodiscard]] std::optional<std::string> decode_hex(std::string_view text);
[[nodiscard]] std::string encode_hex(std::string_view bytes);
/// %41 and, if `plus`, + for a blank.
[[nodiscard]] std::string decode_percent(std::string_view text, bool plus);
/// gzip or zlib, at most 64 KiB of output; nullopt when it is neither.
[[nodiscard]] std::optional<std::string> inflate(std::string_view bytes);
[[nodiscard]] std::string rot13(std::string_view text);

/// tr's sets: ranges, escapes, classes.
[[nodiscard]] std::string expand_set(std::string_view set);

}  // namespace sallyport::guard
