#include "policy/fleet/address_rules.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace sallyport::policy {
namespace {

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

/// Where clouds' machines ask for their credentials, besides 169.254.169.254: AWS, Google, Alibaba, Azure.
bool is_metadata_service(const IpAddress& address) {
  static const std::array<IpAddress, 4> all = {ip("fd00:ec2::254"), ip("fd20:ce::254"), ip("100.100.100.200"), ip("168.63.129.16")};
  return std::find(all.begin(), all.end(), address) != all.end();
}

/// The IPv4 address that a packet to this IPv6 address may be taken to: IPv4-compatible ::a.b.c.d (RFC 4291 section 2.5.5.1), translated
/// ::ffff:0:a.b.c.d (RFC 2765), NAT64 64:ff9b::/96 and 64:ff9b:1::/48 with the address in its last bits (RFC 6052, 8215), 6to4
/// 2002:a.b.c.d::/16 (RFC 3056), Teredo 2001::/32 (RFC 4380 section 4: the client's address, inverted).
std::optional<IpAddress> embedded_v4(const IpAddress& address) {
  if (address.is_v4() || address.is_unspecified() || address.is_loopback()) return std::nullopt;
  static const std::array<Network, 4> in_last_bits = {Network(ip("::"), 96), Network(ip("::ffff:0:0:0"), 96), Network(ip("64:ff9b::"), 96),
                                                      Network(ip("64:ff9b:1::"), 48)};
  static const Network six_to_four(ip("2002::"), 16), teredo(ip("2001::"), 32);
  std::string raw(address.bytes().begin(), address.bytes().end());
  if (six_to_four.contains(address)) return IpAddress::from_bytes(std::string_view(raw).substr(2, 4));
  if (teredo.contains(address)) {
    for (char& byte : raw) byte = static_cast<char>(~byte);
  } else if (std::none_of(in_last_bits.begin(), in_last_bits.end(), [&](const Network& one) { return one.contains(address); })) {
    return std::nullopt;
  }
  return IpAddress::from_bytes(std::string_view(raw).substr(12, 4));
}

}  // namespace

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
  if (is_metadata_service(address) && !target.allow_link_local) {
    return {false, k_code, "it is a cloud's metadata service (allow_networks: [link-local] would permit it)"};
  }
  // A translator on the way may take it to an IPv4 address, which is then what is dialled.
  if (const auto inner = embedded_v4(address)) return judge_address(target, *inner, port, listeners, own_addresses);
  return {true, "", ""};
}

}  // namespace sallyport::policy
