#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "gateway/listener/proxy_protocol.h"
#include "platform/crypto/crc32c.h"
#include "platform/crypto/hex.h"
#include "platform/model/bytes.h"

using namespace sallyport;
using gateway::parse_proxy_header;
using gateway::ProxyParse;
using Outcome = gateway::ProxyParse::Result;

namespace {

const std::string k_signature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string big16(std::size_t value) { return {static_cast<char>(value >> 8 & 0xff), static_cast<char>(value & 0xff)}; }

std::string header(char command, char family, const std::string& body) {
  return k_signature + command + family + big16(body.size()) + body;
}

const std::string k_v4_body = std::string("\xc0\x00\x02\x01\xc6\x33\x64\x02", 8) + big16(50000) + big16(2222);

std::string tlv(char type, const std::string& value) { return type + big16(value.size()) + value; }

ProxyParse parse(const std::string& bytes) { return parse_proxy_header(bytes_of(bytes)); }

}  // namespace

TEST_CASE("a header as HAProxy sends it gives client and local address", "[gateway][proxy]") {
  // send-proxy-v2 from 192.0.2.1:50000 to 198.51.100.2:2222
  const ProxyParse parsed = parse(header('\x21', '\x11', k_v4_body) + "SSH-2.0-x\r\n");
  REQUIRE(parsed.result == Outcome::complete);
  CHECK(parsed.wanted == 28);  // what follows is not part of it
  REQUIRE(parsed.header.client);
  CHECK(parsed.header.client->address.str() == "192.0.2.1");
  CHECK(parsed.header.client->port == 50000);
  CHECK(parsed.header.local->address.str() == "198.51.100.2");
  CHECK(parsed.header.local->port == 2222);
}

TEST_CASE("IPv6 addresses are read, IPv4-mapped ones as IPv4", "[gateway][proxy]") {
  const std::string v6 = std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
  const std::string mapped = std::string("\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x09", 16);
  const ProxyParse parsed = parse(header('\x21', '\x21', v6 + mapped + big16(1) + big16(2)));
  REQUIRE(parsed.result == Outcome::complete);
  CHECK(parsed.header.client->address.str() == "2001:db8::1");
  CHECK(parsed.header.local->address.str() == "192.0.2.9");
}

TEST_CASE("LOCAL and an unspecified family keep the socket's own addresses", "[gateway][proxy]") {
  for (const std::string& bytes :
       {header('\x20', '\x00', ""), header('\x20', '\x11', k_v4_body), header('\x21', '\x00', "anything")}) {
    const ProxyParse parsed = parse(bytes);
    REQUIRE(parsed.result == Outcome::complete);
    CHECK(!parsed.header.client);
    CHECK(parsed.wanted == bytes.size());
  }
}

TEST_CASE("a header that comes in pieces asks for exactly what is missing", "[gateway][proxy]") {
  const std::string whole = header('\x21', '\x11', k_v4_body + tlv('\x04', "padding"));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const ProxyParse parsed = parse(whole.substr(0, size));
    REQUIRE(parsed.result == Outcome::need_more);
    CHECK(parsed.wanted == (size < 16 ? 16 : whole.size()));
    CHECK(parsed.wanted > size);
  }
  CHECK(parse(whole).result == Outcome::complete);
}

TEST_CASE("what is no version 2 header is refused at the first wrong byte", "[gateway][proxy]") {
  CHECK(parse("S").result == Outcome::refused);
  CHECK(parse("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n").result == Outcome::refused);
  CHECK(parse("\r\n\r\nSSH").result == Outcome::refused);
  CHECK(parse(k_signature + '\x11' + '\x11' + big16(12) + k_v4_body).result == Outcome::refused);  // version 1
  CHECK(parse(k_signature + '\x22' + '\x11' + big16(12) + k_v4_body).result == Outcome::refused);  // command 2
  CHECK(parse(header('\x21', '\x12', k_v4_body)).result == Outcome::refused);                      // UDP
  CHECK(parse(header('\x21', '\x31', std::string(216, 'x'))).result == Outcome::refused);          // unix
}

TEST_CASE("lengths that do not fit are refused", "[gateway][proxy]") {
  CHECK(parse(header('\x21', '\x11', k_v4_body.substr(0, 11))).result == Outcome::refused);
  CHECK(parse(header('\x21', '\x21', k_v4_body)).result == Outcome::refused);
  CHECK(parse(header('\x21', '\x11', k_v4_body + "\x04")).result == Outcome::refused);
  CHECK(parse(header('\x21', '\x11', k_v4_body + std::string("\x04\x00\x09padding", 10))).result == Outcome::refused);
  CHECK(parse(k_signature + "\x21\x11" + big16(65535)).result == Outcome::refused);  // before any of it is read
  CHECK(parse(k_signature + "\x21\x11" + big16(2033)).result == Outcome::refused);
  CHECK(parse(k_signature + "\x21\x11" + big16(2032)).result == Outcome::need_more);
}

TEST_CASE("a checksum that is there must be right", "[gateway][proxy]") {
  const std::string body = k_v4_body + tlv('\x03', std::string(4, '\0')) + tlv('\x05', "unique id");
  std::string bytes = header('\x21', '\x11', body);
  const std::uint32_t crc = crypto::crc32c(bytes_of(bytes));
  const std::size_t at = 16 + k_v4_body.size() + 3;
  for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(crc >> (24 - 8 * i));
  CHECK(parse(bytes).result == Outcome::complete);
  bytes[20] = static_cast<char>(bytes[20] ^ 1);
  CHECK(parse(bytes).result == Outcome::refused);
  CHECK(parse(header('\x21', '\x11', k_v4_body + tlv('\x03', "abc"))).result == Outcome::refused);
}

TEST_CASE("random bytes behind a right signature never make it ask for too much", "[gateway][proxy]") {
  std::mt19937_64 random(11);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = k_signature;
    const std::size_t extra = random() % 80;
    for (std::size_t n = 0; n < extra; ++n) bytes += static_cast<char>(random());
    if (extra > 0 && random() % 2 == 0) bytes[12] = '\x21';
    const ProxyParse parsed = parse(bytes);
    if (parsed.result == Outcome::refused) continue;
    REQUIRE(parsed.wanted <= gateway::k_max_proxy_header);
    if (parsed.result == Outcome::complete) REQUIRE(parsed.wanted <= bytes.size());
    if (parsed.result == Outcome::need_more) REQUIRE(parsed.wanted > bytes.size());
  }
}
