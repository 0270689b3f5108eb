#include <catch2/catch.hpp>

#include "gateway/ssh/first_bytes.h"

using namespace sallyport;
using gateway::FirstBytes;
using gateway::Onward;
using namespace std::string_view_literals;

namespace {
Onward whole(std::string_view bytes, bool from_opener = true) {
  FirstBytes first;
  return first.look(from_opener, bytes_of(bytes));
}
Onward one_by_one(std::string_view bytes, bool from_opener = true) {
  FirstBytes first;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (const Onward found = first.look(from_opener, bytes_of(bytes.substr(i, 1))); found != Onward::none) return found;
  return Onward::none;
}
}  // namespace

TEST_CASE("protocols that lead onward are known by their first bytes, however they are cut", "[gateway][guard]") {
  struct Case {
    std::string_view bytes;
    bool from_opener;
    Onward protocol;
  };
  for (const Case& c : {Case{"SSH-2.0-OpenSSH_9.2\r\n"sv, false, Onward::ssh}, Case{"SSH-2.0-x"sv, true, Onward::ssh},
                        Case{"RFB 003.008\n"sv, false, Onward::vnc}, Case{"CONNECT 10.0.0.1:22 HTTP/1.1\r\n"sv, true, Onward::http_connect},
                        Case{"GET http://10.0.0.1/ HTTP/1.1\r\n"sv, true, Onward::http_proxy}, Case{"OPTIONS http://a HTTP/1.1"sv, true, Onward::http_proxy},
                        Case{"PROXY TCP4 10.0.0.1 10.0.0.2 1 22\r\n"sv, true, Onward::proxy_header},
                        Case{"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"sv, true, Onward::proxy_header},
                        Case{"\x05\x01\x00"sv, true, Onward::socks}, Case{"\x05\x02\x00\x02"sv, true, Onward::socks},
                        Case{"\x04\x01\x00\x16\x0a\x00\x00\x01me\x00"sv, true, Onward::socks},
                        Case{"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00"sv, true, Onward::rdp},
                        Case{"\xff\xfd\x18\xff\xfd\x20"sv, false, Onward::telnet}}) {
    CHECK(whole(c.bytes, c.from_opener) == c.protocol);
    CHECK(one_by_one(c.bytes, c.from_opener) == c.protocol);
  }
}

TEST_CASE("what applications say through tunnels raises no alarm", "[gateway][guard]") {
  for (const std::string_view bytes : {"GET / HTTP/1.1\r\nHost: x\r\n"sv, "POST /SSH-2.0 HTTP/1.1\r\n"sv, "GET /?u=http://x HTTP/1.1\r\n"sv, "PROXY\r\n"sv, "\r\n\r\nPING\r\n"sv, "PRI * HTTP/2.0\r\n\r\nSM"sv,
                                       "*1\r\n$4\r\nPING\r\n"sv, "PING\r\n"sv, "*3\r\n$3\r\nSET\r\n"sv,
                                       "\x00\x00\x00\x08\x04\xd2\x16\x2f"sv, "\x00\x00\x00\x29\x00\x03\x00\x00user\x00"sv,
                                       "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"sv, "\x10\x1a\x00\x04MQTT"sv,
                                       "\x4a\x00\x00\x00\x0a""8.0.36"sv, "\x05\x00\x0b\x03"sv, "\x03\x00\x00\x00"sv, "\x04\x01"sv, "EHLO x\r\n"sv}) {
    CHECK(whole(bytes, true) == Onward::none);
    CHECK(one_by_one(bytes, true) == Onward::none);
    CHECK(whole(bytes, false) == Onward::none);
  }
}
