// recorder/service.h -- the recorder process: drains rings, keeps the journal, answers for audit events, makes checkpoints.
#pragma once

#include "platform/os/fd.h"

namespace sallyport::recorder {

/// Serves on the keeper's link until Shutdown, or until the keeper and all sessions are gone (at most 35 s after the keeper).
/// The first message must be Reload. Returns the exit code: 0 stopped in order, 2 bad settings, 1 anything else.
/// One thread and an epoll loop, plus a thread for fdatasync and one for witnesses; nothing else may run in the process.
int run_service(Fd keeper_link);

}  // namespace sallyport::recorder
