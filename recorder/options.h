// recorder/options.h -- what the recorder is told by the configuration.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "platform/model/settings.h"

namespace sallyport::recorder {

struct RecorderOptions {
  std::string journal_dir;  ///< STATE_DIR/journal
  std::string ring_dir;     ///< tmpfs; rings are removed from here when their session is in the journal
  std::string origin;       ///< of the checkpoints: the node's name
  std::uint64_t roll_bytes = 64 * 1024 * 1024;
  std::uint64_t min_free_bytes = 256 * 1024 * 1024;  ///< below: no new session; below a quarter of it: live ones end
  std::chrono::milliseconds checkpoint_interval{60'000};
  std::vector<std::string> witness_files;
  bool syslog = true;
  std::chrono::milliseconds commit_interval{50};  ///< of draining and writing while sessions are active
  std::chrono::milliseconds sync_interval{50};    ///< fdatasync follows a write within it, at once where somebody waits for it
  std::chrono::milliseconds sleep_after{1'000};   ///< a ring without news this long gets no more looks until its bell
  std::uint64_t local_bytes = 0;            ///< of the journal that stay on this machine once they are in the store; 0: all
  std::chrono::milliseconds local_time{0};  ///< for so long; 0: for ever
  std::chrono::milliseconds leftover_grace{10'000};  ///< after a start: rings that no session claimed by then are finished
};

/// From the keeper's settings (docs/reference/configuration.md). Errc::invalid names what is missing.
[[nodiscard]] Result<RecorderOptions> recorder_options(const Settings& settings);

}  // namespace sallyport::recorder
