#include "recorder/replay/frames_ahead.h"

#include <utility>

#include "platform/crypto/merkle.h"

namespace sallyport::replay {
namespace {

constexpr std::size_t k_batch_bytes = 1024 * 1024;
constexpr std::size_t k_batch_items = 1024;
constexpr std::size_t k_most_ready = 4;

}  // namespace

crypto::Hash256 ReadEntries::leaf(std::size_t index) const {
  return index < leaves_.size() ? leaves_[index] : crypto::merkle_leaf(bytes_.subspan(places_[index].at, places_[index].size));
}

template <class IsAhead>
void FramesAhead::add(Batch& batch, const Frame& frame, const IsAhead& is_ahead) {
  Item item;
  item.frame = frame;
  item.bytes_at = batch.bytes.size();
  item.places_at = batch.places.size();
  item.leaves_at = batch.leaves.size();
  auto entries = static_cast<FrameType>(frame.header.type) == FrameType::entries ? EntriesFrame::parse(frame.payload) : std::nullopt;
  if (entries) {
    item.label = entries->label();
    bool hashing = true;
    while (const auto entry = entries->next()) {
      batch.places.push_back({entry->header, batch.bytes.size() - item.bytes_at, entry->whole.size()});
      batch.bytes.insert(batch.bytes.end(), entry->whole.begin(), entry->whole.end());
      hashing = hashing && is_ahead();
      if (hashing) batch.leaves.push_back(crypto::merkle_leaf(entry->whole));
    }
    item.is_sound = entries->is_sound();
  } else {
    batch.bytes.insert(batch.bytes.end(), frame.payload.begin(), frame.payload.end());
  }
  item.places = batch.places.size() - item.places_at;
  item.leaves = batch.leaves.size() - item.leaves_at;
  batch.items.push_back(std::move(item));
}

void FramesAhead::give(Batch& batch, Item& item, const TakeFrame& take) {
  const ByteView bytes = ByteView(batch.bytes).subspan(item.bytes_at);
  if (!item.label) {
    item.frame.payload = bytes.first(item.frame.payload.size());
    return take(item.frame, nullptr);
  }
  item.frame.payload = {};
  const ReadEntries entries(*item.label, item.is_sound, bytes, std::span(batch.places).subspan(item.places_at, item.places),
                            std::span(batch.leaves).subspan(item.leaves_at, item.leaves));
  take(item.frame, &entries);
}

void FramesAhead::read_one(const Frame& frame, const TakeFrame& take) {
  Batch batch;
  add(batch, frame, [] { return false; });
  give(batch, batch.items.front(), take);
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
    add(batch, *frame, [&] { return ready_count_.load(std::memory_order_relaxed) > 0; });
    if (batch.bytes.size() >= k_batch_bytes || batch.items.size() >= k_batch_items) wanted = put(batch);
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
  ready_count_ = ready_.size();
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
  ready_count_ = ready_.size();
  changed_.notify_all();
  return batch;
}

void FramesAhead::give_back(Batch&& batch) {
  batch.bytes.clear();
  batch.places.clear();
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
      give(*batch, item, frame);
    }
    ahead.give_back(std::move(*batch));
  }
}

}  // namespace sallyport::replay
