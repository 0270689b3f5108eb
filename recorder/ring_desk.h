// recorder/ring_desk.h -- all rings of this node: who is awake, what was drained, what may be freed, who has ended.
//
// A session's way: attach -> drained again and again -> its end entry, or its link closes -> a final head -> the ring file is
// removed. Everything the desk knows of a session comes from the keeper's label, the journal and checked ring entries.
// One thread. The desk appends to the journal; its owner writes it and says so by written() and durable().
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "platform/model/clock.h"
#include "platform/os/fd.h"
#include "platform/seal/ring.h"
#include "recorder/journal/journal.h"
#include "recorder/options.h"

namespace sallyport::recorder {

/// This much pending is written before more is drained (bytes).
constexpr std::size_t k_write_at = 4 * 1024 * 1024;

/// What the desk has to say; nothing here may block.
class RingNews {
 public:
  virtual ~RingNews() = default;
  virtual void ring_space(const std::string& session, std::uint64_t sequence, bool durable) = 0;
  virtual void recording_failed(const std::string& session, std::string_view reason) = 0;
  virtual void session_recorded(const std::string& session, bool complete, std::uint64_t entries) = 0;
  /// An audit event of the recorder's own, to be appended now.
  virtual void ring_event(const std::string& session, std::string_view name, const std::string& json) = 0;
};

class RingDesk {
 public:
  RingDesk(const RecorderOptions& options, RingNews& news, Clock& clock);
  ~RingDesk();

  /// The journal to append to; nullptr while there is none (all sessions are told that recording failed). With a new one
  /// each ring goes on where that journal is.
  void use_journal(Journal* journal);

  /// A session's ring, by the keeper. A ring that cannot be right is refused: the session is told, an event is left.
  void attach(const std::string& session, const Fd& ring, bool again);
  /// The session rang. `sync`: it waits for durability, from now on.
  void bell(const std::string& session, bool sync);
  /// The session's link closed: what is left in its ring is taken, and it has ended.
  void hang_up(const std::string& session);
  /// Tells every session that has begun to end.
  void fail_sessions(std::string_view reason);
  /// Not empty: sessions that begin from now on are told to end, for this reason.
  void refuse_new(std::string reason) { refusal_ = std::move(reason); }

  /// Takes what the rings hold: those that rang, and with `all_active` every ring that is awake. True: some have more;
  /// write and call again at once.
  bool drain(bool all_active);
  /// The journal's write was done: frees, wakes holders, says what was recorded, removes rings that are through.
  void written();
  /// fdatasync begins / ended well: what was written before `begin` is durable.
  void sync_begins();
  void durable();
  [[nodiscard]] bool wants_sync() const noexcept { return wants_sync_; }

  [[nodiscard]] bool has_active() const noexcept { return !active_.empty(); }
  [[nodiscard]] bool has_bells() const noexcept { return !rung_.empty(); }
  /// Sessions that have begun and not ended.
  [[nodiscard]] std::size_t live_sessions() const noexcept;
  /// A head for each session that grew since its last.
  void append_heads();

  /// Rings in ring_dir that nobody attached: their entries go into the journal. With `finish` their sessions are over, too,
  /// as are sessions of the journal that have neither end nor ring. A ring that somebody still holds is never finished here:
  /// its session lives and will be attached, however late. True: there are such rings; ask again.
  bool take_leftovers(bool finish);

 private:
  struct Ring;
  void refuse(Ring& ring, std::string_view reason);
  void drain_ring(Ring& ring, bool whatever_its_head_says);
  void touch(Ring& ring);
  void hold_without_journal(Ring& ring);
  void finish(Ring& ring);
  void remove_ring_file(Ring& ring, bool keep_for_inspection);
  void wake(Ring& ring);
  [[nodiscard]] bool take_leftover(const std::string& label, bool finish);
  [[nodiscard]] Result<void> open_ring(Ring& ring, const Fd& file);
  [[nodiscard]] std::string path_of(const std::string& session) const;

  const RecorderOptions& options_;
  RingNews& news_;
  Clock& clock_;
  Journal* journal_ = nullptr;
  std::unordered_map<std::string, std::unique_ptr<Ring>> rings_;
  std::vector<Ring*> active_;   ///< looked at on every tick
  std::vector<Ring*> rung_;     ///< looked at now
  std::vector<Ring*> touched_;  ///< drained since the last written()
  bool wants_sync_ = false;
  bool has_synced_ = false;     ///< some ring waits for durability
  std::string refusal_;
};

}  // namespace sallyport::recorder
