// app/demo/fleet.h -- three real sshd processes that stand for the machines of a small recommender service.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "app/demo/child.h"
#include "platform/model/result.h"

namespace sallyport::app {

struct DemoTarget {
  std::string name;
  std::string labels;  ///< YAML flow map
  int port = 0;
  std::string host_key;  ///< public line
  ChildProgram sshd;
};

struct DemoAccount {
  std::string name;
  bool needs_pam = false;  ///< a locked password: sshd admits it only through PAM
};

/// Who logs in at the targets: as an ordinary user oneself (sshd cannot become anybody else); as root the user behind sudo, else the
/// first ordinary user with a shell and a home, else root.
[[nodiscard]] DemoAccount choose_demo_account();

/// A port of 127.0.0.1 that is free now.
[[nodiscard]] Result<int> free_port();

/// Starts recs-1, recs-2 and train-1. Certificates signed by the key in `user_ca` (read at each login) are the only way in.
/// Errc::unavailable: sshd is missing or does not start.
[[nodiscard]] Result<std::vector<DemoTarget>> start_demo_fleet(const std::filesystem::path& directory, const DemoAccount& account,
                                                               const std::filesystem::path& user_ca);

}  // namespace sallyport::app
