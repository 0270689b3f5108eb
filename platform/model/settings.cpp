#include "platform/model/settings.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace sallyport {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

/// "a b" in double quotes, as YAML writes what is not plain: only \" and \\ are escapes.
std::string unquoted(std::string_view text) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return std::string(text);
  std::string out;
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] == '\\' && i + 2 < text.size()) ++i;
    out.push_back(text[i]);
  }
  return out;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + '"';
}

bool is_number(std::string_view text) {
  return !text.empty() && text.size() < 19 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Result<Settings> Settings::parse(std::string_view lines) {
  Settings settings;
  std::size_t number = 0;
  while (!lines.empty()) {
    ++number;
    const std::size_t end = lines.find('\n');
    const std::string_view line = trimmed(lines.substr(0, end));
    lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0)
      return fail(Errc::invalid, "settings line " + std::to_string(number) + ": expected key: value");
    std::string key(trimmed(line.substr(0, colon)));
    if (!settings.values_.emplace(std::move(key), unquoted(trimmed(line.substr(colon + 1)))).second)
      return fail(Errc::invalid, "settings line " + std::to_string(number) + ": a key appears twice");
  }
  return settings;
}

bool Settings::has(std::string_view key) const { return values_.find(key) != values_.end(); }

std::string Settings::text(std::string_view key, std::string_view fallback) const {
  const auto found = values_.find(key);
  return found == values_.end() || found->second.empty() ? std::string(fallback) : found->second;
}

std::uint64_t Settings::number(std::string_view key, std::uint64_t fallback) const {
  const auto found = values_.find(key);
  if (found == values_.end() || !is_number(found->second)) return fallback;
  std::uint64_t value = 0;
  std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
  return value;
}

std::chrono::milliseconds Settings::duration(std::string_view key, std::chrono::milliseconds fallback) const {
  return std::chrono::milliseconds(number(key, static_cast<std::uint64_t>(fallback.count())));
}

bool Settings::flag(std::string_view key, bool fallback) const {
  const std::string value = text(key);
  return value.empty() ? fallback : value == "true";
}

std::vector<std::string> Settings::list(std::string_view key) const {
  const std::string value = text(key);
  std::vector<std::string> items;
  for (std::size_t at = 0; at < value.size();) {
    const std::size_t comma = std::min(value.find(',', at), value.size());
    const std::string_view item = trimmed(std::string_view(value).substr(at, comma - at));
    if (!item.empty()) items.emplace_back(item);
    at = comma + 1;
  }
  return items;
}

void Settings::set(std::string key, std::string value) { values_.insert_or_assign(std::move(key), std::move(value)); }

std::string Settings::render() const {
  std::string lines;
  for (const auto& [key, value] : values_)
    lines += key + ": " + (is_number(value) || value == "true" || value == "false" ? value : quoted(value)) + '\n';
  return lines;
}

}  // namespace sallyport
