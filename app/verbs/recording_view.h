// app/verbs/recording_view.h -- one recording made ready to be looked at: found, proven, keyed.
#pragma once

#include <functional>
#include <optional>

#include "app/verbs/recording_proof.h"
#include "app/verbs/viewing_process.h"
#include "recorder/replay/shown_proof.h"

namespace sallyport::app {

/// The index beside the journal, up to date; one in memory when no folder takes it.
[[nodiscard]] Result<replay::SeekIndex> open_index(const RecordingPlace& place);

struct RecordingView {
  replay::SeekIndex index;
  replay::SessionSummary session;
  std::optional<replay::ShownProof> proof;  ///< nothing: it did not verify, and the caller wants to see it nevertheless

  /// Gives the stored entries from `from` on, proven one by one where there is a proof.
  Result<void> read(const RecordingPlace& place, std::uint64_t from, const replay::ShownProof::Visit& visit);
};

/// Finds the session (its beginning is enough), checks it and says on stderr what was checked. Errc::corrupt: it was changed and
/// `show_damaged` is not set; the findings were printed.
[[nodiscard]] Result<RecordingView> open_view(const RecordingPlace& place, const std::string& session, bool show_damaged);

/// Runs the whole session through a replay process that keeps its screens: gives its lines, keeps its key frames in the index.
[[nodiscard]] Result<void> watch_session(const RecordingPlace& place, RecordingView& view, const Secret& key, const std::function<void(const ViewedLine&)>& give,
                                         const std::function<bool()>& interrupted);

}  // namespace sallyport::app
