// gateway/ssh/messages.h -- numbers and small makers for the connection protocol (RFC 4250 section 4.1.2, RFC 4254).
#pragma once

#include <cstdint>

#include "platform/crypto/ssh_wire.h"

namespace sallyport::gateway::message {

inline constexpr std::uint8_t k_ignore = 2;  // RFC 4253 section 11.2
inline constexpr std::uint8_t k_debug = 4;  // RFC 4253 section 11.3
inline constexpr std::uint8_t k_global_request = 80;
inline constexpr std::uint8_t k_request_success = 81;
inline constexpr std::uint8_t k_request_failure = 82;
inline constexpr std::uint8_t k_channel_open = 90;
inline constexpr std::uint8_t k_channel_open_confirmation = 91;
inline constexpr std::uint8_t k_channel_open_failure = 92;
inline constexpr std::uint8_t k_channel_window_adjust = 93;
inline constexpr std::uint8_t k_channel_data = 94;
inline constexpr std::uint8_t k_channel_extended_data = 95;
inline constexpr std::uint8_t k_channel_eof = 96;
inline constexpr std::uint8_t k_channel_close = 97;
inline constexpr std::uint8_t k_channel_request = 98;
inline constexpr std::uint8_t k_channel_success = 99;
inline constexpr std::uint8_t k_channel_failure = 100;

// Reasons of CHANNEL_OPEN_FAILURE, RFC 4254 section 5.1.
inline constexpr std::uint32_t k_administratively_prohibited = 1;
inline constexpr std::uint32_t k_connect_failed = 2;
inline constexpr std::uint32_t k_unknown_channel_type = 3;
inline constexpr std::uint32_t k_resource_shortage = 4;

/// A message that is only a number and a recipient channel: EOF, CLOSE, SUCCESS, FAILURE.
[[nodiscard]] inline Bytes channel(std::uint8_t type, std::uint32_t recipient) {
  crypto::SshWriter writer;
  writer.u8(type).u32(recipient);
  return writer.take();
}

}  // namespace sallyport::gateway::message
