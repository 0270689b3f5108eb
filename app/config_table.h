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
    SettingRow{"recording.checkpoint_key_every", "checkpoint_key_every_ms", Kind::duration, "1h", 1000, 365 * 24 * k_hour_ms, ""},
    SettingRow{"recording.roll", "journal_roll_bytes", Kind::size, "64MiB", k_mib, 1ULL << 40, ""},
    SettingRow{"recording.witness", "witness_files", Kind::list, "", 0, 0, ""},
    SettingRow{"recording.syslog", "syslog", Kind::flag, "true", 0, 0, ""},
    SettingRow{"recording.online_replay", "online_replay", Kind::flag, "true", 0, 0, ""},
    SettingRow{"recording.keys", "recording_keys", Kind::choice, "recording", 0, 0, "recording,vault"},
    SettingRow{"recording.timestamp_url", "timestamp_url", Kind::text, "", 0, 0, ""},
    SettingRow{"recording.timestamp_ca", "timestamp_ca", Kind::path, "", 0, 0, ""},
    SettingRow{"recording.timestamp_every", "timestamp_every_ms", Kind::duration, "1h", 1000, 365 * 24 * k_hour_ms, ""},
    SettingRow{"recording.syslog_tls", "syslog_tls", Kind::text, "", 0, 0, ""},
    SettingRow{"recording.syslog_tls_ca", "syslog_tls_ca", Kind::path, "", 0, 0, ""},
    SettingRow{"recording.syslog_tls_certificate", "syslog_tls_certificate", Kind::path, "", 0, 0, ""},
    SettingRow{"recording.syslog_tls_key", "syslog_tls_key", Kind::path, "", 0, 0, ""},
    SettingRow{"store.url", "store_url", Kind::text, "", 0, 0, ""},
    SettingRow{"store.endpoint", "store_endpoint", Kind::text, "", 0, 0, ""},
    SettingRow{"store.region", "store_region", Kind::text, "us-east-1", 0, 0, ""},
    SettingRow{"store.addressing", "store_addressing", Kind::choice, "path", 0, 0, "path,virtual-host"},
    SettingRow{"store.ca_file", "store_ca_file", Kind::path, "", 0, 0, ""},
    SettingRow{"store.credentials", "store_credentials", Kind::path, "", 0, 0, ""},
    SettingRow{"store.read_credentials", "store_read_credentials", Kind::path, "", 0, 0, ""},
    SettingRow{"store.segment", "store_segment_bytes", Kind::size, "1MiB", 4096, 64 * k_mib, ""},
    SettingRow{"store.segment_every", "store_segment_every_ms", Kind::duration, "2s", 50, 600'000, ""},
    SettingRow{"store.spool", "store_spool_bytes", Kind::size, "4GiB", 1024, 1ULL << 50, ""},
    SettingRow{"store.strict", "store_strict", Kind::flag, "true", 0, 0, ""},
    SettingRow{"store.local_bytes", "store_local_bytes", Kind::size, "64GiB", 0, 1ULL << 50, ""},
    SettingRow{"store.local_time", "store_local_time_ms", Kind::duration, "30d", 0, 36'500 * 24 * k_hour_ms, ""},
    SettingRow{"store.retention", "store_retention_ms", Kind::duration, "0", 0, 36'500 * 24 * k_hour_ms, ""},
    SettingRow{"store.retention_mode", "store_retention_mode", Kind::choice, "governance", 0, 0, "governance,compliance"},
    SettingRow{"store.retention_rules", "store_retention_rules", Kind::list, "", 0, 0, ""},
    SettingRow{"seal.source", "seal_source", Kind::choice, "file", 0, 0, "file,credential,passphrase"},
    SettingRow{"seal.key_file", "seal_key_file", Kind::path, "", 0, 0, ""},
    SettingRow{"seal.credential", "seal_credential", Kind::text, "sallyport-seal", 0, 0, ""},
    SettingRow{"certificates.validity", "certificate_validity_ms", Kind::duration, "5m", 10'000, 24 * k_hour_ms, ""},
    SettingRow{"certificates.source_addresses", "certificate_source_addresses", Kind::list, "", 0, 0, ""},
    SettingRow{"recovery.accept_older_database", "accept_older_database", Kind::flag, "false", 0, 0, ""},
    SettingRow{"admin.operators", "admin_operators", Kind::list, "", 0, 0, ""},
    SettingRow{"admin.listen", "admin_listen", Kind::list, "", 0, 0, ""},
    SettingRow{"admin.tls_certificate", "admin_tls_certificate", Kind::path, "", 0, 0, ""},
    SettingRow{"admin.tls_key", "admin_tls_key", Kind::path, "", 0, 0, ""},
    SettingRow{"admin.policy_four_eyes", "admin_policy_four_eyes", Kind::flag, "false", 0, 0, ""},
    SettingRow{"admin.policy_approvers", "admin_policy_approvers", Kind::text, "", 0, 0, ""},
    SettingRow{"admin.requests_per_minute", "admin_requests_per_minute", Kind::count, "600", 10, 1'000'000, ""},
    SettingRow{"admin.web_idle", "admin_web_idle_ms", Kind::duration, "30m", 1000, 24 * k_hour_ms, ""},
    SettingRow{"admin.web_lasts", "admin_web_lasts_ms", Kind::duration, "8h", 1000, 30 * 24 * k_hour_ms, ""},
    SettingRow{"admin.web_fresh", "admin_web_fresh_ms", Kind::duration, "10m", 1000, 24 * k_hour_ms, ""},
    SettingRow{"directory.url", "directory_url", Kind::text, "", 0, 0, ""},
    SettingRow{"directory.ca_file", "directory_ca_file", Kind::path, "", 0, 0, ""},
    SettingRow{"directory.bind_dn", "directory_bind_dn", Kind::text, "", 0, 0, ""},
    SettingRow{"directory.bind_secret", "directory_bind_secret", Kind::text, "", 0, 0, ""},
    SettingRow{"directory.users_base", "directory_users_base", Kind::text, "", 0, 0, ""},
    SettingRow{"directory.user_attribute", "directory_user_attribute", Kind::text, "uid", 0, 0, ""},
    SettingRow{"directory.user_filter", "directory_user_filter", Kind::text, "", 0, 0, ""},
    SettingRow{"directory.groups_base", "directory_groups_base", Kind::text, "", 0, 0, ""},
    SettingRow{"directory.group_attribute", "directory_group_attribute", Kind::text, "cn", 0, 0, ""},
    SettingRow{"directory.groups_by", "directory_groups_by", Kind::choice, "member", 0, 0, "member,member-of,posix"},
    SettingRow{"directory.nested", "directory_nested", Kind::count, "5", 0, 20, ""},
    SettingRow{"directory.groups", "directory_groups", Kind::list, "", 0, 0, ""},
    SettingRow{"directory.refresh", "directory_refresh_ms", Kind::duration, "1m", 500, 24 * k_hour_ms, ""},
    SettingRow{"directory.groups_last", "directory_groups_last_ms", Kind::duration, "1h", 1000, 30 * 24 * k_hour_ms, ""},
    SettingRow{"directory.timeout", "directory_timeout_ms", Kind::duration, "5s", 100, 60'000, ""},
    SettingRow{"logins.certificate", "login_certificate_ms", Kind::duration, "8h", 60'000, 24 * k_hour_ms, ""},
    SettingRow{"logins.factor_memory", "factor_memory_ms", Kind::duration, "0", 0, 24 * k_hour_ms, ""},
    SettingRow{"oidc.issuer", "oidc_issuer", Kind::text, "", 0, 0, ""},
    SettingRow{"oidc.client_id", "oidc_client_id", Kind::text, "", 0, 0, ""},
    SettingRow{"oidc.client_secret_file", "oidc_client_secret_file", Kind::path, "", 0, 0, ""},
    SettingRow{"oidc.redirect_uri", "oidc_redirect_uri", Kind::text, "", 0, 0, ""},
    SettingRow{"oidc.ca_file", "oidc_ca_file", Kind::path, "", 0, 0, ""},
    SettingRow{"oidc.plain_loopback", "oidc_plain_loopback", Kind::flag, "false", 0, 0, ""},
    SettingRow{"oidc.scopes", "oidc_scopes", Kind::list, "openid,profile,email", 0, 0, ""},
    SettingRow{"oidc.principal_claim", "oidc_principal_claim", Kind::text, "preferred_username", 0, 0, ""},
    SettingRow{"oidc.principal_domain", "oidc_principal_domain", Kind::text, "", 0, 0, ""},
    SettingRow{"oidc.groups_claim", "oidc_groups_claim", Kind::text, "groups", 0, 0, ""},
    SettingRow{"oidc.group_map", "oidc_group_map", Kind::list, "", 0, 0, ""},
    SettingRow{"oidc.groups_last", "oidc_groups_last_ms", Kind::duration, "12h", 1000, 30 * 24 * k_hour_ms, ""},
    SettingRow{"oidc.second_factor_amr", "oidc_second_factor_amr", Kind::list, "", 0, 0, ""},
    SettingRow{"oidc.second_factor_acr", "oidc_second_factor_acr", Kind::list, "", 0, 0, ""},
    SettingRow{"oidc.max_age", "oidc_max_age_ms", Kind::duration, "8h", 0, 30 * 24 * k_hour_ms, ""},
    SettingRow{"oidc.ssh", "oidc_ssh", Kind::choice, "first", 0, 0, "first,offer,off"},
    SettingRow{"notify.webhooks", "notify_webhooks", Kind::list, "", 0, 0, ""},
    SettingRow{"notify.webhook_key_file", "notify_webhook_key_file", Kind::path, "", 0, 0, ""},
    SettingRow{"notify.smtp", "notify_smtp", Kind::text, "", 0, 0, ""},
    SettingRow{"notify.smtp_from", "notify_smtp_from", Kind::text, "", 0, 0, ""},
    SettingRow{"notify.smtp_to", "notify_smtp_to", Kind::list, "", 0, 0, ""},
    SettingRow{"notify.smtp_user", "notify_smtp_user", Kind::text, "", 0, 0, ""},
    SettingRow{"notify.smtp_password_file", "notify_smtp_password_file", Kind::path, "", 0, 0, ""},
    SettingRow{"notify.smtp_plain", "notify_smtp_plain", Kind::flag, "false", 0, 0, ""},
    SettingRow{"notify.ca_file", "notify_ca_file", Kind::path, "", 0, 0, ""},
    SettingRow{"notify.retry", "notify_retry_ms", Kind::duration, "1s", 50, 60'000, ""},
    SettingRow{"log.level", "log_level", Kind::choice, "info", 0, 0, "debug,info,warn,error"},
};

}  // namespace sallyport::app
