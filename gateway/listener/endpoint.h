// gateway/listener/endpoint.h -- socket addresses as values, and what counts as one source.
#pragma once

#include <sys/socket.h>

#include <compare>
#include <cstdint>
#include <optional>

#include "platform/model/ip.h"

namespace sallyport::gateway {

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};

/// Nothing for families that are not IP.
[[nodiscard]] std::optional<Endpoint> endpoint_of(const sockaddr_storage& from) noexcept;

/// One source is an IPv4 address, or the /64 of an IPv6 address (a host owns that many).
[[nodiscard]] inline IpAddress source_of(const IpAddress& address) noexcept {
  return address.is_v4() ? address : address.masked(64);
}

}  // namespace sallyport::gateway
