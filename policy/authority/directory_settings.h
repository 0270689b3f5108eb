// policy/authority/directory_settings.h -- what the configuration says of the directory.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "platform/directory/ldap_client.h"
#include "platform/model/settings.h"
#include "policy/authority/directory_groups.h"

namespace sallyport::authority {

struct DirectorySettings {
  directory::Place place;
  std::string bind_secret;  ///< its name in the vault
  GroupMap groups;
  std::chrono::milliseconds refresh{};
  std::chrono::milliseconds groups_last{};
};

/// None when no directory is configured. Errc::invalid begins with the key that is wrong.
[[nodiscard]] Result<std::optional<DirectorySettings>> read_directory_settings(const Settings& settings);

}  // namespace sallyport::authority
