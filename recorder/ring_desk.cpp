#include "recorder/ring_desk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "platform/model/json_text.h"

namespace sallyport::recorder {
namespace {

constexpr std::string_view k_suffix = ".ring";
constexpr std::string_view k_refused_suffix = ".refused";
constexpr std::uint64_t k_worth_another_look = 64 * 1024;
/// A producer that died between an entry and its head leaves the head behind by one slot and one pad at most.
constexpr std::uint64_t k_head_may_lag = 2 * (seal::k_max_entry + seal::k_slot_header_bytes + seal::k_slot_align);

}  // namespace

struct RingDesk::Ring {
  std::string session;
  seal::RingMapping mapping;
  std::optional<seal::RingConsumer> consumer;
  SessionTrail* trail = nullptr;  ///< of the current journal; nullptr before the first entry
  BootTime last_news{};
  bool is_active = false;
  bool is_rung = false;
  bool is_touched = false;
  bool has_more = false;
  bool is_refused = false;     ///< nothing is taken from it any more
  bool was_told_failed = false;
  bool has_link = true;
  bool is_through = false;     ///< its final head is appended
  bool is_over = false;        ///< said and removed; only the link is still there
  bool waits_durable = false;  ///< hears of every sync that covers something new
  bool owes_word = false;      ///< after a restart: the session may wait for what the recorder before did not say
  bool owes_durable = false;   ///< the same, for one sync
  std::uint64_t written_sequence = 0;  ///< stands in the journal
  std::uint64_t syncing_sequence = 0;
  std::uint64_t durable_sequence = 0;
};

RingDesk::RingDesk(const RecorderOptions& options, RingNews& news, Clock& clock) : options_(options), news_(news), clock_(clock) {}
RingDesk::~RingDesk() = default;

std::string RingDesk::path_of(const std::string& session) const { return options_.ring_dir + "/" + session + std::string(k_suffix); }

Result<void> RingDesk::open_ring(Ring& ring, const Fd& file) {
  struct stat handed {};
  struct stat named {};
  if (::fstat(file.get(), &handed) != 0) return fail(Errc::corrupt, "no ring file");
  if (::lstat(path_of(ring.session).c_str(), &named) != 0)
    return fail(Errc::corrupt, "the ring file cannot be seen under its name: " + std::string(std::strerror(errno)));
  if (named.st_dev != handed.st_dev || named.st_ino != handed.st_ino)
    return fail(Errc::corrupt, "the ring file under its name is another one");
  auto mapping = seal::RingMapping::map(file.get());
  if (!mapping) return tl::unexpected(mapping.error());
  const std::uint64_t position = ring.trail != nullptr ? ring.trail->ring_end : 0;
  auto consumer = seal::RingConsumer::adopt(mapping->span(), SessionId(ring.session), position);
  if (!consumer) return tl::unexpected(consumer.error());
  if (consumer->head_hint() + k_head_may_lag < position) return fail(Errc::corrupt, "a stale ring: the journal is ahead of it");
  ring.mapping = std::move(*mapping);
  ring.consumer.emplace(*consumer);
  if (journal_ != nullptr) ring.consumer->free_up_to(position);  // what the recorder before did not say
  return {};
}

// Without a journal: a session that has begun is told; an unused kit is, too, as soon as it rings.
void RingDesk::hold_without_journal(Ring& ring) {
  if (ring.was_told_failed || ring.is_over) return;
  if (ring.consumer && ring.consumer->head_hint() == 0 && ring.consumer->go_to_sleep()) return;
  news_.recording_failed(ring.session, "SP-4003 writing the recording failed");
  ring.was_told_failed = true;
}

void RingDesk::use_journal(Journal* journal) {
  journal_ = journal;
  touched_.clear();
  wants_sync_ = false;
  std::erase_if(rings_, [this](const auto& entry) {
    if (!entry.second->is_over || entry.second->has_link) return false;
    std::erase(active_, entry.second.get());
    std::erase(rung_, entry.second.get());
    return true;
  });
  for (auto& [session, ring] : rings_) {
    ring->trail = nullptr;
    ring->is_touched = false;
    ring->is_through = false;
    if (ring->is_over) continue;
    if (journal == nullptr) {
      hold_without_journal(*ring);
      continue;
    }
    ring->trail = journal->find_trail(session);
    if (ring->is_refused || ring->mapping.span().empty()) continue;
    auto consumer = seal::RingConsumer::adopt(ring->mapping.span(), SessionId(session), ring->trail != nullptr ? ring->trail->ring_end : 0);
    if (!consumer) {
      refuse(*ring, consumer.error().detail);
      continue;
    }
    ring->consumer.emplace(*consumer);
    ring->consumer->free_up_to(ring->consumer->position());
    wake(*ring);
    if (!ring->has_link) finish(*ring);
  }
}

void RingDesk::wake(Ring& ring) {
  ring.last_news = clock_.boot();
  if (!ring.is_rung) rung_.push_back(&ring);
  ring.is_rung = true;
  if (ring.is_active) return;
  ring.is_active = true;
  active_.push_back(&ring);
  if (ring.consumer) ring.consumer->wake_up();
}

void RingDesk::attach(const std::string& session, const Fd& file, bool again) {
  auto& slot = rings_[session];
  if (slot && !slot->is_over) return;  // it is here: only its link is another one
  if (slot) {
    std::erase(active_, slot.get());
    std::erase(rung_, slot.get());
    std::erase(touched_, slot.get());
  }
  slot = std::make_unique<Ring>();
  Ring& ring = *slot;
  ring.session = session;
  ring.has_link = true;
  if (journal_ == nullptr) {
    if (auto opened = open_ring(ring, file); !opened) ring.consumer.reset();
    return hold_without_journal(ring);
  }
  ring.trail = journal_->find_trail(session);
  struct stat facts {};
  const bool is_removed = ::fstat(file.get(), &facts) == 0 && facts.st_nlink == 0;
  if (again && ring.trail == nullptr && is_removed) {
    ring.is_over = true;  // through so long ago that the journal does not name it any more
    return news_.recording_failed(session, "its recording was closed");
  }
  if (ring.trail != nullptr && ring.trail->is_final()) {
    // It ended before this recorder began; only its process, or the end of its link, is left.
    ring.is_over = true;
    if (!is_removed) remove_ring_file(ring, false);
    if (!ring.trail->ended) news_.recording_failed(session, "its recording was closed");
    return news_.session_recorded(session, ring.trail->ended, ring.trail->last_sequence);
  }
  if (auto opened = open_ring(ring, file); !opened) return refuse(ring, opened.error().detail);
  ring.owes_word = again;
  wake(ring);
  drain_ring(ring, true);
}

void RingDesk::bell(const std::string& session, bool sync) {
  const auto found = rings_.find(session);
  if (found == rings_.end()) return;
  Ring& ring = *found->second;
  if (sync) {
    ring.waits_durable = has_synced_ = true;
    wants_sync_ = true;
  }
  if (journal_ == nullptr) return hold_without_journal(ring);
  if (ring.consumer && !ring.is_refused && !ring.is_over) wake(ring);
}

void RingDesk::refuse(Ring& ring, std::string_view reason) {
  if (ring.is_refused) return;
  ring.is_refused = true;
  const std::uint64_t entries = ring.trail != nullptr ? ring.trail->last_sequence : 0;
  news_.ring_event(ring.session, "recording.ring_refused",
                   "{\"reason\":" + json_quote(reason) + ",\"entries\":" + std::to_string(entries) + ",\"code\":\"SP-4003\"}");
  if (!ring.was_told_failed) news_.recording_failed(ring.session, "its ring was refused");
  ring.was_told_failed = true;
}

void RingDesk::fail_sessions(std::string_view reason) {
  for (auto& [session, ring] : rings_) {
    const bool has_begun = ring->trail != nullptr && ring->trail->last_sequence > 0;
    if (ring->was_told_failed || ring->is_over || !ring->has_link || !has_begun) continue;
    news_.recording_failed(session, reason);
    ring->was_told_failed = true;
  }
}

std::size_t RingDesk::live_sessions() const noexcept {
  return static_cast<std::size_t>(std::count_if(rings_.begin(), rings_.end(), [](const auto& entry) {
    return !entry.second->is_over && entry.second->trail != nullptr && entry.second->trail->last_sequence > 0;
  }));
}

void RingDesk::touch(Ring& ring) {
  if (!ring.is_touched) touched_.push_back(&ring);
  ring.is_touched = true;
}

void RingDesk::drain_ring(Ring& ring, bool whatever_its_head_says) {
  if (journal_ == nullptr || !ring.consumer || ring.is_refused || ring.is_over || ring.is_through) return;
  if (!whatever_its_head_says && !ring.consumer->has_news()) {
    // Should a wake-up ever be lost, this finds the holder within one tick.
    if (ring.consumer->take_want_space()) news_.ring_space(ring.session, ring.trail != nullptr ? ring.trail->last_sequence : 0, false);
    return;
  }
  if (ring.trail == nullptr) ring.trail = &journal_->trail_of(ring.session);
  const bool was_fresh = ring.trail->last_sequence == 0;
  const auto drained = journal_->drain(*ring.trail, *ring.consumer);
  ring.has_more = drained.more;
  if (drained.entries > 0) ring.last_news = clock_.boot();
  touch(ring);
  if (!drained.trouble.empty()) refuse(ring, drained.trouble);
  if (was_fresh && drained.entries > 0 && !refusal_.empty() && !ring.was_told_failed) {
    news_.recording_failed(ring.session, refusal_);
    ring.was_told_failed = true;
  }
  if (ring.trail->has_end_entry && !ring.trail->is_final()) {
    journal_->append_head(*ring.trail, HeadWhy::end);
    ring.is_through = true;
  }
}

bool RingDesk::drain(bool all_active) {
  if (journal_ == nullptr) {
    for (Ring* ring : rung_) ring->is_rung = false;
    for (Ring* ring : active_) ring->is_active = false;
    rung_.clear();
    active_.clear();
    return false;
  }
  std::vector<Ring*> now = std::exchange(rung_, {});
  for (Ring* ring : now) ring->is_rung = false;
  if (all_active) now = active_;
  for (Ring* ring : now) {
    if (journal_->pending_bytes() < k_write_at) drain_ring(*ring, false);
    else ring->has_more = true;
  }
  if (all_active) {
    const BootTime asleep_before = clock_.boot() - std::chrono::duration_cast<BootTime>(options_.sleep_after);
    std::erase_if(active_, [&](Ring* ring) {
      const bool is_live = ring->consumer && !ring->is_refused && !ring->is_over && !ring->is_through;
      if (is_live && (ring->last_news > asleep_before || !ring->consumer->go_to_sleep())) return false;
      ring->is_active = false;
      return true;
    });
  }
  bool more = false;
  for (Ring* ring : now) {
    if (!std::exchange(ring->has_more, false) || ring->is_rung) continue;
    ring->is_rung = true;
    rung_.push_back(ring);
    more = true;
  }
  return more;
}

void RingDesk::written() {
  const auto touched = std::exchange(touched_, {});
  for (Ring* ring : touched) {
    ring->is_touched = false;
    if (ring->consumer && ring->trail != nullptr && !ring->is_refused) {
      ring->consumer->free_up_to(ring->trail->ring_end);
      if (ring->consumer->take_want_space() || ring->owes_word) news_.ring_space(ring->session, ring->trail->last_sequence, false);
      if (std::exchange(ring->owes_word, false)) ring->owes_durable = has_synced_ = wants_sync_ = true;
      // A stream goes on while it is written: looking again at once saves its bell and our sleep.
      if (!ring->is_rung && !ring->is_over && !ring->is_through && ring->consumer->head_hint() >= ring->trail->ring_end + k_worth_another_look) {
        ring->is_rung = true;
        rung_.push_back(ring);
      }
    }
    if (ring->trail != nullptr) ring->written_sequence = ring->trail->last_sequence;
    if (ring->waits_durable && ring->written_sequence > ring->durable_sequence) wants_sync_ = true;
    if (!ring->is_through) continue;
    ring->is_through = false;
    ring->is_over = true;
    const bool complete = ring->trail->ended;
    news_.session_recorded(ring->session, complete, ring->trail->last_sequence);
    remove_ring_file(*ring, ring->is_refused);
    // Without its ring it cannot come back; a ring that could not be removed is remembered as through.
    if (::access(path_of(ring->session).c_str(), F_OK) != 0) {
      ring->trail = nullptr;
      journal_->forget_trail(ring->session);
    }
  }
  for (Ring* ring : touched) {
    if (!ring->is_over || ring->has_link) continue;
    if (ring->is_active) std::erase(active_, ring);
    if (ring->is_rung) std::erase(rung_, ring);
    const std::string session = ring->session;
    rings_.erase(session);
  }
}

void RingDesk::sync_begins() {
  wants_sync_ = false;
  if (!has_synced_) return;
  for (auto& [session, ring] : rings_)
    if (ring->waits_durable || ring->owes_durable) ring->syncing_sequence = ring->written_sequence;
}

void RingDesk::durable() {
  if (!has_synced_) return;
  has_synced_ = false;
  for (auto& [session, ring] : rings_) {
    if (ring->waits_durable) has_synced_ = true;
    if (ring->syncing_sequence <= ring->durable_sequence) continue;
    ring->durable_sequence = ring->syncing_sequence;
    ring->owes_durable = false;
    news_.ring_space(session, ring->durable_sequence, true);
  }
}

void RingDesk::hang_up(const std::string& session) {
  const auto found = rings_.find(session);
  if (found == rings_.end()) return;
  Ring& ring = *found->second;
  ring.has_link = false;
  if (journal_ != nullptr) finish(ring);
}

void RingDesk::finish(Ring& ring) {
  touch(ring);
  if (ring.is_over || ring.is_through) return;
  do {
    ring.has_more = false;
    drain_ring(ring, true);
  } while (ring.has_more);
  if (ring.is_through) return;
  if (ring.trail == nullptr || ring.trail->last_sequence == 0) {  // a kit that was never used
    if (ring.trail != nullptr) journal_->forget_trail(ring.session);
    ring.trail = nullptr;
    ring.is_over = true;
    return remove_ring_file(ring, ring.is_refused);
  }
  news_.ring_event(ring.session, "session.truncated",
                   "{\"entries\":" + std::to_string(ring.trail->last_sequence) + ",\"reason\":\"the session ended without its end entry\"}");
  journal_->append_head(*ring.trail, HeadWhy::truncated);
  ring.is_through = true;
}

void RingDesk::remove_ring_file(Ring& ring, bool keep_for_inspection) {
  const std::string path = path_of(ring.session);
  const int failed = keep_for_inspection ? ::rename(path.c_str(), (path + std::string(k_refused_suffix)).c_str()) : ::unlink(path.c_str());
  if (failed != 0 && errno != ENOENT)
    news_.ring_event(ring.session, "recording.ring_not_removed", "{\"reason\":" + json_quote(std::strerror(errno)) + "}");
  ring.consumer.reset();
  ring.mapping = {};
}

void RingDesk::append_heads() {
  if (journal_ == nullptr) return;
  for (SessionTrail* trail : journal_->trails()) journal_->append_head(*trail, HeadWhy::checkpoint);
}

// False: somebody still holds it.
bool RingDesk::take_leftover(const std::string& label, bool finish_it) {
  auto ring = std::make_unique<Ring>();
  ring->session = label;
  ring->has_link = false;
  ring->was_told_failed = true;  // nobody is there to be told
  ring->trail = journal_->find_trail(label);
  if (ring->trail != nullptr && ring->trail->is_final()) {
    ring->is_over = true;
    remove_ring_file(*ring, false);
    return true;
  }
  const Fd file(::open(path_of(label).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return true;
  if (finish_it && seal::is_ring_held(file.get())) return false;
  auto opened = open_ring(*ring, file);
  if (!finish_it) {
    // Its session may still be there and will be attached: take what stands, judge nothing.
    if (!opened || !ring->consumer->has_news()) return true;
    if (ring->trail == nullptr) ring->trail = &journal_->trail_of(label);
    while (journal_->drain(*ring->trail, *ring->consumer).more) {
    }
    return true;
  }
  if (!opened) refuse(*ring, opened.error().detail);
  finish(*ring);
  if (ring->trail != nullptr && ring->trail->last_sequence > 0)
    news_.ring_event(label, "recording.recovered", "{\"entries\":" + std::to_string(ring->trail->last_sequence) + "}");
  rings_[label] = std::move(ring);
  return true;
}

bool RingDesk::take_leftovers(bool finish_them) {
  if (journal_ == nullptr) return false;
  std::error_code error;
  std::vector<std::string> labels;
  for (const auto& entry : std::filesystem::directory_iterator(options_.ring_dir, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(k_suffix)) continue;
    std::string label = name.substr(0, name.size() - k_suffix.size());
    if (seal::label_of(label) && !rings_.contains(label)) labels.push_back(std::move(label));
  }
  std::set<std::string> held;
  for (const std::string& label : labels)
    if (!take_leftover(label, finish_them)) held.insert(label);
  if (!finish_them) return false;
  for (SessionTrail* trail : journal_->trails()) {
    const std::string label(seal::text_of(trail->label));
    if (rings_.contains(label) || held.contains(label)) continue;
    if (trail->is_final() || trail->last_sequence == 0) {
      journal_->forget_trail(label);
      continue;
    }
    news_.ring_event(label, "session.truncated",
                     "{\"entries\":" + std::to_string(trail->last_sequence) + ",\"reason\":\"its ring is gone\"}");
    journal_->append_head(*trail, trail->has_end_entry ? HeadWhy::end : HeadWhy::truncated);
    news_.session_recorded(label, trail->ended, trail->last_sequence);
    journal_->forget_trail(label);
  }
  return !held.empty();
}

}  // namespace sallyport::recorder
