#include "app/verbs/console.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>

#include "app/verbs/exit_codes.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

std::string cell(const json::value& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return printable(std::string_view(value.get_string().data(), value.get_string().size()));
  if (value.is_array()) {
    std::string joined;
    for (const json::value& item : value.get_array()) joined += (joined.empty() ? "" : ",") + cell(item);
    return joined.empty() ? "-" : joined;
  }
  if (value.is_object()) {
    std::string joined;
    for (const auto& [key, item] : value.get_object()) joined += (joined.empty() ? "" : ",") + std::string(key) + "=" + cell(item);
    return joined.empty() ? "-" : joined;
  }
  return json::serialize(value);
}

std::string cell_at(const json::value& row, std::string_view path) {
  const json::value* here = &row;
  while (!path.empty()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    const json::object* object = here->if_object();
    here = object == nullptr ? nullptr : object->if_contains(path.substr(0, dot));
    if (here == nullptr) return "-";
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  const std::string text = cell(*here);
  return text.empty() ? "-" : text;
}

void print_line(const std::string& line) { std::printf("%s\n", line.c_str()); }

std::size_t width_of(std::string_view text) {  // UTF-8: bytes that do not continue a character
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
      out += escaped;
    }
  }
  return out;
}

void print_rows(const Common& common, const json::array& rows, const std::vector<Column>& columns, std::string_view empty) {
  if (common.format == Format::json) return print_line(json::serialize(rows));
  if (common.format == Format::jsonl) {
    for (const json::value& row : rows) print_line(json::serialize(row));
    return;
  }
  if (rows.empty()) return print_line(std::string(empty));
  std::vector<std::vector<std::string>> lines(1);
  for (const Column& column : columns) lines.front().push_back(column.title);
  for (const json::value& row : rows) {
    lines.emplace_back();
    for (const Column& column : columns) lines.back().push_back(cell_at(row, column.key));
  }
  std::vector<std::size_t> widths(columns.size());
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(line[i]));
  for (const auto& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      text += line[i];
      if (i + 1 < line.size()) text.append(widths[i] - width_of(line[i]) + 2, ' ');
    }
    print_line(text);
  }
}

void print_object(const Common& common, const json::object& object) {
  if (common.format != Format::table) return print_line(json::serialize(object));
  std::size_t width = 0;
  for (const auto& [key, value] : object) width = std::max(width, key.size());
  for (const auto& [key, value] : object) {
    std::string line(key);
    line.append(width - key.size() + 2, ' ');
    print_line(line + cell(value));
  }
}

int report(const Error& error) {
  std::fprintf(stderr, "sallyport: %s\n", error.detail.c_str());
  return exit_of(error.code);
}

int usage_error(std::string_view text) {
  std::fprintf(stderr, "sallyport: %.*s\n", static_cast<int>(text.size()), text.data());
  return k_exit_usage;
}

}  // namespace sallyport::app
