// recorder/replay/frames_ahead.h -- frames read, parsed and hashed by a second thread, a little ahead of who checks them.
//
// Reading, checksums and the leaf hashes of entries cost more than everything else that verifying does. So the reader leaves the
// hashing to the other thread whenever that one has nothing to do: both are busy to the end.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "platform/crypto/hash.h"
#include "recorder/replay/journal_files.h"

namespace sallyport::replay {

/// What one frame of entries holds, in the order in which it stands there. Good as long as what it was made from.
class ReadEntries {
 public:
  struct Place {
    seal::EntryHeader header;
    std::size_t at = 0, size = 0;
  };
  ReadEntries(const seal::Label& label, bool is_sound, ByteView bytes, std::span<const Place> places, std::span<const crypto::Hash256> leaves)
      : label_(label), is_sound_(is_sound), bytes_(bytes), places_(places), leaves_(leaves) {}

  [[nodiscard]] const seal::Label& label() const noexcept { return label_; }
  [[nodiscard]] bool is_sound() const noexcept { return is_sound_; }  ///< EntriesFrame::is_sound()
  [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }
  [[nodiscard]] StoredEntry entry(std::size_t index) const { return {places_[index].header, bytes_.subspan(places_[index].at, places_[index].size)}; }
  /// Of the entry in the session's tree; hashed now when it was not before.
  [[nodiscard]] crypto::Hash256 leaf(std::size_t index) const;

 private:
  seal::Label label_;
  bool is_sound_;
  ByteView bytes_;
  std::span<const Place> places_;
  std::span<const crypto::Hash256> leaves_;  ///< of the first entries
};

class FramesAhead {
 public:
  /// `entries`: of a frame of entries that can be parsed, whose payload is not given; nullptr for any other frame.
  using TakeFrame = std::function<void(const Frame&, const ReadEntries* entries)>;
  using TakeDamage = std::function<void(const FileDamage&)>;

  /// Gives all frames up to the present end, and what is damaged between them, in their order and on this thread. The other thread is
  /// over when this returns; `files` can be read on.
  static void read_all(JournalFiles& files, const TakeFrame& frame, const TakeDamage& damage);
  /// The same for one frame, without another thread.
  static void read_one(const Frame& frame, const TakeFrame& take);

 private:
  struct Item {
    Frame frame;
    std::size_t bytes_at = 0, places_at = 0, places = 0, leaves_at = 0, leaves = 0;
    std::optional<seal::Label> label;  ///< of a frame of entries
    bool is_sound = false;
    std::optional<FileDamage> damage;  ///< then there is no frame
  };
  struct Batch {
    Bytes bytes;  ///< whole entries, one behind another, and the payloads of other frames
    std::vector<ReadEntries::Place> places;
    std::vector<crypto::Hash256> leaves;
    std::vector<Item> items;
  };
  void fill(JournalFiles& files);
  /// Hashes entries for as long as `is_ahead` says that nobody waits for them.
  template <class IsAhead>
  static void add(Batch& batch, const Frame& frame, const IsAhead& is_ahead);
  static void give(Batch& batch, Item& item, const TakeFrame& take);
  /// Waits while the other side is too far ahead. False: nobody wants more.
  bool put(Batch& batch);
  std::optional<Batch> get();
  void give_back(Batch&& batch);
  void stop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_;
  std::atomic<std::size_t> ready_count_{0};  ///< of `ready_`, to be looked at without the lock
  std::vector<Batch> spare_;  ///< their memory is used again
  bool over_ = false;
  bool stopped_ = false;
};

}  // namespace sallyport::replay
