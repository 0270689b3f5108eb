// app/verbs/ansible_inventory.h -- hosts out of an Ansible inventory: the JSON of `ansible-inventory --list` (so every cloud's inventory plug-in
// works) or a static INI or YAML file. For any text.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/result.h"

namespace sallyport::app {

struct InventoryHost {
  std::string name;
  std::string address;  ///< ansible_host, else the name
  int port = 22;        ///< ansible_port
  std::string user;     ///< ansible_user; empty: none is said
  std::set<std::string> groups;
};

/// Errc::invalid names the line or the JSON place. Hosts in the order of their names. Hosts without SSH (ansible_connection other than ssh or
/// smart) are left out. What a static inventory takes from other files (host_vars, group_vars) is not read: use `ansible-inventory --list`.
[[nodiscard]] Result<std::vector<InventoryHost>> parse_inventory(std::string_view text);

}  // namespace sallyport::app
