#include "gateway/listener/proxy_protocol.h"

#include <algorithm>
#include <array>

#include "platform/crypto/crc32c.h"
#include "platform/model/bytes.h"

namespace sallyport::gateway {
namespace {

constexpr std::array<unsigned char, 12> k_signature{0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                                    0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
constexpr unsigned k_version = 2;
constexpr unsigned k_local = 0;
constexpr unsigned k_proxy = 1;
constexpr unsigned k_unspecified = 0x00;
constexpr unsigned k_tcp4 = 0x11;
constexpr unsigned k_tcp6 = 0x21;
constexpr unsigned k_tlv_crc32c = 0x03;
constexpr std::size_t k_tlv_head = 3;

unsigned at(ByteView bytes, std::size_t index) { return std::to_integer<unsigned>(bytes[index]); }
unsigned big16(ByteView bytes, std::size_t index) { return at(bytes, index) << 8 | at(bytes, index + 1); }
std::uint32_t big32(ByteView bytes, std::size_t index) {
  return static_cast<std::uint32_t>(big16(bytes, index)) << 16 | big16(bytes, index + 2);
}

ProxyParse refused(std::string_view why) { return ProxyParse{ProxyParse::Result::refused, 0, {}, why}; }

bool signature_fits(ByteView bytes) {
  for (std::size_t i = 0; i < std::min(bytes.size(), k_signature.size()); ++i)
    if (at(bytes, i) != k_signature[i]) return false;
  return true;
}

/// The checksum covers the whole header with its own four bytes as zero.
bool checksum_fits(ByteView header, std::size_t value_at) {
  constexpr std::array<std::byte, 4> zeros{};
  std::uint32_t crc = crypto::crc32c(header.first(value_at));
  crc = crypto::crc32c(zeros, crc);
  crc = crypto::crc32c(header.subspan(value_at + zeros.size()), crc);
  return crc == big32(header, value_at);
}

/// An empty view when every TLV fits.
std::string_view tlv_fault(ByteView header, std::size_t from) {
  while (from < header.size()) {
    if (header.size() - from < k_tlv_head) return "a TLV is cut";
    const unsigned type = at(header, from);
    const std::size_t size = big16(header, from + 1);
    from += k_tlv_head;
    if (size > header.size() - from) return "a TLV is longer than the header";
    if (type == k_tlv_crc32c) {
      if (size != 4) return "the checksum is not four bytes";
      if (!checksum_fits(header, from)) return "the checksum is wrong";
    }
    from += size;
  }
  return {};
}

Endpoint endpoint_at(ByteView header, std::size_t address_at, std::size_t address_size, std::size_t port_at) {
  const auto address = IpAddress::from_bytes(text_of(header.subspan(address_at, address_size)));
  return Endpoint{address.value_or(IpAddress{}), static_cast<std::uint16_t>(big16(header, port_at))};
}

}  // namespace

ProxyParse parse_proxy_header(std::span<const std::byte> bytes) {
  if (!signature_fits(bytes)) return refused("not a PROXY protocol v2 signature");
  if (bytes.size() < k_proxy_fixed_bytes) return ProxyParse{ProxyParse::Result::need_more, k_proxy_fixed_bytes, {}, {}};
  const unsigned version = at(bytes, 12) >> 4;
  const unsigned command = at(bytes, 12) & 0x0f;
  const unsigned family = at(bytes, 13);
  if (version != k_version) return refused("not version 2");
  if (command != k_local && command != k_proxy) return refused("unknown command");
  const std::size_t whole = k_proxy_fixed_bytes + big16(bytes, 14);
  if (whole > k_max_proxy_header) return refused("the header is too long");
  if (bytes.size() < whole) return ProxyParse{ProxyParse::Result::need_more, whole, {}, {}};

  const ByteView header = bytes.first(whole);
  ProxyParse parse{ProxyParse::Result::complete, whole, {}, {}};
  // LOCAL: whatever stands in the address block is to be ignored.
  if (command == k_local || family == k_unspecified) return parse;
  if (family != k_tcp4 && family != k_tcp6) return refused("neither TCP over IPv4 nor over IPv6");
  const std::size_t address_size = family == k_tcp4 ? 4 : 16;
  const std::size_t ports_at = k_proxy_fixed_bytes + 2 * address_size;
  if (whole < ports_at + 4) return refused("the address block is cut");
  const std::string_view fault = tlv_fault(header, ports_at + 4);
  if (!fault.empty()) return refused(fault);
  parse.header.client = endpoint_at(header, k_proxy_fixed_bytes, address_size, ports_at);
  parse.header.local = endpoint_at(header, k_proxy_fixed_bytes + address_size, address_size, ports_at + 2);
  return parse;
}

}  // namespace sallyport::gateway
