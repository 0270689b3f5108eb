// policy/guard/effects.h -- which files a command reads, writes, removes or changes, by what is known of the programs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy/guard/walk.h"

namespace sallyport::guard {

/// Paths are absolute and clean where the working directory is known; live wildcards and holes stay in them.
struct Effects {
  std::vector<std::string> reads;
  std::vector<std::string> writes;
  std::vector<std::string> deletes;
  std::vector<std::string> changes;
  std::vector<std::string> edits;
  std::vector<std::string> operands;  ///< words that are neither options nor the program, as they are
  std::vector<std::size_t> options_before;  ///< for each operand: how many options stand in front of it
};
[[nodiscard]] Effects effects_of(const Command& command);

}  // namespace sallyport::guard
