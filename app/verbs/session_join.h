// app/verbs/session_join.h -- `sallyport session join`: to be present in somebody's session from the command line.
#pragma once

#include <string>

#include "app/verbs/console.h"

namespace sallyport::app {

/// Until Ctrl-C, or until the session ends. An exit status.
[[nodiscard]] int run_session_join(const Common& common, const std::string& session, const std::string& reason);

}  // namespace sallyport::app
