#include "app/verbs/exit_codes.h"

namespace sallyport::app {

int exit_of(Errc code) noexcept {
  switch (code) {
    case Errc::not_found: return k_exit_not_found;
    case Errc::denied: return k_exit_denied;
    case Errc::sealed: return k_exit_unavailable;
    case Errc::conflict: return k_exit_conflict;
    case Errc::invalid: return k_exit_usage;
    case Errc::unavailable: return k_exit_unavailable;
    case Errc::corrupt: return k_exit_verification_failed;
    case Errc::cancelled: return k_exit_interrupted;
    case Errc::internal: return k_exit_failure;
  }
  return k_exit_failure;
}

int exit_of_status(unsigned status) noexcept {
  if (status < 400) return k_exit_ok;
  switch (status) {
    case 400:
    case 413:
    case 415:
    case 422: return k_exit_usage;
    case 401:
    case 403: return k_exit_denied;
    case 404: return k_exit_not_found;
    case 409:
    case 412: return k_exit_conflict;
    case 423:
    case 502:
    case 503:
    case 504: return k_exit_unavailable;
    case 428: return k_exit_approval_needed;
    default: return k_exit_failure;
  }
}

}  // namespace sallyport::app
