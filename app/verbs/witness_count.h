// app/verbs/witness_count.h -- how far witnesses vouch for a log.
#pragma once

#include <string>
#include <vector>

#include "platform/crypto/note.h"
#include "platform/model/result.h"
#include "recorder/replay/verify.h"

namespace sallyport::app {

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
