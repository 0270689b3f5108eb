// app/verbs/witnessing.h -- a machine of somebody else's that reads the log, and signs its checkpoints when they fit what it saw before.
//
// A witness needs the journal's files or a credential that may read the object store, and no word with the gateway: who has taken the
// gateway and all its keys cannot show two witnesses two different pasts.
#pragma once

#include <string>
#include <vector>

#include "app/verbs/recordings.h"

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

}  // namespace sallyport::app
