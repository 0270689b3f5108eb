// policy/guard/wrapper_table.h -- the programs that run `PROGRAM ARGS...`, and where in their arguments it stands.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "policy/guard/argv_words.h"

namespace sallyport::guard {

/// How a program that runs `PROGRAM ARGS...` is read: its options with a value, and how many operands stand before the command.
struct Wrapper {
  std::string_view name;
  std::string_view short_values;  ///< letters
  std::string_view long_values;   ///< blank-separated, without `--`
  int operands = 0;               ///< before the command
  bool assigns = false;           ///< NAME=value before the command
};
/// nullptr: not such a program.
[[nodiscard]] const Wrapper* find_wrapper(std::string_view name);

/// Where the command of a wrapper begins; argv.size() when there is none.
[[nodiscard]] std::size_t command_at(const Argv& argv, const Wrapper& spec, std::size_t from = 1);

/// The value of an option given as `-x VALUE`, `-xVALUE`, `--long VALUE` or `--long=VALUE`.
[[nodiscard]] std::optional<std::string> option_value(const Argv& argv, std::string_view short_name, std::string_view long_name = {});

}  // namespace sallyport::guard
