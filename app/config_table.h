// app/config_table.h -- every setting of sallyport.yaml, in the order in which `config show` prints them.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sallyport::app {

enum class Kind { text, path, count, duration, size, flag, choice, list };

struct SettingRow {
  std::string_view key;       ///< in the file: "name" or "section.name"
  std::string_view service;   ///< as services see it; empty: the keeper's own
  Kind kind = Kind::text;
  std::string_view fallback;  ///< as written in the file; for lists comma separated
  std::uint64_t least = 0;    ///< count, milliseconds or bytes
  std::uint64_t most = 0;
  std::string_view choices;   ///< for Kind::choice, comma separated
};

constexpr std::uint64_t k_hour_ms = 3'600'000;
constexpr std::uint64_t k_mib = 1024 * 1024;

constexpr std::array k_settings{
    SettingRow{"node", "node", Kind::text, "", 0, 0, ""},
    SettingRow{"state_dir", "state_dir", Kind::path, "/var/lib/sallyport", 0, 0, ""},
    SettingRow{"run_dir", "run_dir", Kind::path, "/run/sallyport", 0, 0, ""},
    SettingRow{"ring_dir", "ring_dir", Kind::path, "", 0, 0, ""},
    SettingRow{"public_address", "public_address", Kind::text, "", 0, 0, ""},
    SettingRow{"listen", "", Kind::list, "[::]:2222,0.0.0.0:2222", 0, 0, ""},
    SettingRow{"proxy_protocol_from", "proxy_protocol_from", Kind::list, "", 0, 0, ""},
    SettingRow{"compat", "compat", Kind::choice, "modern", 0, 0, "modern,legacy-clients"},
    SettingRow{"policy_dir", "policy_dir", Kind::path, "", 0, 0, ""},
    SettingRow{"limits.unauthenticated", "max_unauthenticated", Kind::count, "1024", 1, 65536, ""},
    SettingRow{"limits.early_drop_from", "early_drop_from", Kind::count, "512", 1, 65536, ""},
    SettingRow{"limits.unauthenticated_per_source", "max_unauthenticated_per_source", Kind::count, "256", 1, 65536, ""},
    SettingRow{"limits.auth_attempts", "max_auth_attempts", Kind::count, "6", 1, 20, ""},
    SettingRow{"limits.sessions", "max_sessions", Kind::count, "4096", 1, 100000, ""},
    SettingRow{"limits.login_grace", "login_grace_ms", Kind::duration, "30s", 1000, 600'000, ""},
    SettingRow{"limits.factor_grace", "factor_grace_ms", Kind::duration, "60s", 1000, 600'000, ""},
    SettingRow{"sessions.hold", "hold_ms", Kind::duration, "30s", 1000, 600'000, ""},
    SettingRow{"sessions.drain", "drain_ms", Kind::duration, "30s", 0, 24 * k_hour_ms, ""},
    SettingRow{"sessions.keepalive", "keepalive_ms", Kind::duration, "30s", 0, k_hour_ms, ""},
    SettingRow{"sessions.fork_server_age", "fork_server_age_ms", Kind::duration, "1h", 60'000, 24 * k_hour_ms, ""},
    SettingRow{"dial.timeout", "dial_timeout_ms", Kind::duration, "10s", 100, 120'000, ""},
    SettingRow{"recording.ring", "ring_bytes", Kind::size, "256KiB", 128 * 1024, 64 * k_mib, ""},
    SettingRow{"recording.full", "full_recording_bytes", Kind::size, "64MiB", 0, 1ULL << 40, ""},
    SettingRow{"recording.min_free", "min_free_bytes", Kind::size, "256MiB", 0, 1ULL << 50, ""},
    SettingRow{"recording.checkpoint_every", "checkpoint_interval_ms", Kind::duration, "60s", 1000, k_hour_ms, ""},
    SettingRow{"recording.roll", "journal_roll_bytes", Kind::size, "64MiB", k_mib, 1ULL << 40, ""},
    SettingRow{"recording.witness", "witness_files", Kind::list, "", 0, 0, ""},
    SettingRow{"recording.syslog", "syslog", Kind::flag, "true", 0, 0, ""},
    SettingRow{"seal.source", "seal_source", Kind::choice, "file", 0, 0, "file,credential,passphrase"},
    SettingRow{"seal.key_file", "seal_key_file", Kind::path, "", 0, 0, ""},
    SettingRow{"seal.credential", "seal_credential", Kind::text, "sallyport-seal", 0, 0, ""},
    SettingRow{"certificates.validity", "certificate_validity_ms", Kind::duration, "5m", 10'000, 24 * k_hour_ms, ""},
    SettingRow{"certificates.source_addresses", "certificate_source_addresses", Kind::list, "", 0, 0, ""},
    SettingRow{"recovery.accept_older_database", "accept_older_database", Kind::flag, "false", 0, 0, ""},
    SettingRow{"admin.operators", "admin_operators", Kind::list, "", 0, 0, ""},
    SettingRow{"log.level", "log_level", Kind::choice, "info", 0, 0, "debug,info,warn,error"},
};

}  // namespace sallyport::app
