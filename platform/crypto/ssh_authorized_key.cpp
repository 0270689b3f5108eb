// authorized_keys lines, their expiry times and their address lists (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "platform/crypto/base64.h"
#include "platform/crypto/ssh_public_key.h"

namespace sallyport::crypto {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (is_blank(text.front()))) text.remove_prefix(1);
  while (!text.empty() && (is_blank(text.back()) || text.back() == '\r' || text.back() == '\n')) text.remove_suffix(1);
  return text;
}

std::string_view take_word(std::string_view& text) {
  text = trimmed(text);
  const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

bool looks_like_key_type(std::string_view word) {
  return word.starts_with("ssh-") || word.starts_with("ecdsa-sha2-") || word.starts_with("sk-");
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

/// Takes `name` or `name="value"` from the front of `text`; stops at a comma or a blank.
Result<std::pair<std::string, std::string>> take_option(std::string_view& text) {
  const std::size_t name_end = std::min(text.find_first_of("=, \t"), text.size());
  std::pair<std::string, std::string> option{lower(text.substr(0, name_end)), {}};
  if (option.first.empty()) return fail(Errc::invalid, "empty option in front of a key");
  text.remove_prefix(name_end);
  if (!text.starts_with('=')) return option;
  text.remove_prefix(1);
  if (!text.starts_with('"')) return fail(Errc::invalid, "option " + option.first + " needs a value in double quotes");
  text.remove_prefix(1);
  while (!text.empty() && text.front() != '"') {
    if (text.starts_with("\\\"")) text.remove_prefix(1);
    option.second.push_back(text.front());
    text.remove_prefix(1);
  }
  if (text.empty()) return fail(Errc::invalid, "option " + option.first + " has no closing quote");
  text.remove_prefix(1);
  return option;
}

struct Address {
  std::array<std::uint8_t, 16> bytes{};
  unsigned bits = 0;  ///< 32 or 128
};

std::optional<Address> parse_address(std::string_view text) {
  const std::string copy(text);
  Address address;
  if (inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) {
    address.bits = 32;
    return address;
  }
  if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) != 1) return std::nullopt;
  constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(mapped.begin(), mapped.end(), address.bytes.begin())) {  // ::ffff:1.2.3.4 is 1.2.3.4
    std::copy(address.bytes.begin() + 12, address.bytes.end(), address.bytes.begin());
    address.bits = 32;
    return address;
  }
  address.bits = 128;
  return address;
}

bool same_prefix(const Address& one, const Address& other, unsigned bits) {
  const unsigned whole = bits / 8;
  if (std::memcmp(one.bytes.data(), other.bytes.data(), whole) != 0) return false;
  const unsigned left = bits % 8;
  if (left == 0) return true;
  return ((one.bytes[whole] ^ other.bytes[whole]) & (0xff00U >> left)) == 0;
}

/// Nothing: not a CIDR block or an address.
std::optional<bool> matches_cidr(std::string_view entry, const Address& address) {
  const std::size_t slash = entry.find('/');
  const auto network = parse_address(entry.substr(0, slash));
  if (!network) return std::nullopt;
  unsigned prefix = network->bits;
  if (slash != std::string_view::npos) {
    const std::string_view digits = entry.substr(slash + 1);
    if (digits.empty() || digits.size() > 3 || digits.find_first_not_of("0123456789") != std::string_view::npos)
      return std::nullopt;
    prefix = 0;
    for (const char digit : digits) prefix = prefix * 10 + static_cast<unsigned>(digit - '0');
    if (prefix > network->bits) return std::nullopt;
  }
  return network->bits == address.bits && same_prefix(*network, address, prefix);
}

bool matches_pattern(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p, ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<bool> match_list(std::string_view list, std::string_view address_text, bool patterns) {
  const auto address = parse_address(address_text);
  if (!address) return fail(Errc::invalid, "not a numeric address");
  const std::string canonical_text(address_text);
  bool found = false;
  while (true) {
    const std::size_t comma = list.find(',');
    std::string_view entry = list.substr(0, comma);
    const bool negated = patterns && entry.starts_with('!');
    if (negated) entry.remove_prefix(1);
    if (entry.empty()) return fail(Errc::invalid, "empty entry in an address list");
    std::optional<bool> matched = matches_cidr(entry, *address);
    if (!matched && entry.find('/') != std::string_view::npos) return fail(Errc::invalid, "bad network in an address list");
    if (!matched && !patterns) return fail(Errc::invalid, "not an address or network in an address list");
    if (!matched) matched = matches_pattern(lower(entry), lower(canonical_text));
    if (*matched && negated) return false;
    found = found || *matched;
    if (comma == std::string_view::npos) return found;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace

std::optional<std::string_view> AuthorizedKey::option(std::string_view name) const {
  for (const auto& [key_name_, value] : options)
    if (key_name_ == name) return value;
  return std::nullopt;
}

Result<AuthorizedKey> parse_authorized_key(std::string_view line) {
  constexpr std::size_t k_max_line = 64 * 1024;
  if (line.size() > k_max_line) return fail(Errc::invalid, "key line above 64 KiB");
  std::string_view rest = trimmed(line);
  if (rest.empty() || rest.front() == '#') return fail(Errc::not_found, "no key on this line");
  if (rest.find_first_of(std::string_view("\n\0", 2)) != std::string_view::npos)
    return fail(Errc::invalid, "line break or NUL inside a key line");
  AuthorizedKey parsed;
  if (!looks_like_key_type(rest)) {
    while (true) {
      auto option = take_option(rest);
      if (!option) return tl::unexpected(option.error());
      parsed.options.push_back(std::move(*option));
      if (!rest.starts_with(',')) break;
      rest.remove_prefix(1);
    }
    if (rest.empty() || !is_blank(rest.front())) return fail(Errc::invalid, "no key type on the key line");
  }
  parsed.key_name = std::string(take_word(rest));
  if (!looks_like_key_type(parsed.key_name)) return fail(Errc::invalid, "unknown key type on the key line");
  auto blob = from_base64(take_word(rest));
  if (!blob) return fail(Errc::invalid, "key is not base64");
  parsed.blob = std::move(*blob);
  parsed.comment = std::string(trimmed(rest));
  if (SshReader(parsed.blob).text() != parsed.key_name) return fail(Errc::invalid, "key type and key differ");
  if (parsed.key_name.find("-cert-v0") == std::string::npos) {
    auto key = SshPublicKey::parse_blob(parsed.blob);
    if (!key) return tl::unexpected(key.error());
    parsed.key = std::move(*key);
  }
  return parsed;
}

Result<std::int64_t> parse_ssh_time(std::string_view text) {
  if (text.ends_with('Z')) text.remove_suffix(1);
  if ((text.size() != 8 && text.size() != 12 && text.size() != 14) ||
      text.find_first_not_of("0123456789") != std::string_view::npos)
    return fail(Errc::invalid, "a time is written YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS");
  const auto number = [&](std::size_t at, std::size_t digits) {
    unsigned value = 0;
    for (const char digit : text.substr(std::min(at, text.size()), digits)) value = value * 10 + static_cast<unsigned>(digit - '0');
    return value;
  };
  using namespace std::chrono;
  const year_month_day day{year(static_cast<int>(number(0, 4))), month(number(4, 2)), std::chrono::day(number(6, 2))};
  const unsigned hour = number(8, 2), minute = number(10, 2), second = number(12, 2);
  if (!day.ok() || hour > 23 || minute > 59 || second > 60) return fail(Errc::invalid, "no such day or time");
  const auto since = sys_days(day).time_since_epoch() + hours(hour) + minutes(minute) + seconds(second);
  return duration_cast<seconds>(since).count();
}

Result<bool> address_matches(std::string_view list, std::string_view address) { return match_list(list, address, true); }

Result<bool> address_in_cidr_list(std::string_view list, std::string_view address) {
  return match_list(list, address, false);
}

}  // namespace sallyport::crypto
