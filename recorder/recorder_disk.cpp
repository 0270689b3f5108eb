// The recorder's journal: opened, written, made durable; what happens when that fails, and who is told.
#include <sys/statvfs.h>

#include <algorithm>

#include "platform/model/json_text.h"
#include "platform/os/log.h"
#include "recorder/pace.h"
#include "recorder/recorder.h"

namespace sallyport::recorder {
namespace {

constexpr BootTime k_open_again = std::chrono::seconds(1);
constexpr BootTime k_open_corrupt_again = std::chrono::seconds(30);  ///< only an operator can help

}  // namespace

void Recorder::open_journal() {
  next_open_ = clock_.boot() + k_open_again;
  look_at_space(true);
  auto journal = Journal::open({options_.journal_dir, options_.roll_bytes}, clock_, random_);
  if (!journal) {
    journal_trouble_ = journal.error().detail;
    if (journal.error().code == Errc::corrupt) next_open_ = clock_.boot() + k_open_corrupt_again;
    return;
  }
  const bool is_first = journal_trouble_ == "not opened yet";
  journal_ = std::move(*journal);
  const auto& recovery = journal_->recovery();
  if (recovery.cut_bytes > 0)
    ring_event({}, recovery.damaged ? "journal.damaged" : "journal.tail_cut",
               "{\"bytes\":" + std::to_string(recovery.cut_bytes) + ",\"kept_as\":" + json_quote(recovery.cut_file) + "}");
  ring_event({}, is_first ? "recorder.started" : "recorder.recovered",
             "{\"frames_read\":" + std::to_string(recovery.frames) + ",\"leaves\":" + std::to_string(journal_->log().size()) + "}");
  desk_->use_journal(journal_.get());
  (void)desk_->take_leftovers(false);
  if (!is_first) {
    leftovers_due_ = true;
    leftovers_at_ = std::max(leftovers_at_, clock_.boot());
  }
  // Healthy again only when that much could really be written.
  if (auto written = journal_->write(); !written) return journal_failed(written.error().detail);
  journal_trouble_.clear();
  grew_ = true;
}

void Recorder::flush() {
  if (!journal_) return;
  if (journal_->has_pending()) grew_ = true;
  if (auto written = journal_->write(); !written) return journal_failed(written.error().detail);
  if (unsynced_.empty()) sync_by_ = clock_.boot() + boot_of(options_.sync_interval);
  for (auto& file : journal_->take_unsynced())
    if (std::find(unsynced_.begin(), unsynced_.end(), file) == unsynced_.end()) unsynced_.push_back(std::move(file));
  desk_->written();
  for (auto& waiter : std::exchange(waiting_write_, {})) {
    if (waiter.durable) {
      waiting_sync_.push_back(std::move(waiter));
      continue;
    }
    tell_stored(waiter);
  }
}

void Recorder::sync_when_due() {
  if (!syncer_ || syncer_->is_busy() || !journal_) return;
  if (unsynced_.empty()) {  // all that was written is durable already
    if (!desk_->wants_sync()) return;
    desk_->sync_begins();
    return desk_->durable();
  }
  const BootTime now = clock_.boot();
  const bool is_awaited = !waiting_sync_.empty() || desk_->wants_sync() || stopping_ || (asked_ && !asked_->is_sent);
  if (!is_awaited && now < sync_by_) return;
  syncing_position_ = journal_->position();
  for (auto& waiter : std::exchange(waiting_sync_, {})) syncing_.push_back(std::move(waiter));
  desk_->sync_begins();
  if (asked_) asked_->is_covered = true;
  removal_.is_covered = !removal_.files.empty();
  syncer_->start(std::exchange(unsynced_, {}));
}

void Recorder::on_synced() {
  std::string error;
  if (!syncer_->finish(error)) return;
  if (!error.empty()) return journal_failed(error);
  if (!journal_) return;
  if (shipping_) shipping_->durable_up_to(syncing_position_.file, syncing_position_.bytes);
  for (auto& waiter : std::exchange(syncing_, {})) {
    tell_stored(waiter);
  }
  desk_->durable();
  remove_local_files();
  if (asked_ && asked_->is_covered && !asked_->is_sent) send_checkpoint();
}

void Recorder::journal_failed(const std::string& why) {
  journal_trouble_ = why;
  journal_.reset();
  unsynced_.clear();
  asked_.reset();
  removal_ = {};
  next_open_ = clock_.boot() + k_open_again;
  notice(os::LogEvent::recorder_failed, "recording failed: " + why);
  desk_->use_journal(nullptr);
  for (auto* waiters : {&waiting_write_, &waiting_sync_, &syncing_}) {
    for (const Waiter& waiter : std::exchange(*waiters, {})) {
      Peer* const peer = peers_.find(waiter.peer);
      if (peer == nullptr || waiter.call == 0) continue;
      control::Envelope asked;
      asked.set_call(waiter.call);
      auto answer = control::failure_reply(asked, Error{Errc::unavailable, why});
      answer.mutable_failure()->set_code("SP-4004");
      say(peer, std::move(answer));
    }
  }
}

void Recorder::look_at_space(bool at_once) {
  const BootTime now = clock_.boot();
  if (!at_once && now - last_space_look_ < k_space_every) return;
  last_space_look_ = now;
  struct statvfs facts {};
  if (::statvfs(options_.journal_dir.c_str(), &facts) != 0) return;  // opening the journal says what is wrong
  free_bytes_ = static_cast<std::uint64_t>(facts.f_bavail) * facts.f_frsize;
  space_trouble_.clear();
  if (free_bytes_ < options_.min_free_bytes)
    space_trouble_ = "SP-4002 too little space for the journal: " + std::to_string(free_bytes_) + " of at least " +
                     std::to_string(options_.min_free_bytes) + " bytes";
  if (!desk_) return;
  const std::string store_trouble = shipping_ ? shipping_->trouble() : std::string();
  desk_->refuse_new(space_trouble_.empty() ? store_trouble : space_trouble_);
  if (free_bytes_ < options_.min_free_bytes / 4) desk_->fail_sessions(space_trouble_);
  else if (!store_trouble.empty()) desk_->fail_sessions(store_trouble);
}

std::string Recorder::trouble() const {
  if (!journal_) return "SP-4001 the journal: " + journal_trouble_;
  if (space_trouble_.empty() && shipping_) return shipping_->trouble();
  return space_trouble_;
}

void Recorder::tell_health() {
  const std::string now = trouble();
  if (now.empty() == told_trouble_.empty() && told_trouble_ != "starting" && told_trouble_ != "not told yet") return;
  const bool was_bad = !told_trouble_.empty() && told_trouble_ != "starting" && told_trouble_ != "not told yet";
  told_trouble_ = now;
  if (!now.empty()) {
    ring_event({}, "recorder.unhealthy", "{\"reason\":" + json_quote(now) + "}");
    notice(os::LogEvent::recorder_blocked, "no session can be recorded: " + now);
  } else if (was_bad) {
    ring_event({}, "recorder.healthy", "{}");
    notice(os::LogEvent::recorder_possible_again, "recording is possible again");
  }
  if (Peer* const authority = peers_.service(control::PEER_AUTHORITY)) say(authority, status());
  flush();
}

}  // namespace sallyport::recorder
