#include "platform/model/ip.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sallyport {
namespace {

constexpr std::array<std::uint8_t, 12> k_mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.empty() || text.size() > INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) return std::nullopt;
  const std::string terminated(text);
  std::array<char, 16> raw{};
  if (text.find(':') == std::string_view::npos) {
    // glibc's inet_pton wants exactly four decimal parts; leading zeros ("010") are refused by us.
    for (std::size_t i = 0; i + 1 < text.size(); ++i) {
      const bool part_begins = i == 0 || text[i - 1] == '.';
      if (part_begins && text[i] == '0' && text[i + 1] != '.') return std::nullopt;
    }
    if (inet_pton(AF_INET, terminated.c_str(), raw.data()) != 1) return std::nullopt;
    return from_bytes(std::string_view(raw.data(), 4));
  }
  if (inet_pton(AF_INET6, terminated.c_str(), raw.data()) != 1) return std::nullopt;
  return from_bytes(std::string_view(raw.data(), 16));
}

std::optional<IpAddress> IpAddress::from_bytes(std::string_view network_order) {
  IpAddress address;
  if (network_order.size() == 16 &&
      std::memcmp(network_order.data(), k_mapped_prefix.data(), k_mapped_prefix.size()) == 0) {
    network_order.remove_prefix(k_mapped_prefix.size());
  }
  if (network_order.size() != 4 && network_order.size() != 16) return std::nullopt;
  std::memcpy(address.bytes_.data(), network_order.data(), network_order.size());
  address.v4_ = network_order.size() == 4;
  return address;
}

std::string IpAddress::str() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(v4_ ? AF_INET : AF_INET6, bytes_.data(), text.data(), text.size());
  return text.data();
}

bool IpAddress::is_loopback() const noexcept {
  if (v4_) return bytes_[0] == 127;
  return std::all_of(bytes_.begin(), bytes_.end() - 1, [](std::uint8_t b) { return b == 0; }) && bytes_[15] == 1;
}

bool IpAddress::is_link_local() const noexcept {
  if (v4_) return bytes_[0] == 169 && bytes_[1] == 254;
  return bytes_[0] == 0xfe && (bytes_[1] & 0xc0U) == 0x80;
}

bool IpAddress::is_unspecified() const noexcept {
  if (v4_) return bytes_[0] == 0;
  return std::all_of(bytes_.begin(), bytes_.end(), [](std::uint8_t b) { return b == 0; });
}

bool IpAddress::is_multicast() const noexcept {
  if (!v4_) return bytes_[0] == 0xff;
  return (bytes_[0] & 0xf0U) == 0xe0 || std::all_of(bytes_.begin(), bytes_.begin() + 4, [](std::uint8_t b) { return b == 255; });
}

IpAddress IpAddress::masked(unsigned length) const noexcept {
  IpAddress result = *this;
  const unsigned count = bits() / 8;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned first_bit = i * 8;
    if (first_bit >= length) {
      result.bytes_[i] = 0;
    } else if (length - first_bit < 8) {
      result.bytes_[i] = static_cast<std::uint8_t>(result.bytes_[i] & (0xff00U >> (length - first_bit)));
    }
  }
  return result;
}

std::optional<Network> Network::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return Network(*address, address->bits());
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
  // "::ffff:10.0.0.0/104" was turned into IPv4: its length counts from the mapped prefix.
  if (address->is_v4() && text.find(':') != std::string_view::npos) {
    if (length < 96) return std::nullopt;
    length -= 96;
  }
  if (length > address->bits() || address->masked(length) != *address) return std::nullopt;
  return Network(*address, length);
}

bool Network::contains(const IpAddress& address) const noexcept {
  return address.is_v4() == address_.is_v4() && address.masked(length_) == address_;
}

std::string Network::str() const { return address_.str() + "/" + std::to_string(length_); }

}  // namespace sallyport
