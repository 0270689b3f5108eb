// recorder/replay/kept_checkpoints.h -- what a verifier remembers outside the journal: the newest checkpoint it saw, the key.
//
// Files below the caller's own state folder, so that whoever changes the journal later cannot change them along with it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/note.h"
#include "platform/model/result.h"

namespace sallyport::replay {

class KeptCheckpoints {
 public:
  explicit KeptCheckpoints(std::filesystem::path folder) : folder_(std::move(folder)) {}
  /// $XDG_STATE_HOME/sallyport, else ~/.local/state/sallyport; empty when neither is known.
  [[nodiscard]] static std::filesystem::path usual_folder();

  /// The newest one kept of that log. `key` is the log's: another key is another log.
  [[nodiscard]] std::optional<crypto::Note> newest(std::string_view origin, const crypto::NoteKeyId& key) const;
  /// Keeps the note unless a newer one of its log is kept already. `key` is the log's: the first one, whoever signed this note.
  /// Errc::unavailable: the folder cannot be written.
  Result<void> keep(const crypto::Note& note, const crypto::NoteKeyId& key) const;

  /// The checkpoint key that was used for the journal in that folder before.
  [[nodiscard]] std::optional<crypto::NoteKey> key_of(const std::filesystem::path& journal) const;
  Result<void> keep_key(const std::filesystem::path& journal, const crypto::NoteKey& key) const;

  [[nodiscard]] std::filesystem::path file_of(std::string_view origin, const crypto::NoteKeyId& key) const;

 private:
  [[nodiscard]] std::filesystem::path key_file_of(const std::filesystem::path& journal) const;
  std::filesystem::path folder_;
};

/// All complete notes of a witness file, of a file with a single note, or of syslog lines "checkpoint ORIGIN SIZE ROOT
/// SIGNATURE". At most 64 MiB. Errc::not_found, Errc::invalid when not one is in it.
[[nodiscard]] Result<std::vector<crypto::Note>> read_checkpoint_file(const std::filesystem::path& file);
[[nodiscard]] std::vector<crypto::Note> parse_checkpoints(std::string_view text);

[[nodiscard]] std::string text_of_note(const crypto::Note& note);

}  // namespace sallyport::replay
