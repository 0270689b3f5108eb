#include "gateway/ssh/sftp_files.h"

#include "gateway/ssh/sftp_pending.h"
#include "gateway/ssh/sftp_wire.h"

namespace sallyport::gateway::sftp {

bool OpenFile::is_up_complete() const {
  if (up_result != "ok" || foreign_change || (flags & k_append) != 0 || !up.is_contiguous()) return false;
  // What was there before is gone: truncated or new at open, or cut to exactly what was written (scp does that).
  return (flags & (k_trunc | k_excl)) != 0 || set_size == up.end();
}

bool OpenFile::is_down_complete() const {
  if (down_result != "ok" || !down.is_contiguous()) return false;
  return eof_at == down.end() || (!for_up && known_size == down.end());
}

std::uint32_t OpenFiles::find(std::string_view handle) {
  const auto found = by_handle_.find(handle);
  return found == by_handle_.end() ? k_no_file : found->second;
}

std::uint32_t OpenFiles::add(std::string_view handle) {
  std::uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  slots_[slot].emplace(*budget_);
  slots_[slot]->handle = handle;
  by_handle_.emplace(handle, slot);
  return slot;
}

void OpenFiles::forget_handle(std::uint32_t slot) {
  const auto found = by_handle_.find(slots_[slot]->handle);
  if (found != by_handle_.end() && found->second == slot) by_handle_.erase(found);
}

void OpenFiles::release(std::uint32_t slot) {
  slots_[slot].reset();
  free_.push_back(slot);
}

std::vector<std::uint32_t> OpenFiles::all() const {
  std::vector<std::uint32_t> slots;
  for (std::uint32_t i = 0; i < slots_.size(); ++i)
    if (slots_[i]) slots.push_back(i);
  return slots;
}

}  // namespace sallyport::gateway::sftp
