// recorder/replay/viewing.h -- the replay process: opens one session's entries and shows them, over one socket.
//
// The caller of run_viewing has locked the process in before (no files, no network: app/verbs/replay_process.cpp). What it is
// handed are sealed entries, what it gives are parts for the eye; the session key never leaves it again.
#pragma once

#include "platform/model/result.h"

namespace sallyport::replay {

/// Serves one viewing and returns when it is over. Errors were told to the other side already.
Result<void> run_viewing(int fd);

}  // namespace sallyport::replay
