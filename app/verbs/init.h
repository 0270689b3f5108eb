// app/verbs/init.h -- `sallyport init`: a configuration, a vault and a seal key where there was nothing.
#pragma once

#include <string>
#include <vector>

#include "app/verbs/console.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"

namespace sallyport::app {

struct InitOptions {
  std::string state_dir;
  std::string run_dir;
  std::vector<std::string> listen;
  std::string seal_source = "file";
  std::string public_address;  ///< HOST:PORT by which engineers reach it
  std::string witness;         ///< file outside the state directory for checkpoints
  std::string admin_listen;    ///< address of page and REST API
  bool non_interactive = false;  ///< ask nothing, also on a terminal
};

/// Writes common.config unless it exists (then it is used as it is), makes the directories and the vault. On a terminal it asks what the
/// options left open (init_questions.h), and for the passphrase when the seal is one.
int run_init(const Common& common, const InitOptions& options);

/// The directories, the seal key and the vault that the configuration in `file` names; quiet. `passphrase` counts for that seal only.
/// Errc::conflict: there is a vault already, it is not touched.
[[nodiscard]] Result<void> make_state(const std::string& file, const Secret& passphrase);

}  // namespace sallyport::app
