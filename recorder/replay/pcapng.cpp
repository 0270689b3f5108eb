#include "recorder/replay/pcapng.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "platform/seal/entry.h"

namespace sallyport::replay {
namespace {

using seal::put_number;

constexpr std::uint8_t k_fin = 0x01, k_syn = 0x02, k_push = 0x08, k_ack = 0x10;
constexpr std::size_t k_most_payload = 1460;
constexpr std::uint16_t k_link_raw_ip = 101;  // LINKTYPE_RAW
constexpr std::size_t k_most_streams = 4096;

void add32(std::string& to, std::uint32_t value) {
  std::array<std::byte, 4> bytes{};
  put_number(bytes.data(), value);
  to += text_of(bytes);
}
void add16(std::string& to, std::uint16_t value) {
  std::array<std::byte, 2> bytes{};
  put_number(bytes.data(), value);
  to += text_of(bytes);
}
void network16(std::string& to, std::uint16_t value) {
  to += static_cast<char>(value >> 8);
  to += static_cast<char>(value & 0xff);
}
void network32(std::string& to, std::uint32_t value) {
  network16(to, static_cast<std::uint16_t>(value >> 16));
  network16(to, static_cast<std::uint16_t>(value & 0xffff));
}
void pad4(std::string& to) { to.append((4 - to.size() % 4) % 4, '\0'); }

/// One block: type, length, body, length.
std::string block(std::uint32_t type, std::string body) {
  pad4(body);
  std::string out;
  const auto length = static_cast<std::uint32_t>(body.size() + 12);
  add32(out, type);
  add32(out, length);
  out += body;
  add32(out, length);
  return out;
}

std::string comment_options(std::string_view comment) {
  if (comment.empty()) return {};
  std::string out;
  comment = comment.substr(0, 4096);
  add16(out, 1);
  add16(out, static_cast<std::uint16_t>(comment.size()));
  out += comment;
  pad4(out);
  add32(out, 0);
  return out;
}

std::uint16_t checksum(std::string_view bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    const auto high = static_cast<unsigned char>(bytes[i]);
    const auto low = i + 1 < bytes.size() ? static_cast<unsigned char>(bytes[i + 1]) : 0U;
    sum += static_cast<std::uint32_t>(high) << 8 | low;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

/// A numeric IPv4 address, else one of 198.18.0.0/15 (RFC 2544) made from the number.
std::uint32_t address_of(const std::string& host, std::uint32_t number) {
  in_addr numeric{};
  if (inet_pton(AF_INET, host.c_str(), &numeric) == 1) return ntohl(numeric.s_addr);
  return 0xc6120000U + (number & 0x1ffffU);
}

}  // namespace

bool PcapngWriter::begin(std::string_view comment) {
  std::string section;
  add32(section, 0x1a2b3c4d);
  add16(section, 1);
  add16(section, 0);
  add32(section, 0xffffffff);
  add32(section, 0xffffffff);
  section += comment_options(comment);
  std::string interface;
  add16(interface, k_link_raw_ip);
  add16(interface, 0);
  add32(interface, 0);
  return out_(block(0x0a0d0d0a, std::move(section)) + block(1, std::move(interface)));
}

bool PcapngWriter::open(std::uint32_t channel, const TunnelEnds& ends, std::int64_t wall_us) {
  if (streams_.size() >= k_most_streams || streams_.contains(channel)) return true;
  Stream& stream = streams_[channel];
  stream.ends = ends;
  stream.addresses[0] = address_of(ends.origin_host, channel * 2);
  stream.addresses[1] = address_of(ends.host, channel * 2 + 1);
  const std::string comment = "channel " + std::to_string(channel) + ": " + ends.origin_host + " port " + std::to_string(ends.origin_port) + " to " + ends.host + " port " + std::to_string(ends.port);
  if (!packet(stream, true, k_syn, {}, wall_us, comment)) return false;
  ++stream.sequence[0];
  if (!packet(stream, false, k_syn | k_ack, {}, wall_us)) return false;
  ++stream.sequence[1];
  return packet(stream, true, k_ack, {}, wall_us);
}

bool PcapngWriter::data(std::uint32_t channel, bool from_client, ByteView bytes, std::int64_t wall_us) {
  const auto known = streams_.find(channel);
  if (known == streams_.end()) return true;
  Stream& stream = known->second;
  while (!bytes.empty()) {
    const ByteView part = bytes.first(std::min(bytes.size(), k_most_payload));
    if (!packet(stream, from_client, k_push | k_ack, part, wall_us)) return false;
    stream.sequence[from_client ? 0 : 1] += static_cast<std::uint32_t>(part.size());
    bytes = bytes.subspan(part.size());
  }
  return true;
}

bool PcapngWriter::close(std::uint32_t channel, std::int64_t wall_us) {
  const auto known = streams_.find(channel);
  if (known == streams_.end() || known->second.closed) return true;
  known->second.closed = true;
  return packet(known->second, true, k_fin | k_ack, {}, wall_us) && packet(known->second, false, k_fin | k_ack, {}, wall_us);
}

bool PcapngWriter::packet(Stream& stream, bool from_client, std::uint8_t flags, ByteView bytes, std::int64_t wall_us, std::string_view comment) {
  const int source = from_client ? 0 : 1;
  std::string tcp;
  network16(tcp, from_client ? stream.ends.origin_port : stream.ends.port);
  network16(tcp, from_client ? stream.ends.port : stream.ends.origin_port);
  network32(tcp, stream.sequence[source]);
  network32(tcp, (flags & k_ack) != 0 ? stream.sequence[1 - source] : 0);
  tcp += static_cast<char>(5 << 4);
  tcp += static_cast<char>(flags);
  network16(tcp, 0xffff);
  network32(tcp, 0);  // checksum and urgent pointer
  tcp += text_of(bytes);
  std::string pseudo;
  network32(pseudo, stream.addresses[source]);
  network32(pseudo, stream.addresses[1 - source]);
  network16(pseudo, 6);
  network16(pseudo, static_cast<std::uint16_t>(tcp.size()));
  const std::uint16_t tcp_sum = checksum(pseudo + tcp);
  tcp[16] = static_cast<char>(tcp_sum >> 8);
  tcp[17] = static_cast<char>(tcp_sum & 0xff);
  std::string ip;
  ip += '\x45';
  ip += '\0';
  network16(ip, static_cast<std::uint16_t>(20 + tcp.size()));
  network32(ip, 0x00004000);  // no identification; do not fragment
  ip += '\x40';
  ip += '\x06';
  network16(ip, 0);
  network32(ip, stream.addresses[source]);
  network32(ip, stream.addresses[1 - source]);
  const std::uint16_t ip_sum = checksum(ip);
  ip[10] = static_cast<char>(ip_sum >> 8);
  ip[11] = static_cast<char>(ip_sum & 0xff);
  const std::string whole = ip + tcp;
  std::string body;
  add32(body, 0);
  add32(body, static_cast<std::uint32_t>(static_cast<std::uint64_t>(wall_us) >> 32));
  add32(body, static_cast<std::uint32_t>(static_cast<std::uint64_t>(wall_us)));
  add32(body, static_cast<std::uint32_t>(whole.size()));
  add32(body, static_cast<std::uint32_t>(whole.size()));
  body += whole;
  pad4(body);
  body += comment_options(comment);
  return out_(block(6, std::move(body)));
}

}  // namespace sallyport::replay
