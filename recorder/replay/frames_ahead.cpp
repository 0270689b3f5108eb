#include "recorder/replay/frames_ahead.h"

#include <utility>

#include "platform/crypto/merkle.h"

namespace sallyport::replay {
namespace {

constexpr std::size_t k_batch_bytes = 1024 * 1024;
constexpr std::size_t k_batch_items = 1024;
constexpr std::size_t k_most_ready = 4;

}  // namespace

void FramesAhead::add(Batch& batch, const Frame& frame) {
  Item item;
  item.frame = frame;
  item.payload_at = batch.payloads.size();
  item.leaves_at = batch.leaves.size();
  batch.payloads.insert(batch.payloads.end(), frame.payload.begin(), frame.payload.end());
  if (static_cast<FrameType>(frame.header.type) == FrameType::entries)
    if (auto entries = EntriesFrame::parse(frame.payload))
      while (const auto entry = entries->next()) batch.leaves.push_back(crypto::merkle_leaf(entry->whole));
  item.leaves = batch.leaves.size() - item.leaves_at;
  batch.items.push_back(std::move(item));
}

void FramesAhead::fill(JournalFiles& files) {
  Batch batch;
  files.on_damage([&](const FileDamage& damage) {
    Item item;
    item.damage = damage;
    batch.items.push_back(std::move(item));
  });
  bool wanted = true;
  while (wanted) {
    const auto frame = files.next();
    if (!frame) break;
    add(batch, *frame);
    if (batch.payloads.size() >= k_batch_bytes || batch.items.size() >= k_batch_items) wanted = put(batch);
  }
  files.on_damage({});
  if (wanted) put(batch);
  const std::lock_guard lock(mutex_);
  over_ = true;
  changed_.notify_all();
}

/// Leaves an empty one in its place.
bool FramesAhead::put(Batch& batch) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ready_.size() < k_most_ready || stopped_; });
  if (stopped_) return false;
  ready_.push_back(std::move(batch));
  batch = Batch();
  if (!spare_.empty()) {
    batch = std::move(spare_.back());
    spare_.pop_back();
  }
  changed_.notify_all();
  return true;
}

std::optional<FramesAhead::Batch> FramesAhead::get() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || over_; });
  if (ready_.empty()) return std::nullopt;
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  changed_.notify_all();
  return batch;
}

void FramesAhead::give_back(Batch&& batch) {
  batch.payloads.clear();
  batch.leaves.clear();
  batch.items.clear();
  const std::lock_guard lock(mutex_);
  spare_.push_back(std::move(batch));
}

void FramesAhead::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

void FramesAhead::read_all(JournalFiles& files, const TakeFrame& frame, const TakeDamage& damage) {
  FramesAhead ahead;
  std::thread reader([&] { ahead.fill(files); });
  struct Joined {
    FramesAhead& ahead;
    std::thread& thread;
    ~Joined() {
      ahead.stop();
      thread.join();
    }
  } const joined{ahead, reader};
  while (auto batch = ahead.get()) {
    for (Item& item : batch->items) {
      if (item.damage) {
        damage(*item.damage);
        continue;
      }
      item.frame.payload = ByteView(batch->payloads).subspan(item.payload_at, item.frame.payload.size());
      frame(item.frame, std::span(batch->leaves).subspan(item.leaves_at, item.leaves));
    }
    ahead.give_back(std::move(*batch));
  }
}

}  // namespace sallyport::replay
