// policy/authority/service.h -- the authority as a process: who, what, may they; dials, logs, lends, cuts.
#pragma once

#include <functional>
#include <memory>

#include "platform/model/clock.h"
#include "platform/model/settings.h"
#include "platform/os/fd.h"

namespace boost::asio {
class io_context;
}

namespace sallyport::authority {

class Administration;

/// Something that runs on the authority's loop as long as it serves: the admin API.
class Front {
 public:
  virtual ~Front() = default;
};

struct AuthorityOptions {
  Clock* clock = nullptr;  ///< nullptr: the machine's
  /// Makes the admin API once the authority serves; empty: none. Wired in app/, since admin stands above this floor.
  std::function<std::unique_ptr<Front>(boost::asio::io_context&, Administration&, const Settings&)> make_front;
};

/// Serves on the keeper's link until Shutdown or until the keeper is gone; gives the process's exit status. The keeper sends
/// Reload first, then Attach for vault, recorder, listener and each session. Ready is said when the journal answers.
/// Settings: state_dir, run_dir, node, public_address, policy_dir (optional), login_grace_ms, factor_grace_ms,
/// dial_timeout_ms, certificate_validity_ms, certificate_source_addresses, hold_ms, keepalive_ms, full_recording_bytes,
/// listen (the gateway's own addresses), admin_operators.
[[nodiscard]] int run_service(AuthorityOptions options, Fd keeper_link);

}  // namespace sallyport::authority
