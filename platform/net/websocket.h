// platform/net/websocket.h -- RFC 6455 framing for a server, without I/O: bounded, strict, no extensions.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "platform/model/result.h"

namespace sallyport::net {

enum class WsKind : std::uint8_t { text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

/// Sec-WebSocket-Accept for the client's Sec-WebSocket-Key (section 4.2.2). Errc::invalid: not 16 bytes in base64.
[[nodiscard]] Result<std::string> websocket_accept(std::string_view key);

/// One whole, unmasked frame to the client.
[[nodiscard]] std::string websocket_frame(WsKind kind, std::string_view payload);
/// A close frame with its status (section 7.4) and reason (at most 123 bytes).
[[nodiscard]] std::string websocket_close(std::uint16_t status, std::string_view reason);

/// What a client sends, byte by byte. Frames must be masked; messages are at most `most_message` bytes over all their fragments;
/// text must be UTF-8 (checked when it is whole); control frames are at most 125 bytes and never in fragments.
class WebSocketReader {
 public:
  using Message = std::function<void(WsKind kind, std::string_view payload)>;
  explicit WebSocketReader(std::size_t most_message) : most_(most_message) {}

  /// Calls `message` for each whole message and control frame. Errc::invalid: not the protocol (answer 1002, or 1007 for text that is no
  /// UTF-8); Errc::unavailable: too large (1009). Nothing is taken after an error.
  [[nodiscard]] Result<void> feed(std::string_view bytes, const Message& message);

 private:
  /// True when a whole frame was taken off the front.
  Result<bool> take(const Message& message);

  std::size_t most_;
  std::string buffer_;
  std::string message_;
  WsKind kind_ = WsKind::text;
  bool in_message_ = false;
  bool broken_ = false;
};

}  // namespace sallyport::net
