// policy/fleet/address_rules.h -- which resolved address of a target may be dialled. Pure: the caller resolves once,
// asks here for each address, and dials the very address that was judged.
#pragma once

#include <cstdint>
#include <span>

#include "platform/model/ip.h"
#include "policy/fleet/target.h"

namespace sallyport::policy {

/// One of the gateway's own listening sockets. An unspecified address (0.0.0.0, ::) stands for every local address.
struct Listener {
  IpAddress address;
  std::uint16_t port = 0;
};

struct AddressVerdict {
  bool allowed = false;
  const char* code = "";  ///< SP-3xxx when refused
  const char* why = "";
};

/// Unspecified and multicast are always refused; loopback, link-local (clouds' metadata services count as it) and the gateway's own
/// listeners unless the target's `allow_networks` names them. An IPv6 address that stands for an IPv4 one is judged as both. `own_addresses` are the machine's addresses, for listeners
/// that are bound to all of them.
[[nodiscard]] AddressVerdict judge_address(const Target& target, const IpAddress& address, std::uint16_t port,
                                           std::span<const Listener> listeners,
                                           std::span<const IpAddress> own_addresses = {});

}  // namespace sallyport::policy
