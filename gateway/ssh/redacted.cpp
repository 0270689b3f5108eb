#include "gateway/ssh/redacted.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_longest = 2048;
constexpr std::array<std::string_view, 10> k_words = {"password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "access_key", "bearer", "pwd"};

enum class Reader { log, approver };

/// The shell, or a program that reads the words again, could run what a value says.
[[nodiscard]] bool may_run_values(const std::string& low) {
  for (const std::string_view sign : {"$", "`", "(", "<", "eval", "alias", "exec", "source", "-c", "\\", "{", "\n"})
    if (low.find(sign) != std::string::npos) return true;
  return false;
}

[[nodiscard]] bool is_plain(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '+' || c == '=' || c == '%' || c == '-' || c == '.';
}

[[nodiscard]] bool ends_value(char c) { return c == ' ' || c == '\t' || c == '\n' || c == ';' || c == '&' || c == '|' || c == '"' || c == '\''; }

std::string with_stars(std::string_view text, Reader reader) {
  std::string low(text);
  std::transform(low.begin(), low.end(), low.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string hide(low.size(), ' ');
  const bool is_log = reader == Reader::log;
  if (!is_log && may_run_values(low)) return std::string(text);
  const auto mask = [&](std::size_t from) {
    if (!is_log) {
      std::size_t end = from;
      while (end < low.size() && is_plain(low[end])) ++end;
      if (end == low.size() || ends_value(low[end]))
        std::fill(hide.begin() + static_cast<std::ptrdiff_t>(from), hide.begin() + static_cast<std::ptrdiff_t>(end), 'x');
      return;
    }
    if (from < low.size() && (low[from] == '"' || low[from] == '\'')) {
      const char quote = low[from];
      for (std::size_t i = from + 1; i < low.size() && low[i] != quote; ++i) hide[i] = 'x';
      return;
    }
    for (std::size_t i = from; i < low.size() && !ends_value(low[i]); ++i) hide[i] = 'x';
  };
  for (const std::string_view word : k_words) {
    for (std::size_t at = low.find(word); at != std::string::npos; at = low.find(word, at + 1)) {
      std::size_t value = at + word.size();
      while (value < low.size() && (std::isalnum(static_cast<unsigned char>(low[value])) != 0 || low[value] == '_' || low[value] == '-')) ++value;
      if (value >= low.size()) continue;
      if (low[value] == '=' || low[value] == ':') ++value;
      else if (!is_log || low[value] != ' ' || (word != "bearer" && (at < 2 || low[at - 1] != '-'))) continue;
      while (is_log && value < low.size() && low[value] == ' ') ++value;
      mask(value);
    }
  }
  // mysql -pSECRET, and user:SECRET@host in an address.
  for (std::size_t at = low.find(" -p"); at != std::string::npos; at = low.find(" -p", at + 1))
    if (low.find("mysql") < at && at + 3 < low.size() && low[at + 3] != ' ') mask(at + 3);
  for (std::size_t at = low.find("://"); at != std::string::npos; at = low.find("://", at + 1)) {
    const std::size_t sign = low.find_first_of("@ /", at + 3);
    const std::size_t colon = low.find(':', at + 3);
    if (sign == std::string::npos || low[sign] != '@' || colon > sign) continue;
    if (!is_log && !std::all_of(low.begin() + static_cast<std::ptrdiff_t>(colon) + 1, low.begin() + static_cast<std::ptrdiff_t>(sign), is_plain)) continue;
    for (std::size_t i = colon + 1; i < sign; ++i) hide[i] = 'x';
  }
  std::string out;
  for (std::size_t i = 0; i < low.size(); ++i) {
    if (hide[i] != 'x') out.push_back(text[i]);
    else if (i == 0 || hide[i - 1] != 'x') out += "***";
  }
  return out;
}

}  // namespace

std::string redacted(std::string_view text) { return with_stars(text.substr(0, k_longest), Reader::log) + (text.size() > k_longest ? "..." : ""); }

std::string shown_to_approver(std::string_view text) { return with_stars(text, Reader::approver); }

}  // namespace sallyport::gateway
