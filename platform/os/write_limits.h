// platform/os/write_limits.h -- a process that reads what others made gives up writing (Landlock, landlock(7)).
#pragma once

#include <filesystem>
#include <span>

#include "platform/model/result.h"

namespace sallyport::os {

enum class Programs { as_before, none };  ///< what the process may still execute

/// From now on this process, and what it starts, makes, changes and removes files only below `folders` and in /dev/null; what is open stays
/// open. Reading is as before. False: this kernel has no Landlock. Errc::unavailable: it has, and refused. Sets no_new_privs.
[[nodiscard]] Result<bool> write_only_below(std::span<const std::filesystem::path> folders, Programs programs = Programs::as_before);

}  // namespace sallyport::os
