#include "platform/net/websocket.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "platform/crypto/base64.h"
#include "platform/model/bytes.h"

namespace sallyport::net {
namespace {

constexpr std::string_view k_magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr std::size_t k_most_control = 125;

unsigned octet(char c) { return static_cast<unsigned char>(c); }

/// RFC 3629, no surrogates, nothing overlong.
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const unsigned first = octet(text[i]);
    const std::size_t more = first < 0x80 ? 0 : first >= 0xC2 && first < 0xE0 ? 1 : first >= 0xE0 && first < 0xF0 ? 2 : first >= 0xF0 && first < 0xF5 ? 3 : 9;
    if (more == 9 || i + more >= text.size()) return false;
    if (more > 0) {
      const unsigned second = octet(text[i + 1]);
      const unsigned low = first == 0xE0 ? 0xA0U : first == 0xF0 ? 0x90U : 0x80U;
      const unsigned high = first == 0xED ? 0x9FU : first == 0xF4 ? 0x8FU : 0xBFU;
      if (second < low || second > high) return false;
    }
    for (std::size_t k = 2; k <= more; ++k)
      if ((octet(text[i + k]) & 0xC0U) != 0x80U) return false;
    i += more + 1;
  }
  return true;
}

}  // namespace

Result<std::string> websocket_accept(std::string_view key) {
  const auto raw = crypto::from_base64(key);
  if (!raw || raw->size() != 16) return fail(Errc::invalid, "Sec-WebSocket-Key is not 16 bytes in base64");
  const std::string text = std::string(key) + std::string(k_magic);
  std::array<std::byte, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  // SHA-1 is what the RFC names; nothing depends on its strength.
  if (EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), &size, EVP_sha1(), nullptr) != 1)
    return fail(Errc::internal, "SHA-1 is not at hand");
  return crypto::to_base64(ByteView(digest.data(), size));
}

std::string websocket_frame(WsKind kind, std::string_view payload) {
  std::string out;
  out += static_cast<char>(0x80U | static_cast<unsigned>(kind));
  if (payload.size() < 126) {
    out += static_cast<char>(payload.size());
  } else {
    const bool wide = payload.size() > 0xFFFF;
    out += static_cast<char>(wide ? 127 : 126);
    for (int shift = wide ? 56 : 8; shift >= 0; shift -= 8) out += static_cast<char>((static_cast<std::uint64_t>(payload.size()) >> shift) & 0xFFU);
  }
  return out.append(payload);
}

std::string websocket_close(std::uint16_t status, std::string_view reason) {
  std::string body{static_cast<char>(status >> 8U), static_cast<char>(status & 0xFFU)};
  std::string_view text = reason.substr(0, k_most_control - 2);
  while (!text.empty() && !is_utf8(text)) text.remove_suffix(1);
  return websocket_frame(WsKind::close, body.append(text));
}

Result<void> WebSocketReader::feed(std::string_view bytes, const Message& message) {
  if (broken_) return fail(Errc::invalid, "the protocol was broken before");
  // A whole frame and its head never need more than this; what a socket gives at once comes on top.
  buffer_.append(bytes);
  for (;;) {
    const auto taken = take(message);
    if (!taken) {
      broken_ = true;
      buffer_.clear();
      return tl::unexpected(taken.error());
    }
    if (!*taken) return {};
  }
}

Result<bool> WebSocketReader::take(const Message& message) {
  if (buffer_.size() < 2) return false;
  const unsigned first = octet(buffer_[0]), second = octet(buffer_[1]);
  const bool is_last = (first & 0x80U) != 0;
  const unsigned opcode = first & 0x0FU;
  if ((first & 0x70U) != 0) return fail(Errc::invalid, "a reserved bit is set");
  if ((second & 0x80U) == 0) return fail(Errc::invalid, "a frame of the client is not masked");
  const bool is_control = opcode >= 8;
  if (opcode > 10 || (opcode > 2 && opcode < 8)) return fail(Errc::invalid, "an unknown opcode");
  std::size_t head = 2;
  std::uint64_t size = second & 0x7FU;
  if (is_control && (size > k_most_control || !is_last)) return fail(Errc::invalid, "a control frame is too large or in fragments");
  if (size >= 126) {
    const std::size_t wide = size == 126 ? 2 : 8;
    if (buffer_.size() < head + wide) return false;
    size = 0;
    for (std::size_t i = 0; i < wide; ++i) size = size << 8U | octet(buffer_[head + i]);
    if (size < (wide == 2 ? 126U : 0x10000U)) return fail(Errc::invalid, "a length is not in its shortest form");
    head += wide;
  }
  if (!is_control) {
    if ((opcode == 0) != in_message_) return fail(Errc::invalid, "a fragment out of place");
    if (size > most_ || message_.size() + size > most_) return fail(Errc::unavailable, "a message is larger than " + std::to_string(most_) + " bytes");
  }
  if (buffer_.size() < head + 4 + size) return false;
  const std::string_view mask = std::string_view(buffer_).substr(head, 4);
  std::string payload = buffer_.substr(head + 4, static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(octet(payload[i]) ^ octet(mask[i % 4]));
  buffer_.erase(0, head + 4 + static_cast<std::size_t>(size));
  if (is_control) {
    message(static_cast<WsKind>(opcode), payload);
    return true;
  }
  if (opcode != 0) kind_ = static_cast<WsKind>(opcode);
  message_ += payload;
  in_message_ = !is_last;
  if (in_message_) return true;
  std::string whole;
  whole.swap(message_);
  if (kind_ == WsKind::text && !is_utf8(whole)) return fail(Errc::invalid, "text that is not UTF-8");
  message(kind_, whole);
  return true;
}

}  // namespace sallyport::net
