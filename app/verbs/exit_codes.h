// app/verbs/exit_codes.h -- how a verb ends; scripts may rely on these numbers (docs/reference/cli.md).
#pragma once

#include "platform/model/result.h"

namespace sallyport::app {

enum Exit : int {
  k_exit_ok = 0,
  k_exit_failure = 1,
  k_exit_usage = 2,
  k_exit_not_found = 3,
  k_exit_denied = 4,
  k_exit_approval_needed = 5,
  k_exit_conflict = 6,
  k_exit_unavailable = 7,
  k_exit_verification_failed = 8,
  k_exit_interrupted = 130,
};

[[nodiscard]] int exit_of(Errc code) noexcept;
/// For an HTTP status of the admin API.
[[nodiscard]] int exit_of_status(unsigned status) noexcept;

}  // namespace sallyport::app
