#include "policy/access/fields.h"

#include <date/date.h>

#include <algorithm>
#include <charconv>

#include "policy/access/load.h"
#include "policy/access/suggest.h"

namespace sallyport::policy {
namespace {

constexpr std::chrono::seconds k_longest_duration = std::chrono::hours(24 * 3653);

std::string escaped(std::string_view key) {  // RFC 6901
  std::string result;
  for (const char c : key) {
    if (c == '~') {
      result += "~0";
    } else if (c == '/') {
      result += "~1";
    } else {
      result += c;
    }
  }
  return result;
}

std::string_view word_of(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::null: return "nothing";
    case YamlNode::Kind::scalar: return "a single value";
    case YamlNode::Kind::list: return "a list";
    case YamlNode::Kind::map: return "a map";
  }
  return "something";
}

std::string shown(std::string_view text) {
  std::string result;
  for (const char c : text.substr(0, 80)) result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return result;
}

template <class Number>
std::optional<Number> whole_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

/// Exactly `digits` decimal digits.
std::optional<int> fixed_number(std::string_view text, std::size_t at, std::size_t digits) {
  if (text.size() < at + digits) return std::nullopt;
  const std::string_view part = text.substr(at, digits);
  if (!std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  return whole_number<int>(part);
}

}  // namespace

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  std::chrono::seconds total{0};
  std::int64_t last_unit = INT64_MAX;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty()) return std::nullopt;
    std::int64_t unit = 0;
    switch (text.front()) {
      case 's': unit = 1; break;
      case 'm': unit = 60; break;
      case 'h': unit = 3600; break;
      case 'd': unit = 86400; break;
      default: return std::nullopt;
    }
    if (unit >= last_unit) return std::nullopt;
    last_unit = unit;
    text.remove_prefix(1);
    total += std::chrono::seconds(unit * value);
    if (total > k_longest_duration) return std::nullopt;
  }
  if (total.count() == 0) return std::nullopt;
  return total;
}

std::optional<std::chrono::minutes> parse_time_of_day(std::string_view text) {
  const auto hour = fixed_number(text, 0, 2);
  const auto minute = fixed_number(text, 3, 2);
  if (text.size() != 5 || text[2] != ':' || !hour || !minute || *minute > 59) return std::nullopt;
  const std::chrono::minutes time = std::chrono::hours(*hour) + std::chrono::minutes(*minute);
  if (time > std::chrono::hours(24)) return std::nullopt;
  return time;
}

std::optional<WallTime> parse_moment(std::string_view text) {
  const auto year = fixed_number(text, 0, 4);
  const auto month = fixed_number(text, 5, 2);
  const auto day = fixed_number(text, 8, 2);
  if (!year || !month || !day || text[4] != '-' || text[7] != '-') return std::nullopt;
  const date::year_month_day date{date::year(*year), date::month(static_cast<unsigned>(*month)), date::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  WallTime moment = date::sys_days(date);
  text.remove_prefix(10);
  if (text.empty()) return moment;
  const auto hour = fixed_number(text, 1, 2);
  const auto minute = fixed_number(text, 4, 2);
  const auto second = fixed_number(text, 7, 2);
  if ((text[0] != 'T' && text[0] != ' ') || !hour || !minute || !second || text[3] != ':' || text[6] != ':') return std::nullopt;
  if (*hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  moment += std::chrono::hours(*hour) + std::chrono::minutes(*minute) + std::chrono::seconds(*second);
  text.remove_prefix(9);
  if (!text.empty() && text.front() == '.') {
    std::size_t digits = 1;
    std::int64_t micros = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') micros = micros * 10 + (text[digits++] - '0');
    if (digits == 1 || digits > 7) return std::nullopt;
    for (std::size_t i = digits; i < 7; ++i) micros *= 10;
    moment += std::chrono::microseconds(micros);
    text.remove_prefix(digits);
  }
  if (text == "Z") return moment;
  const auto off_hour = fixed_number(text, 1, 2);
  const auto off_minute = fixed_number(text, 4, 2);
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':' || !off_hour || !off_minute || *off_hour > 18 || *off_minute > 59) {
    return std::nullopt;
  }
  const std::chrono::minutes offset = std::chrono::hours(*off_hour) + std::chrono::minutes(*off_minute);
  return text[0] == '+' ? moment - offset : moment + offset;
}

void Spot::complain_at(std::uint32_t line, std::uint32_t column, const std::string& pointer, std::string message) const {
  if (context_->problems->size() >= k_max_diagnostics) return;
  context_->problems->push_back(Diagnostic{*context_->file, line, column, pointer, std::move(message)});
}

std::optional<std::string> Spot::text() const {
  if (node_->kind != YamlNode::Kind::scalar) {
    complain("a text is needed here, not " + std::string(word_of(node_->kind)));
    return std::nullopt;
  }
  return node_->text;
}

std::optional<std::int64_t> Spot::number(std::int64_t least, std::int64_t most) const {
  const auto value = node_->kind == YamlNode::Kind::scalar && !node_->is_quoted ? whole_number<std::int64_t>(node_->text) : std::nullopt;
  if (value && *value >= least && *value <= most) return value;
  complain("a whole number from " + std::to_string(least) + " to " + std::to_string(most) + " is needed here");
  return std::nullopt;
}

std::optional<bool> Spot::flag() const {
  if (node_->kind == YamlNode::Kind::scalar && !node_->is_quoted && (node_->text == "true" || node_->text == "false")) return node_->text == "true";
  complain("true or false is needed here");
  return std::nullopt;
}

std::optional<std::chrono::seconds> Spot::duration() const {
  const auto value = node_->kind == YamlNode::Kind::scalar ? parse_duration(node_->text) : std::nullopt;
  if (!value) complain("a duration is needed here, like 90s, 15m, 8h or 1h30m");
  return value;
}

std::optional<WallTime> Spot::moment() const {
  const auto value = node_->kind == YamlNode::Kind::scalar ? parse_moment(node_->text) : std::nullopt;
  if (!value) complain("a moment is needed here, like 2027-01-01T00:00:00Z");
  return value;
}

void Spot::each(const std::function<void(const Spot&)>& use) const {
  if (node_->kind != YamlNode::Kind::list) {
    complain("a list is needed here, not " + std::string(word_of(node_->kind)));
    return;
  }
  for (std::size_t i = 0; i < node_->items.size(); ++i) use(Spot(*context_, *node_->items[i], pointer_ + "/" + std::to_string(i)));
}

std::vector<std::string> Spot::texts() const {
  std::vector<std::string> result;
  each([&](const Spot& item) {
    if (auto value = item.text()) result.push_back(*std::move(value));
  });
  return result;
}

bool Spot::is_map_of(std::initializer_list<std::string_view> known) const {
  if (node_->kind != YamlNode::Kind::map) {
    complain("a map is needed here, not " + std::string(word_of(node_->kind)));
    return false;
  }
  for (const YamlNode::Entry& entry : node_->entries) {
    if (std::find(known.begin(), known.end(), entry.key) != known.end()) continue;
    if (context_->problems->size() >= k_max_diagnostics) break;
    Suggestion suggestion(entry.key);
    for (const std::string_view key : known) suggestion.consider(key);
    complain_at(entry.line, entry.column, pointer_ + "/" + escaped(entry.key), "unknown key `" + shown(entry.key) + "`" + suggestion.text());
  }
  return true;
}

std::optional<Spot> Spot::field(std::string_view key) const {
  const YamlNode* value = node_->find(key);
  if (value == nullptr || value->kind == YamlNode::Kind::null) return std::nullopt;
  return Spot(*context_, *value, pointer_ + "/" + escaped(key));
}

void Spot::each_entry(const std::function<void(const std::string&, const Spot&, const Spot&)>& use) const {
  if (node_->kind != YamlNode::Kind::map) {
    complain("a map is needed here, not " + std::string(word_of(node_->kind)));
    return;
  }
  for (const YamlNode::Entry& entry : node_->entries) {
    YamlNode key;
    key.line = entry.line;
    key.column = entry.column;
    const std::string pointer = pointer_ + "/" + escaped(entry.key);
    use(entry.key, Spot(*context_, key, pointer), Spot(*context_, *entry.value, pointer));
  }
}

}  // namespace sallyport::policy
