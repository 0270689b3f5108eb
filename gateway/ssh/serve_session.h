// gateway/ssh/serve_session.h -- the life of one session process, after the fork and until its exit.
#pragma once

#include "gateway/ssh/session_handover.h"

namespace sallyport::gateway {

/// Enters the sandbox, serves the connection until it is over, and returns the exit code of the process: 0 for every
/// orderly end (refusals included), 1 when the sandbox could not be entered, 2 for an internal error. Does not throw.
[[nodiscard]] int serve_session(SessionHandover&& handover);

}  // namespace sallyport::gateway
