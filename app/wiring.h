// app/wiring.h -- which function serves which service: the only place of the program that sees all rooms at once.
#pragma once

#include <string>

#include "platform/os/fd.h"

namespace sallyport::app {

/// Runs the service until the keeper ends it; gives the exit status of the process. 2 for a name that is none.
int run_wired_service(const std::string& name, Fd control);

}  // namespace sallyport::app
