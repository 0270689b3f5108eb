#include "gateway/ssh/first_bytes.h"

#include <algorithm>

namespace sallyport::gateway {
namespace {

[[nodiscard]] unsigned at(const Bytes& bytes, std::size_t index) { return index < bytes.size() ? static_cast<unsigned>(bytes[index]) : 0x100U; }

[[nodiscard]] bool is_telnet(const Bytes& bytes) {
  // IAC WILL/WONT/DO/DONT option (RFC 854), twice: a single triple may be chance.
  const auto triple = [&](std::size_t from) { return at(bytes, from) == 0xff && at(bytes, from + 1) >= 0xfb && at(bytes, from + 1) <= 0xfe && at(bytes, from + 2) < 0x30; };
  return triple(0) && triple(3);
}

}  // namespace

std::string_view name_of(Onward protocol) noexcept {
  switch (protocol) {
    case Onward::none: return "none";
    case Onward::ssh: return "ssh";
    case Onward::rdp: return "rdp";
    case Onward::vnc: return "vnc";
    case Onward::telnet: return "telnet";
    case Onward::http_connect: return "http-connect";
    case Onward::http_proxy: return "http-proxy";
    case Onward::socks: return "socks";
    case Onward::proxy_header: return "proxy-header";
  }
  return "none";
}

Onward FirstBytes::look(bool from_opener, std::span<const std::byte> data) {
  Bytes& seen = seen_[from_opener ? 0 : 1];
  if (seen.size() >= k_looked_at) return Onward::none;
  const std::size_t wanted = std::min(k_looked_at - seen.size(), data.size());
  seen.insert(seen.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(wanted));
  const auto text = text_of(seen);
  if (text.starts_with("SSH-")) return Onward::ssh;
  if (text.starts_with("RFB 00")) return Onward::vnc;  // RFC 6143 section 7.1.1
  if (is_telnet(seen)) return Onward::telnet;
  if (!from_opener) return Onward::none;
  if (text.starts_with("CONNECT ")) return Onward::http_connect;  // RFC 9110 section 9.3.6
  // A whole address is for proxies only (RFC 9112 section 3.2.2).
  for (const std::string_view method : {"GET ", "POST ", "HEAD ", "PUT ", "DELETE ", "PATCH ", "OPTIONS "})
    if (text.starts_with(method) && (text.substr(method.size()).starts_with("http://") || text.substr(method.size()).starts_with("ftp://"))) return Onward::http_proxy;
  // Haproxy's PROXY protocol, in letters and in binary.
  if (text.starts_with("PROXY TCP") || text.starts_with("PROXY UNKNOWN") || text.starts_with(std::string_view("\r\n\r\n\0\r\nQUIT\n", 12))) return Onward::proxy_header;
  // TPKT version 3 around an X.224 connection request whose length fits (MS-RDPBCGR 2.2.1.1).
  if (seen.size() >= 6 && at(seen, 0) == 3 && at(seen, 1) == 0 && at(seen, 5) == 0xe0) {
    const unsigned length = (at(seen, 2) << 8) | at(seen, 3);
    if (length >= 11 && length == at(seen, 4) + 5) return Onward::rdp;
  }
  // SOCKS5: version, count, that many methods and nothing behind them until the answer (RFC 1928 section 3).
  if (seen.size() >= 3 && at(seen, 0) == 5 && at(seen, 1) >= 1 && at(seen, 1) <= 9 && seen.size() == at(seen, 1) + 2) {
    bool methods = true;
    for (std::size_t i = 2; i < seen.size(); ++i) methods = methods && (at(seen, i) <= 9 || at(seen, i) >= 0x80);
    if (methods) return Onward::socks;
  }
  // SOCKS4: version, connect or bind, a port, an address, a user that ends in NUL.
  if (seen.size() >= 9 && at(seen, 0) == 4 && (at(seen, 1) == 1 || at(seen, 1) == 2) && (at(seen, 2) != 0 || at(seen, 3) != 0) &&
      std::find(seen.begin() + 8, seen.end(), std::byte{0}) != seen.end())
    return Onward::socks;
  return Onward::none;
}

}  // namespace sallyport::gateway
