// app/config.h -- sallyport.yaml: read strictly, completed with defaults, handed to the services as Settings.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/result.h"
#include "platform/model/settings.h"

namespace sallyport::app {

constexpr std::string_view k_default_config = "/etc/sallyport/sallyport.yaml";

/// One checked configuration. A value object.
struct Config {
  std::string file;  ///< as the user named it, for messages; empty: built-in defaults
  std::string node;
  std::filesystem::path state_dir;
  std::filesystem::path run_dir;
  std::filesystem::path ring_dir;
  std::vector<std::string> listen;  ///< "host:port" with a numeric host
  std::uint64_t ring_bytes = 0;
  std::chrono::milliseconds drain{};
  Settings settings;      ///< everything, as the services see it
  std::string effective;  ///< the whole configuration with defaults, as a file that can be read again

  [[nodiscard]] std::filesystem::path admin_socket() const { return run_dir / "admin.sock"; }
  [[nodiscard]] std::filesystem::path index_dir() const { return state_dir / "index"; }  ///< of recordings, for seeking and searching
  /// Each service has a directory of its own below state_dir.
  [[nodiscard]] std::filesystem::path state_of(std::string_view service) const { return state_dir / service; }
  /// What `service` is sent: `settings` with its own state directory.
  [[nodiscard]] Settings settings_for(std::string_view service) const;
};

/// Errc::invalid: `detail` has one line per problem, "FILE:LINE:COLUMN: what. Did you mean ...?".
[[nodiscard]] Result<Config> parse_config(std::string_view yaml, const std::string& file);
/// Errc::not_found when there is no such file.
[[nodiscard]] Result<Config> load_config(const std::filesystem::path& file);

}  // namespace sallyport::app
