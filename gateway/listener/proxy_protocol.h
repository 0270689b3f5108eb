// gateway/listener/proxy_protocol.h -- PROXY protocol version 2, the binary header a load balancer puts in front.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "gateway/listener/endpoint.h"

namespace sallyport::gateway {

constexpr std::size_t k_proxy_fixed_bytes = 16;   ///< signature, version, family, length
constexpr std::size_t k_max_proxy_header = 2048;  ///< with its TLVs; a longer one is refused

struct ProxyHeader {
  /// Nothing: LOCAL (the balancer's own health check) or an unspecified family; the socket's addresses are the true
  /// ones.
  std::optional<Endpoint> client;
  std::optional<Endpoint> local;
};

struct ProxyParse {
  enum class Result { complete, need_more, refused };
  Result result = Result::refused;
  std::size_t wanted = 0;  ///< need_more: the whole size, as far as it is known; complete: the header's size
  ProxyHeader header;
  std::string_view why;  ///< refused: a constant text
};

/// Pure. Looks at the first bytes of a connection; never wants more than k_max_proxy_header. Version 1 (text), other
/// versions, UDP and unix families, a wrong CRC32C and TLVs that do not fit are refused. Specification: haproxy's
/// proxy-protocol.txt, section 2.2.
[[nodiscard]] ProxyParse parse_proxy_header(std::span<const std::byte> bytes);

}  // namespace sallyport::gateway
