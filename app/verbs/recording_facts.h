// app/verbs/recording_facts.h -- what a session did, without its contents: files with their hashes, channels with their bytes.
#pragma once

#include "app/verbs/recording_view.h"

namespace sallyport::app {

/// sftp, scp and rsync: a head line, then one line per file operation, fields parted by tabs.
[[nodiscard]] Result<void> write_file_list(const RecordingPlace& place, RecordingView& view, const replay::Sink& sink);
/// Channels and tunnels from the audit log: who opened what to where, bytes each way.
[[nodiscard]] Result<void> write_ledger(const RecordingPlace& place, const RecordingView& view, const replay::Sink& sink);

}  // namespace sallyport::app
