// recorder/replay/bundle.h -- a slice of a recording with its proof, to be handed to somebody who has nothing else (docs/format/bundle.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "platform/crypto/note.h"
#include "platform/model/ids.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"
#include "recorder/replay/far_journal.h"
#include "recorder/replay/playback.h"

namespace sallyport::replay {

struct BundleOptions {
  JournalPlace journal;
  SessionId session;
  std::optional<Secret> key;  ///< of the session; without it the slice is proven and sealed
  std::chrono::microseconds from{0};  ///< since the session's first entry
  std::chrono::microseconds to = std::chrono::microseconds::max();
  std::set<std::uint64_t> redacted;   ///< entries whose bytes stay out
};
/// JSON, in pieces. Errc::not_found: no such session, or nothing in that time. Errc::unavailable: no checkpoint covers the slice yet.
[[nodiscard]] Result<void> write_bundle(const BundleOptions& options, const Sink& out);

struct BundleReport {
  std::string session;
  std::uint64_t first = 0, last = 0;  ///< entries of the slice
  std::uint64_t entries = 0, redacted = 0, opened = 0;
  std::uint64_t proof_bytes = 0;
  std::uint64_t leaves = 0;           ///< under the checkpoint
  std::vector<std::string> findings;
  std::vector<std::string> not_checked;  ///< what a slice cannot tell
};
/// Nothing but the bundle and the log's (first) checkpoint key is needed. Errc::invalid: not a bundle.
[[nodiscard]] Result<BundleReport> verify_bundle(std::string_view json, const std::vector<crypto::NoteKey>& keys);

}  // namespace sallyport::replay
