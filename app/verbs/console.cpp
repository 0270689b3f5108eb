#include "app/verbs/console.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>

#include "app/verbs/exit_codes.h"
#include "platform/model/json_text.h"

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
    for (const auto& [key, item] : value.get_object()) joined += (joined.empty() ? "" : ",") + printable(key) + "=" + cell(item);
    return joined.empty() ? "-" : joined;
  }
  return json::serialize(value);
}

void print_line(const std::string& line) { std::printf("%s\n", line.c_str()); }

/// As `cell`, but nothing for what is not there: programs read it.
std::string csv_cell(const json::value* value) {
  if (value == nullptr || value->is_null()) return {};
  const bool is_empty = (value->is_array() && value->get_array().empty()) || (value->is_object() && value->get_object().empty());
  return is_empty ? std::string() : cell(*value);
}

const json::value* value_at(const json::value& row, std::string_view path) {
  const json::value* here = &row;
  while (!path.empty() && here != nullptr) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    const json::object* object = here->if_object();
    here = object == nullptr ? nullptr : object->if_contains(path.substr(0, dot));
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  return here;
}

std::string cell_at(const json::value& row, std::string_view path) {
  const json::value* found = value_at(row, path);
  const std::string text = found == nullptr ? std::string() : cell(*found);
  return text.empty() ? "-" : text;
}

void print_csv(const json::array& rows, const std::vector<Column>& columns) {
  std::vector<std::string> cells;
  for (const Column& column : columns) cells.push_back(column.key);
  print_line(csv_line(cells) + "\r");
  for (const json::value& row : rows) {
    cells.clear();
    for (const Column& column : columns) cells.push_back(csv_cell(value_at(row, column.key)));
    print_line(csv_line(cells) + "\r");
  }
}

std::size_t width_of(std::string_view text) {  // UTF-8: bytes that do not continue a character
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character next = first_character(text);
    if (next.bytes != 0 && !next.steers) {
      out += text.substr(0, next.bytes);
    } else {
      char escaped[16];
      const bool is_byte = next.bytes < 2;
      std::snprintf(escaped, sizeof escaped, is_byte ? "\\x%02x" : "\\u%04x", is_byte ? static_cast<unsigned char>(text.front()) : next.point);
      out += escaped;
    }
    text.remove_prefix(next.bytes == 0 ? 1 : next.bytes);
  }
  return out;
}

void print_rows(const Common& common, const json::array& rows, const std::vector<Column>& columns, std::string_view empty) {
  if (common.format == Format::json) return print_line(json_without_steering(json::serialize(rows)));
  if (common.format == Format::jsonl) {
    for (const json::value& row : rows) print_line(json_without_steering(json::serialize(row)));
    return;
  }
  if (common.format == Format::csv) return print_csv(rows, columns);
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
    print_line(&line == &lines.front() ? coloured(text, Colour::bold) : text);
  }
}

void print_object(const Common& common, const json::object& object) {
  if (common.format == Format::csv) {
    std::vector<std::string> names;
    std::vector<std::string> values;
    for (const auto& [key, value] : object) {
      names.emplace_back(key);
      values.push_back(csv_cell(&value));
    }
    print_line(csv_line(names) + "\r");
    return print_line(csv_line(values) + "\r");
  }
  if (common.format != Format::table) return print_line(json_without_steering(json::serialize(object)));
  std::size_t width = 0;
  for (const auto& [key, value] : object) width = std::max(width, key.size());
  for (const auto& [key, value] : object) {
    std::string line = printable(key);
    line.append(width - std::min(width, key.size()) + 2, ' ');
    print_line(line + cell(value));
  }
}

std::string csv_line(const std::vector<std::string>& cells) {
  std::string line;
  for (const std::string& cell : cells) {
    const bool is_formula = !cell.empty() && (cell[0] == '=' || cell[0] == '+' || cell[0] == '@' || (cell[0] == '-' && (cell.size() == 1 || cell[1] < '0' || cell[1] > '9')));
    const bool quoted = cell.find_first_of(",\"\r\n") != std::string::npos || cell.starts_with(' ') || cell.ends_with(' ');
    if (&cell != &cells.front()) line += ',';
    if (quoted) line += '"';
    if (is_formula) line += '\'';
    for (const char c : cell) {
      if (c == '"') line += '"';
      line += c;
    }
    if (quoted) line += '"';
  }
  return line;
}

std::string coloured(const std::string& text, Colour colour) {
  static const bool wanted = [] {
    const char* no = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    return isatty(STDOUT_FILENO) != 0 && (no == nullptr || *no == '\0') && terminal != nullptr && std::string_view(terminal) != "dumb";
  }();
  if (!wanted) return text;
  return (colour == Colour::bold ? "\x1b[1m" : "\x1b[1;31m") + text + "\x1b[0m";
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
