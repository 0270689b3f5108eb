// platform/crypto/note.h -- C2SP signed-note and tlog-checkpoint: a Merkle tree's head as a signed text.
//
//   example.org/log            origin
//   42                         size of the tree
//   qINS1GRFhW...=             root hash
//                              (empty line)
//   — example.org/log Az3g...  one line per signature
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/ed25519.h"
#include "platform/crypto/hash.h"
#include "platform/model/result.h"

namespace sallyport::crypto {

using NoteKeyId = std::array<std::byte, 4>;

/// Who may sign: "name+8 hex digits+base64(0x01 || Ed25519 key)", the line that operators publish.
struct NoteKey {
  std::string name;
  NoteKeyId id{};
  Ed25519PublicKey public_key{};
};
[[nodiscard]] NoteKey make_note_key(std::string name, const Ed25519PublicKey& public_key);
[[nodiscard]] std::string vkey_of(const NoteKey& key);
[[nodiscard]] Result<NoteKey> parse_vkey(std::string_view line);

struct NoteSignature {
  std::string name;
  NoteKeyId id{};
  Bytes signature;
};
struct Note {
  std::string body;  ///< up to and including its last newline, without the empty line
  std::vector<NoteSignature> signatures;
};

/// One signature line for `body` (which ends in a newline), newline included.
[[nodiscard]] std::string sign_note_line(std::string_view body, std::string_view name, const Ed25519PrivateKey& key);
/// Body, empty line, signature lines.
[[nodiscard]] std::string join_note(std::string_view body, std::string_view signature_lines);
/// At most 64 KiB and 16 signatures; Errc::invalid for anything that is not a signed note.
[[nodiscard]] Result<Note> parse_note(std::string_view text);
/// At least one signature by a key among `keys`, and every signature that claims one of them is right; else Errc::corrupt.
[[nodiscard]] Result<void> verify_note(const Note& note, std::span<const NoteKey> keys);

struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;
  Hash256 root{};
  std::vector<std::string> extensions;  ///< further lines
};
[[nodiscard]] std::string checkpoint_body(const Checkpoint& checkpoint);
[[nodiscard]] Result<Checkpoint> parse_checkpoint(std::string_view body);

/// The key that the signer named as its successor ("next-key VKEY"); nothing when there is none of the same name.
[[nodiscard]] std::optional<NoteKey> next_key_of(const Checkpoint& checkpoint);

}  // namespace sallyport::crypto
