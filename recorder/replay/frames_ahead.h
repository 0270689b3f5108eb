// recorder/replay/frames_ahead.h -- frames read and hashed by a second thread, a little ahead of who checks them.
//
// Reading, checksums and the leaf hashes of entries cost about as much as everything else that verifying does.
#pragma once

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

class FramesAhead {
 public:
  using TakeFrame = std::function<void(const Frame&, std::span<const crypto::Hash256> leaves)>;
  using TakeDamage = std::function<void(const FileDamage&)>;

  /// Gives all frames up to the present end, and what is damaged between them, in their order and on this thread. `leaves`: the hashes
  /// of the frame's entries, as far as it could be read. The thread is over when this returns; `files` can be read on.
  static void read_all(JournalFiles& files, const TakeFrame& frame, const TakeDamage& damage);

 private:
  struct Item {
    Frame frame;
    std::size_t payload_at = 0, leaves_at = 0, leaves = 0;
    std::optional<FileDamage> damage;  ///< then there is no frame
  };
  struct Batch {
    Bytes payloads;
    std::vector<crypto::Hash256> leaves;
    std::vector<Item> items;
  };
  void fill(JournalFiles& files);
  static void add(Batch& batch, const Frame& frame);
  /// Waits while the other side is too far ahead. False: nobody wants more.
  bool put(Batch& batch);
  std::optional<Batch> get();
  void give_back(Batch&& batch);
  void stop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_;
  std::vector<Batch> spare_;  ///< their memory is used again
  bool over_ = false;
  bool stopped_ = false;
};

}  // namespace sallyport::replay
