// gateway/listener/run_state.h -- how an execution of the fork server finds what the one before it saved.
#pragma once

namespace sallyport::gateway {

/// Environment variable: number of the inherited descriptor of the saved state. Set by the process for itself only.
constexpr const char* k_state_variable = "SALLYPORT_LISTENER_STATE";

}  // namespace sallyport::gateway
