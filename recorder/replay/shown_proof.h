// recorder/replay/shown_proof.h -- proves the entries that are shown, and only them, against a signed checkpoint.
//
// make() settles first what will hold for everything: a checkpoint whose signature is right, the session's head under it,
// and the hashes of the session's blocks under that head. Then each entry is compared with these before it is given out.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "platform/crypto/note.h"
#include "recorder/replay/seek_index.h"
#include "recorder/replay/verify.h"

namespace sallyport::replay {

/// What a viewer is told before the first byte.
struct Badge {
  std::uint64_t entries = 0;       ///< of the session, so far
  std::uint64_t proven = 0;        ///< of them under a head that the checkpoint covers
  std::uint64_t head_leaf = 0;
  std::uint64_t checkpoint_size = 0;
  std::string checkpoint_origin;
  bool is_signed = false;          ///< false: no checkpoint key was at hand, or there is no checkpoint yet
  std::vector<std::string> outside;  ///< checkpoints from elsewhere that agree
  [[nodiscard]] std::string text() const;
};

class ShownProof {
 public:
  /// Errc::corrupt: what is there does not fit a signed checkpoint or one from elsewhere; the detail says what. The index is up to date.
  [[nodiscard]] static Result<ShownProof> make(SeekIndex& index, const SessionSummary& session, std::span<const crypto::NoteKey> keys,
                                               std::span<const OutsideCheckpoint> outside);
  [[nodiscard]] const Badge& badge() const noexcept { return badge_; }
  /// The newest checkpoint whose signature was right.
  [[nodiscard]] const std::optional<crypto::Note>& checkpoint() const noexcept { return checkpoint_; }

  /// Gives the entries from `from` on (0 or 1: all), each with the tag of the one before (nothing when that is not known), until
  /// `visit` says false. Nothing is given that was not proven, or, behind the covered part, that does not follow in sequence.
  /// Errc::corrupt names the entries that are not those that were recorded.
  using Visit = std::function<bool(const StoredEntry&, const std::optional<crypto::Tag>&)>;
  Result<void> read(SeekIndex& index, std::uint64_t from, const Visit& visit) const;

 private:
  SessionId session_;
  Badge badge_;
  std::optional<crypto::Note> checkpoint_;
  SeekIndex::Tree tree_;  ///< of the covered part
};

}  // namespace sallyport::replay
