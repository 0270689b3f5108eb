#include "recorder/options.h"

namespace sallyport::recorder {

Result<RecorderOptions> recorder_options(const Settings& settings) {
  RecorderOptions options;
  const std::string state_dir = settings.text("state_dir");
  if (state_dir.empty()) return fail(Errc::invalid, "the recorder needs state_dir");
  options.journal_dir = state_dir + "/journal";
  options.ring_dir = settings.text("ring_dir");
  if (options.ring_dir.empty()) return fail(Errc::invalid, "the recorder needs ring_dir");
  options.origin = settings.text("node");
  if (options.origin.empty()) return fail(Errc::invalid, "the recorder needs node");
  options.roll_bytes = settings.number("journal_roll_bytes", options.roll_bytes);
  options.min_free_bytes = settings.number("min_free_bytes", options.min_free_bytes);
  options.checkpoint_interval = settings.duration("checkpoint_interval_ms", options.checkpoint_interval);
  options.witness_files = settings.list("witness_files");
  options.syslog = settings.flag("syslog", options.syslog);
  options.commit_interval = settings.duration("commit_interval_ms", options.commit_interval);
  options.sync_interval = settings.duration("sync_interval_ms", options.sync_interval);
  options.sleep_after = settings.duration("ring_sleep_after_ms", options.sleep_after);
  options.local_bytes = settings.number("store_local_bytes", options.local_bytes);
  options.local_time = settings.duration("store_local_time_ms", options.local_time);
  options.leftover_grace = settings.duration("leftover_grace_ms", options.leftover_grace);
  return options;
}

}  // namespace sallyport::recorder
