// recorder/replay/playback.h -- what a person sees of a recording: played in time, or written as a file.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "recorder/replay/session_list.h"
#include "recorder/replay/session_walk.h"

namespace sallyport::replay {

/// Where bytes go; false: nobody wants them any more.
using Sink = std::function<bool(std::string_view)>;

/// The channel a person means when she names none: the first with a pty, else the first with output, else the first.
[[nodiscard]] std::optional<std::uint32_t> usual_channel(const SessionSummary& session);

struct PlayOptions {
  WalkOptions walk;
  std::optional<std::uint32_t> channel;  ///< none: all
  double speed = 1.0;                    ///< 0: no pauses
  std::optional<std::chrono::microseconds> idle_limit;
  bool raw = false;                      ///< do not take away what could drive the terminal
  std::function<void(std::chrono::microseconds)> sleep;  ///< empty: really
};
struct Played {
  std::uint64_t bytes = 0;
  std::uint64_t hashed_bytes = 0;  ///< passed the gateway, were recorded by hash only
  std::uint64_t damaged = 0;
  std::uint64_t locked = 0;
};
/// Output to `out`, standard error to `err`, at the pace of the recording. While following, what is already there comes at once.
[[nodiscard]] Result<Played> play_session(const PlayOptions& options, const Sink& out, const Sink& err);

struct ExportOptions {
  WalkOptions walk;
  SessionSummary session;
  std::optional<std::uint32_t> channel;  ///< asciicast, text: usual_channel() when none
  bool with_input = false;               ///< asciicast: "i" events of revealed lines and of data
  std::optional<std::chrono::microseconds> idle_limit;
};
/// asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/): output, resizes, optionally input.
[[nodiscard]] Result<Played> export_asciicast(const ExportOptions& options, const Sink& out);
/// What stood on the screen as lines of plain text, with a head that says whose session it is.
[[nodiscard]] Result<Played> export_text(const ExportOptions& options, const Sink& out);
/// One JSON object per entry and line, contents included.
[[nodiscard]] Result<Played> export_json(const ExportOptions& options, const Sink& out);

/// "2026-11-22T16:40:11.123456Z".
[[nodiscard]] std::string time_text(std::int64_t wall_us);

}  // namespace sallyport::replay
