// platform/model/ip.h -- IP addresses and networks as values. No resolver, no socket.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sallyport {

/// An IPv4 or IPv6 address. IPv4-mapped IPv6 (::ffff:a.b.c.d) is always held as IPv4, so that a rule for the one cannot
/// be passed by writing the other. Zones (fe80::1%eth0) are not kept and not accepted.
class IpAddress {
 public:
  IpAddress() = default;  ///< 0.0.0.0
  /// Dotted quad or RFC 4291 text; nothing looser ("127.1", "010.0.0.1" and "0x7f000001" are refused).
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);
  /// From 4 or 16 bytes in network order.
  [[nodiscard]] static std::optional<IpAddress> from_bytes(std::string_view network_order);

  [[nodiscard]] bool is_v4() const noexcept { return v4_; }
  [[nodiscard]] unsigned bits() const noexcept { return v4_ ? 32 : 128; }
  /// Network order; the first 4 count for IPv4.
  [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::string str() const;

  [[nodiscard]] bool is_loopback() const noexcept;     ///< 127.0.0.0/8, ::1
  [[nodiscard]] bool is_link_local() const noexcept;   ///< 169.254.0.0/16, fe80::/10
  [[nodiscard]] bool is_unspecified() const noexcept;  ///< 0.0.0.0/8, ::
  [[nodiscard]] bool is_multicast() const noexcept;    ///< 224.0.0.0/4, 255.255.255.255, ff00::/8
  /// The address with every bit after `length` cleared.
  [[nodiscard]] IpAddress masked(unsigned length) const noexcept;

  auto operator<=>(const IpAddress&) const = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  bool v4_ = true;
};

/// A CIDR network; a bare address is a network of one.
class Network {
 public:
  /// "10.0.0.0/8", "2001:db8::/32", "10.1.2.3". Refused when a bit after the prefix is set ("10.1.2.3/8").
  [[nodiscard]] static std::optional<Network> parse(std::string_view text);
  Network(IpAddress address, unsigned length) : address_(address.masked(length)), length_(length) {}

  [[nodiscard]] bool contains(const IpAddress& address) const noexcept;
  [[nodiscard]] const IpAddress& address() const noexcept { return address_; }
  [[nodiscard]] unsigned length() const noexcept { return length_; }
  [[nodiscard]] std::string str() const;
  auto operator<=>(const Network&) const = default;

 private:
  IpAddress address_;
  unsigned length_ = 32;
};

}  // namespace sallyport
