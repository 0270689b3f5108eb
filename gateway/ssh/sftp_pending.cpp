#include "gateway/ssh/sftp_pending.h"

#include <algorithm>
#include <utility>

namespace sallyport::gateway::sftp {

Pending* PendingTable::find(std::uint32_t id) noexcept {
  for (std::size_t i = home_of(id);; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].type == 0) return nullptr;
    if (slots_[i].id == id) return &slots_[i];
  }
}

void PendingTable::insert(Pending pending) {
  std::size_t i = home_of(pending.id);
  while (slots_[i].type != 0) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = std::move(pending);
}

void PendingTable::put(Pending pending) {
  if ((size_ + 1) * 2 > slots_.size()) {
    std::vector<Pending> smaller(slots_.size() * 2);
    smaller.swap(slots_);
    for (Pending& entry : smaller)
      if (entry.type != 0) insert(std::move(entry));
  }
  insert(std::move(pending));
  ++size_;
}

Pending PendingTable::take(std::uint32_t id) {
  const std::size_t mask = slots_.size() - 1;
  auto hole = static_cast<std::size_t>(find(id) - slots_.data());
  Pending taken = std::exchange(slots_[hole], Pending{});
  --size_;
  // Entries that were pushed past the hole move back, so that a search never meets a gap in its chain.
  for (std::size_t i = (hole + 1) & mask; slots_[i].type != 0; i = (i + 1) & mask) {
    const std::size_t home = home_of(slots_[i].id);
    if (((i - home) & mask) < ((i - hole) & mask)) continue;
    slots_[hole] = std::exchange(slots_[i], Pending{});
    hole = i;
  }
  return taken;
}

std::vector<Pending> PendingTable::take_all() {
  std::vector<Pending> all;
  for (Pending& entry : slots_)
    if (entry.type != 0) all.push_back(std::exchange(entry, Pending{}));
  size_ = 0;
  return all;
}

}  // namespace sallyport::gateway::sftp
