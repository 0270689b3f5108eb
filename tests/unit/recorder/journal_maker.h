// A journal made by the book (docs/format/journal.md), kept as a list of frames so that tests can spoil it.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "platform/crypto/cms.h"
#include "platform/crypto/ed25519.h"
#include "platform/crypto/merkle.h"
#include "platform/crypto/note.h"
#include "platform/model/clock.h"
#include "platform/seal/session_log.h"

namespace sallyport::test {

class StepClock final : public Clock {
 public:
  WallTime wall() const override { return WallTime(std::chrono::microseconds(1'800'000'000'000'000 + now_us + moved_us)); }
  BootTime boot() const override { return BootTime(5'000'000 + now_us); }
  void pass(std::int64_t microseconds) { now_us += microseconds; }
  std::int64_t now_us = 0;
  std::int64_t moved_us = 0;  ///< of the wall clock alone
};

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct MadeFrame {
  std::uint32_t type = 0;
  Bytes payload;
};

/// Writes frames as journal files with right numbers and checksums; a new file after `frames_per_file` frames.
void write_journal(const std::filesystem::path& folder, const std::vector<MadeFrame>& frames, std::size_t frames_per_file = 1000);

/// The entries of an entries payload, whichever form it has; and others in their place, in form 0.
[[nodiscard]] std::vector<Bytes> entries_in(ByteView payload);
void put_entries(Bytes& payload, const std::vector<Bytes>& entries);

struct MadeSession {
  SessionId id;
  Secret key;
  Bytes wrapped;
  std::unique_ptr<seal::SessionLog> log;
  seal::RingMapping producer_side, consumer_side;
  std::unique_ptr<seal::RingConsumer> ring;
  crypto::MerkleTree tree;
  std::uint64_t head_entries = 0;
  std::uint32_t segment = 0;
};

class JournalMaker {
 public:
  explicit JournalMaker(std::string origin = "gw-1.test/journal");

  /// Begins a recording; its first entry is there.
  MadeSession& begin(const std::string& header_json, std::size_t ring_bytes = 1024 * 1024);
  /// Moves what stands in the ring into a frame.
  void drain(MadeSession& session);
  void head(MadeSession& session, int why);
  /// append_end, drained, with its head.
  void end(MadeSession& session);
  void event(const std::string& name, const std::string& json, const std::string& session = {});
  /// Heads for what grew, then a checkpoint frame. Gives the note.
  std::string checkpoint();
  /// A checkpoint in which the key names its successor, which signs from then on.
  std::string hand_over();
  [[nodiscard]] crypto::NoteKey root_key() const { return crypto::make_note_key(origin, root); }
  void write(const std::filesystem::path& folder, std::size_t frames_per_file = 1000) const { write_journal(folder, frames, frames_per_file); }

  [[nodiscard]] crypto::NoteKey note_key() const { return crypto::make_note_key(origin, key.public_key()); }

  bool short_form = false;  ///< of the entries frames that drain() makes
  StepClock clock;
  std::string origin;
  crypto::Ed25519PrivateKey key;
  crypto::Ed25519PublicKey root{};  ///< of the first key
  crypto::RecipientPair recipient;
  crypto::MerkleTree log;
  std::vector<MadeFrame> frames;
  std::vector<std::unique_ptr<MadeSession>> sessions;
  TemporaryFolder rings;

 private:
  void leaf(std::uint32_t type, Bytes payload);
};

/// Recomputes every head and checkpoint so that the frames are right by themselves: what an attacker with the checkpoint
/// key can do.
void rebuild_log(std::vector<MadeFrame>& frames, const std::string& origin, const crypto::Ed25519PrivateKey& key);

}  // namespace sallyport::test
