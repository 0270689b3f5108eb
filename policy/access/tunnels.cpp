#include "policy/access/tunnels.h"

#include <algorithm>
#include <charconv>

#include "policy/access/file_rules.h"

namespace sallyport::policy {
namespace {

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || port == 0) return std::nullopt;
  return port;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool is_host_label(std::string_view label) {
  return !label.empty() && label.size() <= 63 && label.front() != '-' && std::all_of(label.begin(), label.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

/// Could inet_aton() read this label as the last part of an address ("127", "0x7f")?
bool looks_numeric(std::string_view label) {
  if (label.starts_with("0x")) return true;
  return std::all_of(label.begin(), label.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string canonical_host(std::string_view host) {
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (const auto address = IpAddress::parse(host)) return address->str();
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  if (host.empty() || host.size() > 253) return {};
  std::string result = lower(host);
  std::string_view rest = result;
  std::string_view label;
  while (true) {
    const std::size_t dot = rest.find('.');
    label = rest.substr(0, dot);
    if (!is_host_label(label)) return {};
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  if (looks_numeric(label)) return {};
  return result;
}

Result<TunnelPattern> TunnelPattern::parse(std::string_view text) {
  TunnelPattern pattern;
  pattern.text_ = std::string(text);
  const auto wrong = [&](std::string_view why) { return fail(Errc::invalid, "`" + std::string(text) + "`: " + std::string(why)); };

  if (text.starts_with("unix:")) {
    std::string_view path = text.substr(5);
    pattern.is_socket_ = true;
    if (path.ends_with("/*")) {
      pattern.is_suffix_ = true;
      path.remove_suffix(2);
    }
    pattern.host_ = normalise_path(path);
    if (pattern.host_.empty() || (pattern.host_ != path && !(path.empty() && pattern.is_suffix_))) {
      return wrong("a socket is an absolute path without `.`, `..` or doubled slashes, `unix:/run/app.sock` or `unix:/run/app/*`");
    }
    return pattern;
  }

  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return wrong("a destination is host:port");
  std::string_view host = text.substr(0, colon);
  const std::string_view ports = text.substr(colon + 1);

  if (ports == "*") {
    pattern.first_port_ = 1;
    pattern.last_port_ = 65535;
  } else {
    const std::size_t dash = ports.find('-');
    const auto first = parse_port(ports.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_port(ports.substr(dash + 1));
    if (!first || !last || *first > *last) return wrong("the port is 1 to 65535, a range `8000-8100` or `*`");
    pattern.first_port_ = *first;
    pattern.last_port_ = *last;
  }

  if (host == "*") {
    pattern.any_host_ = true;
    return pattern;
  }
  if (host.front() == '[') {
    if (host.back() != ']') return wrong("`[` without `]`");
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return wrong("write an IPv6 address in brackets, `[2001:db8::1]:443`");
  }
  if (host.find('/') != std::string_view::npos) {
    pattern.network_ = Network::parse(host);
    if (!pattern.network_) return wrong("not a network (bits after the prefix must be zero)");
    return pattern;
  }
  if (host.starts_with("*.")) {
    pattern.is_suffix_ = true;
    host.remove_prefix(2);
  }
  pattern.host_ = canonical_host(host);
  if (pattern.host_.empty() || (pattern.is_suffix_ && IpAddress::parse(host))) return wrong("not a host name or address");
  return pattern;
}

bool TunnelPattern::matches(std::string_view host, std::uint16_t port) const {
  if (is_socket_ || port < first_port_ || port > last_port_) return false;
  const std::string canonical = canonical_host(host);
  if (any_host_) return !canonical.empty();
  if (network_) {
    const auto address = IpAddress::parse(canonical);
    return address && network_->contains(*address);
  }
  if (is_suffix_) {
    return canonical.size() > host_.size() + 1 && canonical.ends_with(host_) && canonical[canonical.size() - host_.size() - 1] == '.';
  }
  return !canonical.empty() && canonical == host_;
}

bool TunnelPattern::matches_socket(std::string_view normalised_path) const {
  if (!is_socket_) return false;
  return is_suffix_ ? path_is_under(normalised_path, host_) && normalised_path != host_ : normalised_path == host_;
}

Result<Destination> Destination::parse(std::string_view text) {
  const auto wrong = [&](std::string_view why) { return fail(Errc::invalid, "destination `" + std::string(text) + "`: " + std::string(why)); };
  Destination destination;
  if (text.starts_with("unix:")) {
    destination.path = std::string(text.substr(5));
    if (destination.path.empty() || normalise_path(destination.path) != destination.path) return wrong("a socket is an absolute path without `.`, `..` or doubled slashes");
    return destination;
  }
  const std::size_t colon = text.rfind(':');
  const std::string_view host = text.substr(0, colon);
  if (colon == std::string_view::npos || host.empty()) return wrong("write HOST:PORT, [IPV6]:PORT or unix:PATH");
  if (host.front() != '[' && host.find(':') != std::string_view::npos) return wrong("write an IPv6 address in brackets, `[2001:db8::1]:443`");
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) return wrong("the port is 1 to 65535");
  if (canonical_host(host).empty()) return wrong("not a host name or address");
  destination.host = host.front() == '[' ? host.substr(1, host.size() - 2) : host;
  destination.port = *port;
  return destination;
}

}  // namespace sallyport::policy
