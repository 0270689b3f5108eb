// recorder/replay/session_list.h -- what recordings a journal holds, without any key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "platform/crypto/note.h"
#include "platform/model/bytes.h"
#include "platform/model/ids.h"
#include "platform/model/result.h"
#include "recorder/replay/far_journal.h"

namespace sallyport::replay {

struct ChannelSummary {
  std::uint32_t channel = 0;
  std::string kind;      ///< shell, exec, sftp ...; empty when the session did not say
  std::string command;
  std::string exit;      ///< "0", "TERM" ...; empty: not seen
  bool pty = false;
  std::uint64_t bytes_in = 0, bytes_out = 0, bytes_err = 0;  ///< at least: the length of a last, compressed entry is sealed
};

struct SessionSummary {
  SessionId session;
  std::string principal, account, target, source, outer_session;
  std::int64_t began_us = 0;
  std::int64_t last_us = 0;
  std::string state;  ///< complete, live, truncated, open
  std::string end_reason;
  std::uint64_t entries = 0;
  std::uint64_t stored_bytes = 0;
  std::vector<ChannelSummary> channels;
  std::string header_json;  ///< what the session said of itself, in full
  Bytes wrapped_key;
};

struct SessionListOptions {
  JournalPlace journal;
  std::string session;  ///< only the one whose name begins so; empty: all
  /// See VerifyOptions::is_live.
  std::function<bool(const SessionId&)> is_live;
};

struct SessionList {
  std::vector<SessionSummary> sessions;               ///< oldest first
  std::optional<crypto::Note> newest_checkpoint;      ///< not verified
  std::vector<crypto::Note> handovers;                ///< of the checkpoint key to its successor, in order; not verified
  std::uint64_t damages = 0;                          ///< places that could not be read; verify says more
};

/// Errc::not_found: no journal there.
[[nodiscard]] Result<SessionList> list_sessions(const SessionListOptions& options);

/// The one session whose name begins with `prefix` (any case). Errc::not_found, Errc::conflict (several).
[[nodiscard]] Result<SessionSummary> find_session(const JournalPlace& journal, std::string_view prefix,
                                                  const std::function<bool(const SessionId&)>& is_live);

}  // namespace sallyport::replay
