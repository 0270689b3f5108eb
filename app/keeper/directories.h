// app/keeper/directories.h -- the places on disk that the keeper makes, and the promise that only one keeper uses them.
#pragma once

#include <filesystem>
#include <string>

#include "app/config.h"
#include "platform/model/result.h"
#include "platform/os/fd.h"

namespace sallyport::app {

/// Accounts of the services; empty names: everything runs as the keeper itself.
struct ServiceUsers {
  std::string vault;
  std::string authority;
  std::string recorder;
  std::string listener;
  [[nodiscard]] bool separate() const noexcept { return !vault.empty(); }
};

/// The users sallyport-vault, -authority, -recorder and -listener when started as root and all four exist; else none.
[[nodiscard]] ServiceUsers find_service_users();

/// state_dir (0700; 0711 with separate users) with one 0700 directory per service, run_dir (0755 as root, else 0700) and ring_dir
/// (0700). Existing ones get these modes and owners again. Errc::unavailable names the directory.
[[nodiscard]] Result<void> make_directories(const Config& config, const ServiceUsers& users);

/// Exclusive for as long as the descriptor is open. Errc::conflict: another keeper holds it.
[[nodiscard]] Result<Fd> lock_state(const Config& config);

/// run_dir/keeper.pid, for `sallyport upgrade` and for people.
[[nodiscard]] Result<void> write_pid_file(const Config& config);

/// Notes which services run, for the keeper after a kill -9 of this one.
[[nodiscard]] Result<void> write_running(const Config& config, const std::string& lines);
/// Waits until the services of a keeper that was killed are gone; after `limit` they are killed. Two recorders on one journal would
/// destroy it, so a new keeper starts nothing before.
[[nodiscard]] Result<void> wait_for_leftover_services(const Config& config, std::chrono::milliseconds limit);
/// "NAME PID START-TIME" of a process, as write_running wants it.
[[nodiscard]] std::string running_line(const std::string& name, int pid);

}  // namespace sallyport::app
