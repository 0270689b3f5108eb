// policy/access/tunnels.h -- where a tunnel may lead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "platform/model/ip.h"
#include "platform/model/result.h"

namespace sallyport::policy {

/// One entry of `tunnels:`. Host: a name, "*.zone", "*", an address, a CIDR network ("[2001:db8::/32]:443" for IPv6).
/// Port: a number, "8000-8100" or "*". "unix:/run/app.sock" or "unix:/run/app/*" for sockets.
/// A network never matches a host *name*: the name is resolved at the target, not here.
class TunnelPattern {
 public:
  [[nodiscard]] static Result<TunnelPattern> parse(std::string_view text);
  [[nodiscard]] bool matches(std::string_view host, std::uint16_t port) const;
  [[nodiscard]] bool matches_socket(std::string_view normalised_path) const;
  /// Names one single port 22: the only way to allow an onward hop.
  [[nodiscard]] bool is_hop() const noexcept { return first_port_ == 22 && last_port_ == 22; }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
  std::string host_;  ///< lower case; "" with network_ or any_host_
  std::optional<Network> network_;
  bool any_host_ = false;
  bool is_suffix_ = false;
  bool is_socket_ = false;
  std::uint16_t first_port_ = 0;
  std::uint16_t last_port_ = 0;
};

/// One place that somebody asks about: "db.internal:5432", "[2001:db8::1]:443" or "unix:/run/app.sock".
struct Destination {
  [[nodiscard]] static Result<Destination> parse(std::string_view text);
  std::string host;
  std::uint16_t port = 0;
  std::string path;  ///< of a socket; no host and port then
};

/// A host as rules see it: lower case, without a final dot, addresses in their one spelling. Empty when it is neither an
/// address nor a host name: things like "0x7f.1" or "127.1", which a resolver might read as an address.
[[nodiscard]] std::string canonical_host(std::string_view host);

}  // namespace sallyport::policy
