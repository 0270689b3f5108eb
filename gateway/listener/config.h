// gateway/listener/config.h -- what the listener reads of the settings that the keeper sends.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>
#include <vector>

#include "gateway/ssh/session_handover.h"
#include "platform/model/ip.h"
#include "platform/model/result.h"

namespace sallyport::gateway {

/// Read with platform/model/settings.h; keys that are not named here go to the session untouched
/// (SessionOptions::settings).
///   host_keys: BASE64,BASE64,...        public key blobs of the vault's PublicKeySet; at least one, or nothing is
///   served host_certificates: BASE64,...       OpenSSH host certificate blobs proxy_protocol_from: NETWORK,... peers
///   that must begin with a PROXY protocol v2 header max_unauthenticated: 1024, early_drop_from: 512,
///   max_unauthenticated_per_source: 256, max_sessions: 4096 fork_server_age_ms: 3600000         the process executes
///   itself anew after this time; 0 never drain_ms: 30000                     how long sessions live on when the keeper
///   is gone kits_low: 4, kits_high: 16          session kits kept ready kit_wait_ms: 2000                   how long
///   an accepted connection waits for a kit proxy_wait_ms: 2000                 how long a listed peer may take for its
///   PROXY header max_jumps_per_session: 64, jumps_per_second: 8
struct ListenerConfig {
  SessionOptions session;
  std::vector<Network> proxy_peers;
  std::size_t max_unproven = 1024;
  std::size_t drop_from = 512;
  std::size_t max_per_source = 256;
  std::size_t max_sessions = 4096;
  std::size_t inner_live = 64;
  std::size_t inner_rate = 8;
  std::size_t kits_low = 4;
  std::size_t kits_high = 16;
  std::chrono::milliseconds kit_wait{2000};
  std::chrono::milliseconds proxy_wait{2000};
  std::chrono::milliseconds renew{3'600'000};
  std::chrono::milliseconds orphan{30'000};
};

/// Errc::invalid names the key and what is wrong with it.
[[nodiscard]] Result<ListenerConfig> parse_listener_config(std::string_view lines);

}  // namespace sallyport::gateway
