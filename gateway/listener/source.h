// gateway/listener/source.h -- network addresses as the limits see them.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "platform/model/result.h"

namespace sallyport::gateway {

/// An IP address; IPv4 is kept as IPv4-mapped IPv6, so that the same machine is one source on both kinds of sockets.
struct Address {
  std::array<std::uint8_t, 16> bytes{};
  std::uint16_t port = 0;

  [[nodiscard]] bool is_v4() const noexcept;
  /// Numeric, IPv4-mapped as IPv4, without the port.
  [[nodiscard]] std::string text() const;
  auto operator<=>(const Address&) const = default;
};

/// Nothing for address families that are not IP.
[[nodiscard]] std::optional<Address> address_of(const sockaddr_storage& from);
[[nodiscard]] std::optional<Address> parse_address(std::string_view text);

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 address.
struct Source {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Source&) const = default;
};
[[nodiscard]] Source source_of(const Address& address);

struct Network {
  std::array<std::uint8_t, 16> bytes{};
  unsigned bits = 128;  ///< of the mapped form
  [[nodiscard]] bool contains(const Address& address) const noexcept;
};
/// "10.0.0.0/8", "2001:db8::1". Errc::invalid for anything else.
[[nodiscard]] Result<Network> parse_network(std::string_view text);

}  // namespace sallyport::gateway
