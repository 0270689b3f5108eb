// app/verbs/recording_proof.h -- what every verb over recordings needs: who may sign, what is known from elsewhere, the check.
#pragma once

#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/verbs/recordings.h"
#include "platform/crypto/note.h"
#include "platform/model/ids.h"
#include "platform/model/secret.h"
#include "recorder/replay/kept_checkpoints.h"
#include "recorder/replay/verify.h"

namespace sallyport::app {

/// Tells live sessions by their rings; empty when the place has none.
[[nodiscard]] std::function<bool(const SessionId&)> liveness(const RecordingPlace& place);
[[nodiscard]] replay::KeptCheckpoints kept_of(const RecordingPlace& place);
[[nodiscard]] bool may_keep(const RecordingPlace& place);

/// One line on stderr.
void note(std::string_view text);

struct KnownKeys {
  std::vector<crypto::NoteKey> keys;
  std::optional<crypto::NoteKey> first_use;  ///< to be remembered when the journal verifies
  std::string changed;                       ///< the gateway's copy says another key than the one remembered
};
/// Given ones; else the one remembered for this journal; else the gateway's copy.
[[nodiscard]] Result<KnownKeys> checkpoint_keys(const RecordingPlace& place);

/// Kept ones, those of the object store and those of the files that the caller brought; with their notes, as who may have signed them shows only when the log is read.
[[nodiscard]] Result<std::vector<replay::OutsideCheckpoint>> outside_checkpoints(const RecordingPlace& place, const std::vector<std::string>& files,
                                                                                 const KnownKeys& known);
/// The vkey lines of a text, one each line.
[[nodiscard]] Result<std::vector<crypto::NoteKey>> keys_in(std::string_view text);

/// From the recipient's key file, else from the gateway.
[[nodiscard]] Result<Secret> session_key(const KeySource& source, const SessionId& session, ByteView wrapped);

void print_findings(std::FILE* to, const std::vector<replay::Finding>& findings, std::size_t most);

/// Remembers a checkpoint that was found right, and the key it was trusted under.
void keep_checkpoint(const RecordingPlace& place, const KnownKeys& known, const std::optional<crypto::Note>& newest);

struct Verified {
  replay::VerifyReport report;
  KnownKeys known;
  std::vector<replay::OutsideCheckpoint> outside;
};
/// The whole check, with everything the caller knows from elsewhere.
[[nodiscard]] Result<Verified> verify(const RecordingPlace& place, std::vector<SessionId> sessions, const std::vector<std::string>& checkpoint_files,
                                      decltype(replay::VerifyOptions::unwrap) unwrap);

}  // namespace sallyport::app
