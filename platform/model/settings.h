// platform/model/settings.h -- the configuration as a service receives it from the keeper (Reload.config_yaml).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/result.h"

namespace sallyport {

/// Flat `key: value` lines, one per setting, already checked and completed by the keeper: durations are plain milliseconds (`..._ms`),
/// sizes plain bytes (`..._bytes`), lists are separated by commas. The lines are legal YAML too. The keys stand in
/// app/config.cpp (one table) and in docs/reference/configuration.md. A value object; no thread, no file.
class Settings {
 public:
  Settings() = default;

  /// Errc::invalid names the line. Empty lines and lines that start with '#' are skipped; a key may appear once.
  [[nodiscard]] static Result<Settings> parse(std::string_view lines);

  /// The value, or `fallback` where the key is missing or empty.
  [[nodiscard]] std::string text(std::string_view key, std::string_view fallback = {}) const;
  /// The number; `fallback` where the key is missing or no number.
  [[nodiscard]] std::uint64_t number(std::string_view key, std::uint64_t fallback) const;
  [[nodiscard]] std::chrono::milliseconds duration(std::string_view key, std::chrono::milliseconds fallback) const;
  [[nodiscard]] bool flag(std::string_view key, bool fallback) const;  ///< true or false
  [[nodiscard]] std::vector<std::string> list(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const;

  void set(std::string key, std::string value);
  /// The lines again, sorted by key.
  [[nodiscard]] std::string render() const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace sallyport
