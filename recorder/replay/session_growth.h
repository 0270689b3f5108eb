// recorder/replay/session_growth.h -- what the entries of one session tell about it, without any key.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "recorder/replay/frames.h"
#include "recorder/replay/session_list.h"

namespace sallyport::replay {

struct SessionGrowth {
  SessionSummary summary;  ///< its channels stand in `channels` until finish()
  std::map<std::uint32_t, ChannelSummary> channels;
  bool has_end = false;
  std::optional<SessionHead::Why> final_head;

  void take(const StoredEntry& entry);
  /// What the session says of itself in its first entry.
  void read_header_json(std::string_view json);
  [[nodiscard]] std::string state(const std::function<bool(const SessionId&)>& is_live) const;
  /// The summary with its state and channels filled in.
  [[nodiscard]] SessionSummary finish(const std::function<bool(const SessionId&)>& is_live) const;

 private:
  void read_event(const StoredEntry& entry);
  [[nodiscard]] ChannelSummary* channel_of(std::uint32_t number);
};

/// Channels as text, one JSON object a line, and back.
[[nodiscard]] std::string channels_text(const std::map<std::uint32_t, ChannelSummary>& channels);
[[nodiscard]] std::map<std::uint32_t, ChannelSummary> channels_in(std::string_view text);

}  // namespace sallyport::replay
