// policy/guard/launchers.h -- programs that are made for something else and run what a file, an option or their input names.
#pragma once

#include "policy/guard/walk.h"

namespace sallyport::guard {

/// Runs what `command` would have run: recipes of make, `!` lines of ed and dc, git rebase --exec, env-loading wrappers and the like.
/// True when nothing is left to be read in the command.
bool launcher(Walk& walk, const Command& command, Output& output);

}  // namespace sallyport::guard
