// recorder/journal/journal.h -- the append-only log of one node: files, frames, session trees and the node log.
//
// One thread. Appending only fills a buffer; write() hands it to the kernel in one call, and from then on no crash of a
// process loses it. Durability (fdatasync) is the caller's: unsynced_files() says what to sync.
// After a failed write the object is of no use: open the journal anew, everything is rebuilt from the files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "platform/crypto/merkle.h"
#include "platform/crypto/random.h"
#include "platform/model/clock.h"
#include "platform/model/ids.h"
#include "platform/model/result.h"
#include "platform/os/fd.h"
#include "platform/seal/ring.h"
#include "recorder/journal/frame.h"

namespace sallyport::recorder {

struct JournalOptions {
  std::string directory;
  std::uint64_t roll_bytes = 64 * 1024 * 1024;
};

class Journal {
 public:
  /// Makes the folder if needed, locks it, and rebuilds all state from the last file. A torn tail is cut off and kept beside.
  /// Errc::conflict: another recorder holds the lock. Errc::corrupt: the files contradict themselves; nothing was changed.
  [[nodiscard]] static Result<std::unique_ptr<Journal>> open(JournalOptions options, Clock& clock, crypto::Random& random);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal();

  struct Recovery {
    std::uint64_t frames = 0;     ///< read from the last file
    std::uint64_t cut_bytes = 0;  ///< of a torn or damaged tail
    std::string cut_file;         ///< where they are kept
    bool damaged = false;         ///< a check failed: more than a crash explains
  };
  [[nodiscard]] const Recovery& recovery() const noexcept { return recovery_; }

  // ---- sessions
  [[nodiscard]] SessionTrail* find_trail(std::string_view label) noexcept;
  /// The session's trail, begun if there is none. Stays valid until forget_trail(). `label` must be one.
  [[nodiscard]] SessionTrail& trail_of(std::string_view label);
  /// No ring of that session exists any more: it will not be heard of again.
  void forget_trail(std::string_view label);
  [[nodiscard]] std::vector<SessionTrail*> trails();

  struct Drained {
    std::uint64_t entries = 0;
    bool more = false;         ///< stopped at its share; ask again after write()
    std::string_view trouble;  ///< the ring cannot be right: nothing more can be taken from it
  };
  /// Appends what the ring holds. The ring's space is freed by the caller, up to trail.ring_end, after write().
  Drained drain(SessionTrail& trail, seal::RingConsumer& ring);
  /// Appends the session's tree head, and ends the trail for `end` and `truncated`. Nothing when nothing came since the last
  /// head, except for these two.
  void append_head(SessionTrail& trail, HeadWhy why);

  // ---- the node's own
  struct Appended {
    std::uint64_t leaf = 0;
    std::string id;
  };
  /// Errc::invalid when a part is above its limit or not what it must be.
  [[nodiscard]] Result<Appended> append_event(SaidBy said_by, std::string_view session, std::string_view name, std::string_view json);
  void append_checkpoint(std::string_view note);
  /// The node log as it stands, what is pending included.
  [[nodiscard]] const crypto::MerkleTree& log() const noexcept { return log_; }
  /// The newest checkpoint note in the journal; empty if the last file has none.
  [[nodiscard]] const std::string& newest_checkpoint() const noexcept { return newest_checkpoint_; }
  [[nodiscard]] std::uint64_t checkpointed_leaves() const noexcept { return checkpointed_leaves_; }

  // ---- to disk
  [[nodiscard]] bool has_pending() const noexcept { return !pending_.empty(); }
  [[nodiscard]] std::size_t pending_bytes() const noexcept { return pending_.size(); }
  /// Writes what is pending and begins the next file when this one is full. On failure nothing of it counts as written.
  [[nodiscard]] Result<void> write();
  struct Position {
    std::uint64_t file = 0;
    std::uint64_t bytes = 0;  ///< of that file
  };
  /// Up to here write() has written.
  [[nodiscard]] Position position() const noexcept { return {file_number_, file_bytes_}; }
  /// Files (and the folder, after a new file) that were written since the last call.
  [[nodiscard]] std::vector<std::shared_ptr<const Fd>> take_unsynced();

 private:
  Journal(JournalOptions options, Clock& clock, crypto::Random& random);
  Result<void> recover();
  Result<bool> load_file(std::uint64_t number);
  void find_checkpoint_in(std::uint64_t number);
  Result<void> replay(ByteView bytes);
  Result<void> replay_frame(const Frame& frame);
  Result<void> keep_cut(const std::string& name, ByteView tail);
  Result<void> begin_file(std::uint64_t number);
  void append_leaf_frame(FrameType type, std::size_t frame_at);
  [[nodiscard]] std::string path_of(std::uint64_t number) const;

  JournalOptions options_;
  Clock& clock_;
  crypto::PooledRandom random_;  ///< for the names of events
  Fd lock_;
  std::shared_ptr<const Fd> folder_;
  std::shared_ptr<const Fd> file_;
  std::uint64_t file_number_ = 0;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t next_frame_ = 1;
  bool broken_ = false;

  crypto::MerkleTree log_;
  std::unordered_map<std::string, std::unique_ptr<SessionTrail>> trails_;
  std::string newest_checkpoint_;
  std::uint64_t checkpointed_leaves_ = 0;

  Bytes pending_;
  std::vector<std::shared_ptr<const Fd>> unsynced_;
  Recovery recovery_;
};

/// The numbers of the journal files in `directory`, ascending. Names that are no journal file are passed over.
[[nodiscard]] std::vector<std::uint64_t> journal_files(const std::string& directory);
[[nodiscard]] std::string journal_file_name(std::uint64_t number);

}  // namespace sallyport::recorder
