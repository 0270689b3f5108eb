// recorder/replay/viewing.h -- the replay process: opens one session's entries and shows them, over one socket.
//
// The caller of run_viewing has locked the process in before (no files, no network: app/verbs/replay_process.cpp). What it is
// handed are sealed entries, what it gives are parts for the eye; the session key never leaves it again.
#pragma once

#include "platform/model/result.h"
#include "recorder/replay/seek_index.h"
#include "recorder/replay/view_wire.h"

namespace sallyport::replay {

/// Serves one viewing and returns when it is over. Errors were told to the other side already.
Result<void> run_viewing(int fd);

/// The screen of a channel, sealed under a key of the session's own for key frames; bound to the tag of the entry it stands behind.
struct ScreenState {
  std::uint32_t columns = 80, rows = 24;
  std::string paint;  ///< bytes that draw it on an empty terminal
};
[[nodiscard]] Bytes seal_screen(const Secret& session_key, const SessionId& session, const KeyFrame& where, const ScreenState& state);
/// Errc::corrupt.
[[nodiscard]] Result<ScreenState> open_screen(const Secret& session_key, const SessionId& session, const KeyFrame& frame);

}  // namespace sallyport::replay
