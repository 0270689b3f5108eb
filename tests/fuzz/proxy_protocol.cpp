// Bytes of a connection as the PROXY protocol parser sees them, whole and in pieces.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "gateway/listener/proxy_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using sallyport::gateway::ProxyParse;
  const auto bytes = std::as_bytes(std::span(data, size));
  const ProxyParse whole = sallyport::gateway::parse_proxy_header(bytes);
  // As the listener reads: only ever up to what the parser asks for. It must come to the same end.
  std::size_t have = 0;
  for (;;) {
    const ProxyParse part = sallyport::gateway::parse_proxy_header(bytes.first(have));
    if (part.result != ProxyParse::Result::need_more) {
      if (part.result != whole.result) std::abort();
      if (part.result == ProxyParse::Result::complete && part.wanted != have) std::abort();
      return 0;
    }
    if (part.wanted <= have || part.wanted > sallyport::gateway::k_max_proxy_header) std::abort();
    if (part.wanted > size) {
      if (whole.result == ProxyParse::Result::complete) std::abort();
      return 0;
    }
    have = part.wanted;
  }
}
