// platform/os/log_events.h -- the names that lines of the service log carry. docs/reference/logs.md explains each; a test compares.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sallyport::os {

enum class LogLevel : std::uint8_t { debug, info, warn, error };

/// Stable: alerts hang on the names. New ones may come, none changes its meaning.
enum class LogEvent : std::uint8_t {
  keeper_serving, keeper_waiting, keeper_stopping, keeper_stop_forced, keeper_failed, keeper_gone, keeper_state_unwritten, keeper_keys_unpublished,
  config_reloaded, config_refused,
  upgrade_begun, upgrade_done, upgrade_refused, upgrade_vault_kept,
  service_started, service_ready, service_ended, service_died, service_hung, service_stop_forced, service_start_failed, service_gave_up,
  service_link_lost, service_link_failed, service_leftover, service_settings_refused, service_unexpected_message, service_notice,
  kit_refused,
  listener_counters, listener_accept_failed, listener_proxy_refused, listener_fork_failed, listener_authority_lost, listener_renewed, listener_renew_failed, listener_failed,
  session_ended, session_died, session_killed, session_forbidden_call, session_protocol_broken,
  authority_database_failed, authority_database_older, authority_policy_loaded, authority_policy_refused, authority_store_failed, authority_listen_failed,
  target_host_key_wrong, clock_set, directory_failed, glass_failed, glass_only,
  vault_failed, vault_sealed, vault_memory_unlocked, vault_host_certificate_failed, vault_public_files_failed,
  recorder_failed, recorder_blocked, recorder_possible_again, recorder_event_refused, recorder_journal_failed, recorder_hold_failed, recorder_witness_failed,
  crypto_failed, log_dropped,
};

struct LogEventRow {
  LogEvent event;
  LogLevel level;
  std::string_view name;
};

inline constexpr std::array k_log_events{
    LogEventRow{LogEvent::keeper_serving, LogLevel::info, "keeper.serving"},
    LogEventRow{LogEvent::keeper_waiting, LogLevel::warn, "keeper.waiting"},
    LogEventRow{LogEvent::keeper_stopping, LogLevel::info, "keeper.stopping"},
    LogEventRow{LogEvent::keeper_stop_forced, LogLevel::warn, "keeper.stop_forced"},
    LogEventRow{LogEvent::keeper_failed, LogLevel::error, "keeper.failed"},
    LogEventRow{LogEvent::keeper_gone, LogLevel::error, "keeper.gone"},
    LogEventRow{LogEvent::keeper_state_unwritten, LogLevel::warn, "keeper.state_unwritten"},
    LogEventRow{LogEvent::keeper_keys_unpublished, LogLevel::warn, "keeper.keys_unpublished"},
    LogEventRow{LogEvent::config_reloaded, LogLevel::info, "config.reloaded"},
    LogEventRow{LogEvent::config_refused, LogLevel::error, "config.refused"},
    LogEventRow{LogEvent::upgrade_begun, LogLevel::info, "upgrade.begun"},
    LogEventRow{LogEvent::upgrade_done, LogLevel::info, "upgrade.done"},
    LogEventRow{LogEvent::upgrade_refused, LogLevel::error, "upgrade.refused"},
    LogEventRow{LogEvent::upgrade_vault_kept, LogLevel::info, "upgrade.vault_kept"},
    LogEventRow{LogEvent::service_started, LogLevel::debug, "service.started"},
    LogEventRow{LogEvent::service_ready, LogLevel::debug, "service.ready"},
    LogEventRow{LogEvent::service_ended, LogLevel::debug, "service.ended"},
    LogEventRow{LogEvent::service_died, LogLevel::warn, "service.died"},
    LogEventRow{LogEvent::service_hung, LogLevel::error, "service.hung"},
    LogEventRow{LogEvent::service_stop_forced, LogLevel::warn, "service.stop_forced"},
    LogEventRow{LogEvent::service_start_failed, LogLevel::error, "service.start_failed"},
    LogEventRow{LogEvent::service_gave_up, LogLevel::error, "service.gave_up"},
    LogEventRow{LogEvent::service_link_lost, LogLevel::warn, "service.link_lost"},
    LogEventRow{LogEvent::service_link_failed, LogLevel::error, "service.link_failed"},
    LogEventRow{LogEvent::service_leftover, LogLevel::warn, "service.leftover"},
    LogEventRow{LogEvent::service_settings_refused, LogLevel::error, "service.settings_refused"},
    LogEventRow{LogEvent::service_unexpected_message, LogLevel::warn, "service.unexpected_message"},
    LogEventRow{LogEvent::service_notice, LogLevel::info, "service.notice"},
    LogEventRow{LogEvent::kit_refused, LogLevel::warn, "kit.refused"},
    LogEventRow{LogEvent::listener_counters, LogLevel::info, "listener.counters"},
    LogEventRow{LogEvent::listener_accept_failed, LogLevel::warn, "listener.accept_failed"},
    LogEventRow{LogEvent::listener_proxy_refused, LogLevel::warn, "listener.proxy_refused"},
    LogEventRow{LogEvent::listener_fork_failed, LogLevel::error, "listener.fork_failed"},
    LogEventRow{LogEvent::listener_authority_lost, LogLevel::warn, "listener.authority_lost"},
    LogEventRow{LogEvent::listener_renewed, LogLevel::info, "listener.renewed"},
    LogEventRow{LogEvent::listener_renew_failed, LogLevel::error, "listener.renew_failed"},
    LogEventRow{LogEvent::listener_failed, LogLevel::error, "listener.failed"},
    LogEventRow{LogEvent::session_ended, LogLevel::info, "session.ended"},
    LogEventRow{LogEvent::session_died, LogLevel::error, "session.died"},
    LogEventRow{LogEvent::session_killed, LogLevel::warn, "session.killed"},
    LogEventRow{LogEvent::session_forbidden_call, LogLevel::error, "session.forbidden_call"},
    LogEventRow{LogEvent::session_protocol_broken, LogLevel::error, "session.protocol_broken"},
    LogEventRow{LogEvent::authority_database_failed, LogLevel::error, "authority.database_failed"},
    LogEventRow{LogEvent::authority_database_older, LogLevel::error, "authority.database_older"},
    LogEventRow{LogEvent::authority_policy_loaded, LogLevel::info, "authority.policy_loaded"},
    LogEventRow{LogEvent::authority_policy_refused, LogLevel::error, "authority.policy_refused"},
    LogEventRow{LogEvent::authority_store_failed, LogLevel::error, "authority.store_failed"},
    LogEventRow{LogEvent::authority_listen_failed, LogLevel::error, "authority.listen_failed"},
    LogEventRow{LogEvent::target_host_key_wrong, LogLevel::error, "target.host_key_wrong"},
    LogEventRow{LogEvent::clock_set, LogLevel::error, "clock.set"},
    LogEventRow{LogEvent::directory_failed, LogLevel::error, "directory.failed"},
    LogEventRow{LogEvent::glass_failed, LogLevel::error, "glass.failed"},
    LogEventRow{LogEvent::glass_only, LogLevel::error, "glass.only"},
    LogEventRow{LogEvent::vault_failed, LogLevel::error, "vault.failed"},
    LogEventRow{LogEvent::vault_sealed, LogLevel::warn, "vault.sealed"},
    LogEventRow{LogEvent::vault_memory_unlocked, LogLevel::warn, "vault.memory_unlocked"},
    LogEventRow{LogEvent::vault_host_certificate_failed, LogLevel::error, "vault.host_certificate_failed"},
    LogEventRow{LogEvent::vault_public_files_failed, LogLevel::warn, "vault.public_files_failed"},
    LogEventRow{LogEvent::recorder_failed, LogLevel::error, "recorder.failed"},
    LogEventRow{LogEvent::recorder_blocked, LogLevel::error, "recorder.blocked"},
    LogEventRow{LogEvent::recorder_possible_again, LogLevel::info, "recorder.possible_again"},
    LogEventRow{LogEvent::recorder_event_refused, LogLevel::error, "recorder.event_refused"},
    LogEventRow{LogEvent::recorder_journal_failed, LogLevel::warn, "recorder.journal_failed"},
    LogEventRow{LogEvent::recorder_hold_failed, LogLevel::error, "recorder.hold_failed"},
    LogEventRow{LogEvent::recorder_witness_failed, LogLevel::warn, "recorder.witness_failed"},
    LogEventRow{LogEvent::crypto_failed, LogLevel::error, "crypto.failed"},
    LogEventRow{LogEvent::log_dropped, LogLevel::warn, "log.dropped"},
};

}  // namespace sallyport::os
