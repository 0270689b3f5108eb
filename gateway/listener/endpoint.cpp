#include "gateway/listener/endpoint.h"

#include <netinet/in.h>

#include <cstring>

namespace sallyport::gateway {

std::optional<Endpoint> endpoint_of(const sockaddr_storage& from) noexcept {
  std::optional<IpAddress> address;
  std::uint16_t port = 0;
  if (from.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &from, sizeof v4);
    address = IpAddress::from_bytes({reinterpret_cast<const char*>(&v4.sin_addr), sizeof v4.sin_addr});
    port = ntohs(v4.sin_port);
  } else if (from.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &from, sizeof v6);
    address = IpAddress::from_bytes({reinterpret_cast<const char*>(&v6.sin6_addr), sizeof v6.sin6_addr});
    port = ntohs(v6.sin6_port);
  }
  if (!address) return std::nullopt;
  return Endpoint{*address, port};
}

}  // namespace sallyport::gateway
