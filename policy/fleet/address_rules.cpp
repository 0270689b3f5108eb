#include "policy/fleet/address_rules.h"

#include <algorithm>

namespace sallyport::policy {

AddressVerdict judge_address(const Target& target, const IpAddress& address, std::uint16_t port,
                             std::span<const Listener> listeners, std::span<const IpAddress> own_addresses) {
  constexpr const char* k_code = "SP-3005";
  if (port == 0) return {false, k_code, "port 0 is nowhere"};
  if (address.is_unspecified()) return {false, k_code, "the unspecified address means this machine"};
  if (address.is_multicast()) return {false, k_code, "it is a multicast or broadcast address"};

  const auto is_own = [&] {
    return address.is_loopback() || std::find(own_addresses.begin(), own_addresses.end(), address) != own_addresses.end();
  };
  const bool is_listener = std::any_of(listeners.begin(), listeners.end(), [&](const Listener& listener) {
    if (listener.port != port) return false;
    return listener.address == address || (listener.address.is_unspecified() && is_own());
  });
  if (is_listener && !target.allow_gateway) {
    return {false, k_code, "it is the gateway's own listener (allow_networks: [gateway] would permit it)"};
  }
  if (address.is_loopback() && !target.allow_loopback) {
    return {false, k_code, "it is a loopback address (allow_networks: [loopback] would permit it)"};
  }
  if (address.is_link_local() && !target.allow_link_local) {
    return {false, k_code, "it is a link-local address (allow_networks: [link-local] would permit it)"};
  }
  return {true, "", ""};
}

}  // namespace sallyport::policy
