// app/verbs/feeding.h -- hands a recording, still sealed, to the replay process that shows it.
#pragma once

#include "app/verbs/recording_view.h"

namespace sallyport::app {

/// All entries from `from` on. `settles`: only those that settle typed lines, ahead of all the others.
[[nodiscard]] Result<void> feed(const RecordingPlace& place, RecordingView& view, ViewingProcess& process, std::uint64_t from, bool settles = false);
/// All entries from `from` on, then what is being recorded as it reaches the journal, until the session ends or nobody looks any more.
[[nodiscard]] Result<void> feed_live(const RecordingPlace& place, RecordingView& view, ViewingProcess& process, std::uint64_t from);

}  // namespace sallyport::app
