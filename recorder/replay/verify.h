// recorder/replay/verify.h -- is the journal what the recorder wrote? From files and public keys alone.
//
// Everything that does not fit is a Finding; what these files cannot prove by themselves is said in `not_checked`.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "platform/crypto/note.h"
#include "platform/model/ids.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"
#include "recorder/replay/far_journal.h"
#include "recorder/replay/store_copy.h"

namespace sallyport::replay {

struct Finding {
  std::string kind;          ///< stable: "entry-changed", "session-missing" ...; the list stands in docs/reference/recordings.md
  std::string session;       ///< empty: the journal as a whole
  std::uint64_t first_entry = 0, last_entry = 0;  ///< 0: no entry is meant
  std::uint64_t leaf = 0;    ///< of the node log, 0: none is meant
  std::int64_t since_us = 0; ///< nothing from this moment on is proven; 0: not known
  std::uint64_t file = 0, offset = 0;
  std::string text;          ///< for a person
};

/// A checkpoint that the verifier has from elsewhere than these files.
struct OutsideCheckpoint {
  crypto::Checkpoint checkpoint;
  std::string where;  ///< for the findings
  std::optional<crypto::Note> note{};  ///< as it was signed; without it the caller vouches for it
};

struct VerifyOptions {
  JournalPlace journal;
  std::vector<SessionId> sessions;               ///< report and open only these; the log itself is always checked as a whole
  std::vector<crypto::NoteKey> checkpoint_keys;  ///< empty: signatures are not checked, and that is said
  std::vector<OutsideCheckpoint> outside;
  /// Gives the session key for a wrapped one, or nothing. Empty: seals are not opened, and that is said.
  std::function<std::optional<Secret>(const SessionId&, ByteView wrapped)> unwrap;
  /// Whether the session's ring still exists: then it is live, else truncated. Empty: "open".
  std::function<bool(const SessionId&)> is_live;
  /// Stretches that may lawfully be gone (replay/store_copy.h): what is missing of sessions is judged by the log's own retention events.
  std::vector<StoreHole> holes;
  std::string stamp_ca;  ///< PEM: who signs time stamps; empty: they are not checked, and that is said
  std::size_t most_findings = 10'000;
  /// How long a frame that is not whole yet may take to become so: a recorder may be writing it.
  std::chrono::milliseconds patience{300};
};

struct SessionVerdict {
  SessionId session;
  std::uint64_t entries = 0;
  std::uint64_t covered = 0;  ///< entries under the newest head
  std::uint64_t signed_entries = 0;  ///< entries under heads that a checkpoint covers
  std::string state;          ///< complete, live, truncated, open
  bool seals_checked = false;
  bool is_erased = false;     ///< its key was erased, as the log says: nobody can read it, that it is whole is proven all the same
  std::uint64_t findings = 0;
};

struct VerifyReport {
  std::vector<Finding> findings;
  bool more_findings = false;
  std::vector<std::string> not_checked;
  std::vector<std::string> notices;  ///< true, and no sign of tampering: the clock was set and the log says so
  std::vector<SessionVerdict> sessions;
  std::uint64_t leaves = 0;
  std::uint64_t signed_leaves = 0;   ///< under the newest checkpoint in the files that is right
  std::uint64_t checkpoints = 0;
  std::uint64_t handovers = 0;       ///< of the checkpoint key to its successor
  std::uint64_t stamps = 0;           ///< time stamps that are right
  std::uint64_t stamped_leaves = 0;   ///< under the newest of them
  std::int64_t stamped_at_us = 0;     ///< its time, by the authority's clock
  std::uint64_t bytes = 0;
  std::optional<crypto::Note> newest_checkpoint;        ///< in the files, signature right (or no key to check it)
  std::optional<crypto::Checkpoint> newest_parsed;
  [[nodiscard]] bool is_clean() const noexcept { return findings.empty(); }
};

/// Errc::not_found: no journal there, or none of `sessions` is in it. Damage is not an error but findings.
[[nodiscard]] Result<VerifyReport> verify_journal(const VerifyOptions& options);

}  // namespace sallyport::replay
