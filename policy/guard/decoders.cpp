#include "policy/guard/decoders.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "platform/crypto/hex.h"
#include "platform/model/utf8.h"

namespace sallyport::guard {
namespace {

/// Up to `most` digits of `base` at `at`.
std::optional<std::uint32_t> digits(std::string_view text, std::size_t& at, std::size_t most, int base) {
  std::uint32_t value = 0;
  std::size_t count = 0;
  while (at < text.size() && count < most) {
    const int digit = crypto::hex_digit(text[at]);
    if (digit < 0 || digit >= base) break;
    value = value * static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(digit);
    ++at;
    ++count;
  }
  if (count == 0) return std::nullopt;
  return value;
}

template <std::size_t Bits>
std::optional<std::string> decode_bits(std::string_view text, int (*value_of)(char)) {
  std::string out;
  std::uint32_t held = 0;
  std::size_t bits = 0;
  std::size_t symbols = 0;
  for (const char c : text) {
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    if (c == '=') continue;
    const int value = value_of(c);
    if (value < 0) return std::nullopt;
    ++symbols;
    held = (held << Bits) | static_cast<std::uint32_t>(value);
    bits += Bits;
    if (bits >= 8) {
      bits -= 8;
      out.push_back(static_cast<char>(static_cast<unsigned char>(held >> bits)));
      held &= (1U << bits) - 1U;
    }
  }
  if (symbols == 0) return std::nullopt;
  return out;
}

}  // namespace

std::string decode_escapes(std::string_view text, EscapeStyle style) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c != '\\' || i + 1 >= text.size()) {
      out.push_back(c);
      ++i;
      continue;
    }
    const char next = text[i + 1];
    i += 2;
    switch (next) {
      case 'a': out.push_back('\a'); break;
      case 'b': out.push_back('\b'); break;
      case 'e':
      case 'E': out.push_back('\x1b'); break;
      case 'f': out.push_back('\f'); break;
      case 'n': out.push_back('\n'); break;
      case 'r': out.push_back('\r'); break;
      case 't': out.push_back('\t'); break;
      case 'v': out.push_back('\v'); break;
      case '\\': out.push_back('\\'); break;
      case '\n':
        break;
      case 'c':
        if (style == EscapeStyle::echo || style == EscapeStyle::format) return out;
        if (i < text.size()) out.push_back(static_cast<char>(text[i++] & 0x1f));
        break;
      case 'x': {
        if (i < text.size() && text[i] == '{') {
          ++i;
          const auto value = digits(text, i, 6, 16);
          if (value) append_utf8(out, *value);
          if (i < text.size() && text[i] == '}') ++i;
          break;
        }
        const auto value = digits(text, i, 2, 16);
        if (value) {
          out.push_back(static_cast<char>(static_cast<unsigned char>(*value)));
        } else {
          out += "\\x";
        }
        break;
      }
      case 'u':
      case 'U': {
        const bool brace = i < text.size() && text[i] == '{';
        if (brace) ++i;
        const auto value = digits(text, i, next == 'u' && !brace ? 4 : 8, 16);
        if (value) append_utf8(out, *value);
        if (brace && i < text.size() && text[i] == '}') ++i;
        break;
      }
      default:
        if (next >= '0' && next <= '7') {
          --i;
          if (style == EscapeStyle::echo && next != '0') {
            out.push_back('\\');
            out.push_back(next);
            ++i;
            break;
          }
          if (style == EscapeStyle::echo || (style == EscapeStyle::format && next == '0')) ++i;
          const auto value = digits(text, i, 3, 8);
          if (value) out.push_back(static_cast<char>(static_cast<unsigned char>(*value)));
        } else if (next == '\'' || next == '"' || next == '?' || style == EscapeStyle::string) {
          out.push_back(next);
        } else {
          out.push_back('\\');
          out.push_back(next);
        }
    }
  }
  return out;
}

std::optional<std::string> decode_base64(std::string_view text) {
  return decode_bits<6>(text, [](char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    if (c == '/' || c == '_') return 63;
    return -1;
  });
}

std::string encode_base64(std::string_view bytes) {
  constexpr std::string_view k_letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t held = 0;
    for (std::size_t j = 0; j < 3; ++j) held = (held << 8) | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j) out.push_back(i + j > bytes.size() ? '=' : k_letters[(held >> (18 - 6 * j)) & 63U]);
  }
  return out;
}

std::optional<std::string> decode_base32(std::string_view text) {
  return decode_bits<5>(text, [](char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a';
    if (c >= '2' && c <= '7') return c - '2' + 26;
    return -1;
  });
}

std::optional<std::string> decode_hex(std::string_view text) {
  std::string out;
  int high = -1;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ',') continue;
    if (i + 1 < text.size() && (text[i + 1] == 'x' || text[i + 1] == 'X') && (c == '0' || c == '\\') && high < 0) {
      ++i;
      continue;
    }
    const int value = crypto::hex_digit(c);
    if (value < 0) return std::nullopt;
    if (high < 0) {
      high = value;
    } else {
      out.push_back(static_cast<char>(static_cast<unsigned char>(high * 16 + value)));
      high = -1;
    }
  }
  if (out.empty()) return std::nullopt;
  return out;
}

std::string encode_hex(std::string_view bytes) {
  constexpr std::string_view k_digits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out.push_back(k_digits[byte >> 4]);
    out.push_back(k_digits[byte & 15U]);
  }
  return out;
}

std::string decode_percent(std::string_view text, bool plus) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && crypto::hex_digit(text[i + 1]) >= 0 && crypto::hex_digit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(static_cast<unsigned char>(crypto::hex_digit(text[i + 1]) * 16 + crypto::hex_digit(text[i + 2]))));
      i += 2;
    } else {
      out.push_back(plus && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

std::optional<std::string> inflate(std::string_view bytes) {
  constexpr std::size_t k_most = 64 * 1024;
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 32) != Z_OK) return std::nullopt;
  std::string in(bytes);
  std::string out(k_most, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = ::inflate(&stream, Z_FINISH);
  out.resize(k_most - stream.avail_out);
  inflateEnd(&stream);
  if (status != Z_STREAM_END && out.empty()) return std::nullopt;
  return out;
}

std::string rot13(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>('a' + (c - 'a' + 13) % 26);
    else if (c >= 'A' && c <= 'Z') c = static_cast<char>('A' + (c - 'A' + 13) % 26);
  }
  return out;
}

std::string expand_set(std::string_view set) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> k_classes{{
      {"[:lower:]", "abcdefghijklmnopqrstuvwxyz"}, {"[:upper:]", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}, {"[:digit:]", "0123456789"},
      {"[:space:]", " \t\n\r\v\f"}, {"[:blank:]", " \t"},
      {"[:alpha:]", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"}}};
  std::string named;
  for (std::size_t i = 0; i < set.size();) {
    bool found = false;
    for (const auto& [name, letters] : k_classes) {
      if (set.substr(i).starts_with(name)) {
        named += letters;
        i += name.size();
        found = true;
        break;
      }
    }
    if (!found) named.push_back(set[i++]);
  }
  const std::string raw = decode_escapes(named, EscapeStyle::format);
  std::string out;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (i + 2 < raw.size() && raw[i + 1] == '-' && static_cast<unsigned char>(raw[i]) <= static_cast<unsigned char>(raw[i + 2])) {
      for (int c = static_cast<unsigned char>(raw[i]); c <= static_cast<unsigned char>(raw[i + 2]); ++c) out.push_back(static_cast<char>(c));
      i += 2;
    } else {
      out.push_back(raw[i]);
    }
  }
  return out;
}

}  // namespace sallyport::guard
