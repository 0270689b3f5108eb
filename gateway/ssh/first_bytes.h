// gateway/ssh/first_bytes.h -- tells by the first bytes of a tunnel whether it carries a connection to somewhere else.
//
// Only what is said in clear: SSH, RDP, VNC, telnet, and the proxy protocols: HTTP (CONNECT and whole addresses), SOCKS4, SOCKS5 and the
// PROXY header. A protocol
// inside TLS is not seen; what may be reached at all is the tunnel rules' matter (docs/explanation/onward-hops.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "platform/model/bytes.h"

namespace sallyport::gateway {

enum class Onward : std::uint8_t { none, ssh, rdp, vnc, telnet, http_connect, http_proxy, socks, proxy_header };
[[nodiscard]] std::string_view name_of(Onward protocol) noexcept;

/// One tunnel, both directions. Keeps at most 16 bytes of each; after them it only says `none`.
class FirstBytes {
 public:
  /// `from_opener`: bytes of the side that opened the tunnel.
  [[nodiscard]] Onward look(bool from_opener, std::span<const std::byte> data);

 private:
  static constexpr std::size_t k_looked_at = 16;
  std::array<Bytes, 2> seen_;
};

}  // namespace sallyport::gateway
