// policy/authority/dialer.h -- a TCP connection to a target, within a deadline, only to addresses that were judged.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "platform/model/ip.h"
#include "platform/model/result.h"
#include "platform/os/fd.h"
#include "policy/authority/deadlines.h"
#include "policy/authority/workers.h"

namespace sallyport::authority {

struct Dialled {
  Fd socket;  ///< connected, non-blocking, TCP_NODELAY
  IpAddress address;
  std::uint16_t port = 0;
  IpAddress local;  ///< our end
};

/// `code` is the message of the catalogue that fits: SP-3001 no answer, SP-3002 refused, SP-3003 unreachable, SP-3004 no
/// address, SP-3005 not permitted.
struct DialFailure {
  std::string code;
  std::string why;
};
using DialResult = tl::expected<Dialled, DialFailure>;

struct DialPlan {
  std::string host;  ///< numeric address or name; a name is resolved once and what was judged is what is dialled
  std::uint16_t port = 22;
  std::chrono::milliseconds deadline{10'000};  ///< for all of it, name resolution included
  /// Nothing when the address may be dialled; else why not.
  std::function<std::optional<DialFailure>(const IpAddress&)> judge;
};

/// Resolves on `resolving`, connects on the loop, calls `done` once. Addresses are tried one after the other, each with its
/// share of the time that is left.
void dial(boost::asio::io_context& io, Deadlines& deadlines, Workers& resolving, DialPlan plan, std::function<void(DialResult)> done);

/// The machine's own addresses, for the rule about the gateway's listeners.
[[nodiscard]] std::vector<IpAddress> own_addresses();

}  // namespace sallyport::authority
