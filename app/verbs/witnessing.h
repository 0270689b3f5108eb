// app/verbs/witnessing.h -- a machine of somebody else's that reads the log, and signs its checkpoints when they fit what it saw before.
//
// A witness needs the journal's files or a credential that may read the object store, and no word with the gateway: who has taken the
// gateway and all its keys cannot show two witnesses two different pasts.
#pragma once

#include <string>
#include <vector>

#include "app/verbs/recordings.h"
#include "recorder/replay/verify.h"

namespace sallyport::app {

struct WitnessOptions {
  Common common;
  RecordingPlace place;
  std::string key;    ///< file of the witness's own key
  std::string name;   ///< of `key`: the witness's
  std::string into;   ///< of `sign`: file that co-signed checkpoints are appended to
  std::string state;  ///< of `sign`: folder in which it remembers what it saw; empty: the usual one
};
/// Makes a key and prints its vkey line. Never overwrites one.
int run_witness_key(const WitnessOptions& options);
/// Verifies the whole log against the newest checkpoint this witness saw; only when all of it fits, signs the newest one.
int run_witness_sign(const WitnessOptions& options);

/// What the witnesses that a verifier insists on have signed.
struct Witnessed {
  std::size_t wanted = 0;
  std::size_t seen = 0;       ///< witnesses that signed a checkpoint of this log
  std::uint64_t leaves = 0;   ///< so many leaves stand under checkpoints of at least `wanted` of them
  std::vector<replay::Finding> findings;
};
/// `keys` are vkey lines or files of them. Errc::invalid for others, for fewer keys than `wanted`, or for the log's own among them.
[[nodiscard]] Result<Witnessed> count_witnesses(const std::vector<std::string>& keys, std::size_t wanted, const std::vector<crypto::NoteKey>& log_keys,
                                                const std::vector<replay::OutsideCheckpoint>& outside);

}  // namespace sallyport::app
