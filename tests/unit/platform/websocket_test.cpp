#include <catch2/catch.hpp>

#include <string>
#include <utility>
#include <vector>

#include "platform/net/websocket.h"

namespace sallyport::net::test {
namespace {

using Heard = std::vector<std::pair<WsKind, std::string>>;

/// A frame as a client sends it: masked.
std::string frame(unsigned first, std::string payload, bool masked = true) {
  constexpr std::string_view k_mask = "\x12\x34\x56\x78";
  std::string out(1, static_cast<char>(first));
  const unsigned bit = masked ? 0x80U : 0U;
  if (payload.size() < 126) {
    out += static_cast<char>(bit | payload.size());
  } else {
    out += static_cast<char>(bit | 126U);
    out += static_cast<char>(payload.size() >> 8U);
    out += static_cast<char>(payload.size() & 0xFFU);
  }
  if (!masked) return out + payload;
  out += k_mask;
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(payload[i] ^ k_mask[i % 4]);
  return out + payload;
}

Result<Heard> hear(const std::string& bytes, std::size_t step = 1, std::size_t most = 1024) {
  WebSocketReader reader(most);
  Heard heard;
  for (std::size_t i = 0; i < bytes.size(); i += step) {
    const auto fed = reader.feed(std::string_view(bytes).substr(i, step), [&](WsKind kind, std::string_view payload) { heard.emplace_back(kind, payload); });
    if (!fed) return tl::unexpected(fed.error());
  }
  return heard;
}

}  // namespace

TEST_CASE("the accept key of a WebSocket is that of RFC 6455 section 1.3", "[platform][websocket]") {
  CHECK(websocket_accept("dGhlIHNhbXBsZSBub25jZQ==").value() == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  CHECK_FALSE(websocket_accept("").has_value());
  CHECK_FALSE(websocket_accept("c2hvcnQ=").has_value());
}

TEST_CASE("frames come whole, whatever pieces they arrive in", "[platform][websocket]") {
  const std::string long_text(300, 'x');
  const std::string bytes = frame(0x82, "typed") + frame(0x01, "gr\xc3") + frame(0x89, "ping") + frame(0x80, "\xbc\xc3\x9f" "e") + frame(0x82, long_text);
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
    const auto heard = hear(bytes, step);
    REQUIRE(heard.has_value());
    CHECK(*heard == Heard{{WsKind::binary, "typed"}, {WsKind::ping, "ping"}, {WsKind::text, "gr\xc3\xbc\xc3\x9f" "e"}, {WsKind::binary, long_text}});
  }
}

TEST_CASE("what breaks the WebSocket protocol is refused, and nothing is taken after it", "[platform][websocket]") {
  const auto code = [](const std::string& bytes, std::size_t most = 1024) {
    const auto heard = hear(bytes, bytes.size(), most);
    return heard ? std::string("accepted") : heard.error().detail;
  };
  CHECK(code(frame(0x82, "x", false)).find("not masked") != std::string::npos);
  CHECK(code(frame(0xC2, "x")).find("reserved bit") != std::string::npos);
  CHECK(code(frame(0x83, "x")).find("unknown opcode") != std::string::npos);
  CHECK(code(frame(0x8B, "x")).find("unknown opcode") != std::string::npos);
  CHECK(code(frame(0x09, "x")).find("control frame") != std::string::npos);
  CHECK(code(frame(0x89, std::string(126, 'x'))).find("control frame") != std::string::npos);
  CHECK(code(frame(0x80, "x")).find("out of place") != std::string::npos);
  CHECK(code(frame(0x02, "x") + frame(0x82, "y")).find("out of place") != std::string::npos);
  CHECK(code(frame(0x81, "\xff")).find("UTF-8") != std::string::npos);
  CHECK(code(frame(0x81, "\xed\xa0\x80")).find("UTF-8") != std::string::npos);
  CHECK(code(frame(0x81, "\xc0\xaf")).find("UTF-8") != std::string::npos);
  CHECK(code(frame(0x82, std::string(11, 'x')), 10).find("larger") != std::string::npos);
  CHECK(code(frame(0x02, std::string(6, 'x')) + frame(0x80, std::string(6, 'x')), 10).find("larger") != std::string::npos);
  CHECK(code(std::string("\x82\xfe\x00\x05", 4) + "mask").find("shortest") != std::string::npos);
  CHECK(code(std::string("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10)).find("larger") != std::string::npos);
  WebSocketReader reader(10);
  const auto ignore = [](WsKind, std::string_view) {};
  REQUIRE_FALSE(reader.feed(frame(0x82, "x", false), ignore).has_value());
  CHECK_FALSE(reader.feed(frame(0x82, "x"), ignore).has_value());
}

TEST_CASE("frames to the client have the shortest length and a close has its status", "[platform][websocket]") {
  CHECK(websocket_frame(WsKind::binary, "ab") == std::string("\x82\x02" "ab"));
  CHECK(websocket_frame(WsKind::binary, std::string(126, 'x')).substr(0, 4) == std::string("\x82\x7e\x00\x7e", 4));
  CHECK(websocket_frame(WsKind::binary, std::string(65536, 'x')).substr(0, 10) == std::string("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10));
  CHECK(websocket_close(1002, "no") == std::string("\x88\x04\x03\xea", 4) + "no");
  CHECK(websocket_close(1000, std::string(200, 'x')).size() == 2 + 125);
}

}  // namespace sallyport::net::test
