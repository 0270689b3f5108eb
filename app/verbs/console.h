// app/verbs/console.h -- what a verb says: tables for people, JSON for programs, errors on stderr.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/result.h"

namespace sallyport::app {

enum class Format { table, json, jsonl, csv };

/// Options that every verb takes.
struct Common {
  std::string config;  ///< --config, $SALLYPORT_CONFIG, or the default path
  std::string socket;  ///< --socket; empty: run_dir/admin.sock of the configuration
  Format format = Format::table;
  bool output_curl = false;  ///< --output-curl: show the request instead of changing anything
};

struct Column {
  std::string title;
  std::string key;  ///< of the object; "a.b" reaches into it
};

/// Table: one line per object; json: the array; jsonl: one object per line; csv (RFC 4180): the columns, with their keys as header.
/// `empty` is said when a table has no rows.
void print_rows(const Common& common, const boost::json::array& rows, const std::vector<Column>& columns, std::string_view empty);
/// Table: "key: value" lines; json and jsonl: the object; csv: its keys and its values.
void print_object(const Common& common, const boost::json::object& object);

/// One line of CSV without its end. What a spreadsheet would take for a formula gets an apostrophe in front.
[[nodiscard]] std::string csv_line(const std::vector<std::string>& cells);

/// `text` in bold or in red, when standard output is a terminal that wants colours: not with NO_COLOR (no-color.org) or TERM=dumb.
enum class Colour { bold, red };
[[nodiscard]] std::string coloured(const std::string& text, Colour colour);

/// "sallyport: TEXT" on stderr; gives the exit status.
int report(const Error& error);
int usage_error(std::string_view text);

/// Control characters made visible: nothing that came from a target or a client may drive the terminal.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace sallyport::app
