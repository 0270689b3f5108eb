#include "platform/net/http.h"

#include <cctype>

#include "platform/crypto/hex.h"

namespace sallyport::net {

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || crypto::hex_digit(text[i + 1]) < 0 || crypto::hex_digit(text[i + 2]) < 0) return fail(Errc::invalid, "bad percent escape");
      c = static_cast<char>(crypto::hex_digit(text[i + 1]) * 16 + crypto::hex_digit(text[i + 2]));
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (c == '\0') return fail(Errc::invalid, "NUL in a request target");
    out += c;
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

Result<void> split_target(std::string_view target, HttpRequest& request) {
  const auto hash = target.find('#');
  if (target.empty() || target.front() != '/' || hash != std::string_view::npos) return fail(Errc::invalid, "bad request target");
  const auto mark = target.find('?');
  auto path = percent_decode(target.substr(0, mark), false);
  if (!path) return tl::unexpected(path.error());
  request.path = std::move(*path);
  std::string_view rest = mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1);
  while (!rest.empty()) {
    const auto end = rest.find('&');
    const std::string_view one = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (one.empty()) continue;
    const auto equals = one.find('=');
    auto name = percent_decode(one.substr(0, equals), true);
    auto value = equals == std::string_view::npos ? Result<std::string>(std::string()) : percent_decode(one.substr(equals + 1), true);
    if (!name) return tl::unexpected(name.error());
    if (!value) return tl::unexpected(value.error());
    request.query.emplace(std::move(*name), std::move(*value));
  }
  return {};
}

}  // namespace sallyport::net
