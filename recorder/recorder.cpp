#include "recorder/recorder.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "platform/model/json_text.h"
#include "platform/os/log.h"
#include "recorder/pace.h"

namespace sallyport::recorder {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t k_tag_syncer = 1;
constexpr std::uint64_t k_tag_shipper = 2;
/// The link that the process began with: it alone orders. The keeper attaches another one for its own events.
constexpr control::Peer k_control = control::PEER_UNKNOWN;
constexpr int k_packets_per_turn = 64;             ///< of one peer, so that none keeps the others waiting
constexpr BootTime k_local_look_every = seconds(5);
constexpr std::size_t k_removed_at_once = 16;
constexpr BootTime k_alone = seconds(35);          ///< without a keeper
constexpr std::size_t k_most_untold = 16'384;
constexpr int k_last_drains = 64;  ///< at the stop: a session that never stops writing must not hold it

SaidBy said_by(control::Peer kind) {
  if (kind == control::PEER_KEEPER || kind == k_control) return SaidBy::keeper;
  return kind == control::PEER_VAULT ? SaidBy::vault : SaidBy::authority;
}

}  // namespace

Recorder::Recorder(Fd keeper_link, Clock& clock, crypto::Random& random)
    : clock_(clock), random_(random), epoll_(::epoll_create1(EPOLL_CLOEXEC)), peers_(epoll_.get()) {
  if (!peers_.add(k_control, {}, std::move(keeper_link))) {
    exit_code_ = 1;
    done_ = true;
  }
}

Recorder::~Recorder() = default;

int Recorder::run() {
  while (!done_) {
    wait();
    if (configured_) turn();
  }
  return exit_code_;
}

// ---------------------------------------------------------------------------------------------------- what comes in

void Recorder::wait() {
  std::array<epoll_event, 256> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms());
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == k_tag_syncer) {
      on_synced();
      continue;
    }
    if (event.data.u64 == k_tag_shipper) {
      if (shipping_) shipping_->read();
      look_at_space(true);
      continue;
    }
    Peer* const peer = peers_.find(event.data.u64);
    if (peer == nullptr) continue;
    if ((event.events & EPOLLOUT) != 0 && !peers_.flush(*peer)) {
      on_peer_gone(event.data.u64);
      continue;
    }
    if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_peer(event.data.u64);
    if (journal_ && journal_->pending_bytes() >= k_write_at) flush();
  }
  for (const PeerId id : std::exchange(gone_, {})) on_peer_gone(id);
}

void Recorder::read_peer(PeerId id) {
  for (int packets = 0; packets < k_packets_per_turn; ++packets) {
    Peer* const peer = peers_.find(id);
    if (peer == nullptr || done_) return;
    auto received = peer->link.receive();
    if (!received) {
      if (received.error().code == Errc::corrupt) drop_violator(*peer, received.error().detail);
      return on_peer_gone(id);
    }
    if (!*received) return;
    handle(*peer, std::move(**received));
  }
}

void Recorder::on_peer_gone(PeerId id) {
  Peer* const peer = peers_.find(id);
  if (peer == nullptr) return;
  const control::Peer kind = peer->kind;
  const std::string session = peer->session;
  peers_.remove(id);
  if (kind == control::PEER_SESSION && desk_) desk_->hang_up(session);
  if (kind == control::PEER_VAULT && asked_ && asked_->is_sent) asked_->until = {};
  if (kind == k_control) {
    if (!configured_) done_ = true;
    keeper_gone_ = true;
    stop_until_ = clock_.boot() + k_alone;
  }
}

void Recorder::drop_violator(Peer& peer, std::string_view what) {
  ring_event(peer.session, "control.violated",
             "{\"service\":\"recorder\",\"reason\":" + json_quote(what) + ",\"peer\":" + std::to_string(peer.kind) + "}");
  if (peer.kind == control::PEER_SESSION) recording_failed(peer.session, "its control link was misused");
}

void Recorder::handle(Peer& peer, control::Received received) {
  const control::Envelope& envelope = received.envelope;
  if (peer.kind == control::PEER_SESSION) return handle_session(peer, envelope);
  if (envelope.has_ping()) {
    auto answer = control::reply_to(envelope);
    answer.mutable_ready()->set_detail(trouble());
    return say(&peer, std::move(answer));
  }
  if (peer.kind == k_control && (envelope.has_reload() || envelope.has_attach() || envelope.has_shutdown()))
    return handle_keeper(peer, std::move(received));
  if (envelope.has_append_event()) return on_append(peer, envelope);
  if (envelope.has_recorder_status_ask()) {
    look_at_space(true);
    auto answer = control::reply_to(envelope);
    *answer.mutable_recorder_status() = status().recorder_status();
    return say(&peer, std::move(answer));
  }
  if (peer.kind == control::PEER_AUTHORITY && envelope.has_glass_spent_ask()) {
    auto answer = control::reply_to(envelope);
    answer.mutable_glass_spent()->set_how(spent_ ? spent_->how(envelope.glass_spent_ask().envelope()) : "unknown");
    return say(&peer, std::move(answer));
  }
  if (peer.kind == control::PEER_VAULT && envelope.reply() && asked_ && envelope.call() == asked_->call)
    return on_checkpoint_answer(envelope);
  if (envelope.has_resume()) {  // the vault began anew: what it was asked is lost
    if (peer.kind == control::PEER_VAULT && asked_ && asked_->is_sent) asked_->until = {};
    return;
  }
  // From one of our own services a stray message is a fault to be seen, not a reason to be without it.
  if (!envelope.reply()) notice(os::LogEvent::service_unexpected_message, "an unexpected message of service " + std::to_string(peer.kind) + " was passed over");
}

void Recorder::handle_session(Peer& peer, const control::Envelope& envelope) {
  if (envelope.has_ring_bell()) {
    if (desk_) desk_->bell(peer.session, envelope.ring_bell().sync());
    return;
  }
  const PeerId id = peer.id;
  drop_violator(peer, "an unexpected message");
  on_peer_gone(id);
}

void Recorder::handle_keeper(Peer& peer, control::Received received) {
  const control::Envelope& envelope = received.envelope;
  if (envelope.has_reload()) return on_reload(peer, envelope);
  if (envelope.has_attach()) return on_attach(std::move(received));
  begin_stop(milliseconds(envelope.shutdown().grace_ms()));
}

void Recorder::on_reload(Peer& peer, const control::Envelope& envelope) {
  auto settings = Settings::parse(envelope.reload().config_yaml());
  auto options = settings ? recorder_options(*settings) : Result<RecorderOptions>(tl::unexpected(settings.error()));
  if (!options) {
    notice(os::LogEvent::service_settings_refused, "the settings cannot be used: " + options.error().detail);
    if (!configured_) {
      exit_code_ = 2;
      done_ = true;
    }
    return;
  }
  options_ = std::move(*options);
  witness_ = std::make_unique<Witness>(options_.witness_files, options_.syslog);
  if (!configured_) {
    configured_ = true;
    syncer_ = std::make_unique<Syncer>();
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = k_tag_syncer;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, syncer_->event_fd(), &event);
    local_ = std::make_unique<LocalFiles>(options_.journal_dir, (std::filesystem::path(options_.journal_dir).parent_path() / "holds").string());
    spent_ = std::make_unique<SpentEnvelopes>(options_.journal_dir, (std::filesystem::path(options_.journal_dir).parent_path() / "spent_envelopes").string());
    desk_ = std::make_unique<RingDesk>(options_, *this, clock_);
    open_journal();
    leftovers_at_ = clock_.boot() + boot_of(options_.leftover_grace);  // recovering a journal may have taken longer than that
    leftovers_due_ = true;
    next_checkpoint_ = clock_.boot() + std::min(k_first_checkpoint, boot_of(options_.checkpoint_interval));
  }
  use_store(*settings);
  auto answer = envelope.call() != 0 ? control::reply_to(envelope) : control::Envelope();
  answer.mutable_ready()->set_detail(trouble());
  say(&peer, std::move(answer));
}

void Recorder::use_store(const Settings& settings) {
  if (settings.text("store_url").empty() && settings.text("syslog_tls").empty() && settings.text("timestamp_url").empty()) {
    shipping_.reset();
    return;
  }
  if (shipping_) return shipping_->use_settings(settings.render());
  shipping_ = std::make_unique<ShippingDesk>(settings.render(), epoll_.get(), k_tag_shipper, clock_,
                                             [this](const std::string& name, const std::string& session, const std::string& json) { ring_event(session, name, json); });
  if (local_) shipping_->hold(local_->held_sessions());
}

/// What is in the store need not stay here for ever. Removed is what the log says durably is removed.
void Recorder::look_at_local_files() {
  const BootTime now = clock_.boot();
  if (!shipping_ || !local_ || !journal_ || stopping_ || !removal_.files.empty() || now < next_local_look_) return;
  next_local_look_ = now + k_local_look_every;
  std::uint64_t bytes = 0;
  for (const auto& doomed : local_->due({options_.local_bytes, options_.local_time}, shipping_->report().file(), clock_.wall())) {
    removal_.files.push_back(doomed.file);
    bytes += doomed.bytes;
    if (removal_.files.size() == k_removed_at_once) break;
  }
  if (removal_.files.empty()) return;
  removal_.is_covered = false;
  ring_event({}, "journal.local_removed", "{\"first_file\":" + std::to_string(removal_.files.front()) + ",\"last_file\":" + std::to_string(removal_.files.back()) +
                                              ",\"bytes\":" + std::to_string(bytes) + ",\"why\":\"they are in the object store\"}");
}

void Recorder::remove_local_files() {
  if (!removal_.is_covered) return;
  for (const std::uint64_t file : removal_.files)
    if (auto removed = local_->remove(file); !removed) notice(os::LogEvent::recorder_journal_failed, "removing a journal file that is in the store: " + removed.error().detail);
  removal_ = {};
}

void Recorder::on_attach(control::Received received) {
  const control::Attach& attach = received.envelope.attach();
  auto& descriptors = received.descriptors;
  const bool is_session = attach.peer() == control::PEER_SESSION;
  if (attach.peer() == k_control) return notice(os::LogEvent::service_unexpected_message, "the keeper attached nobody; ignored");
  if (descriptors.size() != (is_session ? 2U : 1U) || (is_session && !seal::label_of(attach.session())))
    return notice(os::LogEvent::service_unexpected_message, "the keeper attached something that is not as agreed; ignored");
  const std::string session = is_session ? attach.session() : std::string();
  auto added = peers_.add(attach.peer(), session, std::move(descriptors[0]));
  if (!added) return notice(os::LogEvent::service_link_failed, "attaching a link: " + added.error().detail);
  if (!is_session) {
    if (attach.peer() == control::PEER_VAULT && asked_ && asked_->is_sent) asked_->until = {};
    if (attach.peer() != control::PEER_AUTHORITY) return;
    told_trouble_ = "not told yet";
    if (attach.again()) {  // what the recorder before this one had read and not answered is lost: it shall be asked again
      control::Envelope resume;
      resume.mutable_resume()->set_generation(1);
      say(peers_.service(control::PEER_AUTHORITY), std::move(resume));
    }
    for (auto& waiting : std::exchange(untold_, {})) say(peers_.service(control::PEER_AUTHORITY), std::move(waiting));
    return;
  }
  if (desk_) desk_->attach(session, descriptors[1], attach.again());
}

void Recorder::on_append(Peer& peer, const control::Envelope& envelope) {
  const auto& event = envelope.append_event();
  Waiter waiter{peer.id, envelope.call(), {}, event.durable()};
  const auto append = [&](const control::AppendEvent& one) {
    return journal_ ? journal_->append_event(said_by(peer.kind), one.session(), one.name(), one.json())
                    : Result<Journal::Appended>(fail(Errc::unavailable, "the journal: " + journal_trouble_));
  };
  const auto put = [](control::EventAppended& to, Journal::Appended appended) {
    to.set_sequence(appended.leaf);
    to.set_id(std::move(appended.id));
  };
  for (const control::AppendEvent& earlier : event.before()) {
    auto appended = append(earlier);
    if (!appended && journal_) notice(os::LogEvent::recorder_event_refused, "an event was refused: " + appended.error().detail);
    control::EventAppended& told = *waiter.appended.add_before();
    if (appended) put(told, std::move(*appended));
  }
  // First what it spends: an event that is in the journal must not find its envelope good again.
  const bool is_kept = peer.kind != control::PEER_AUTHORITY || !spent_ || spent_->take_event(event.name(), event.json());
  auto appended = is_kept ? append(event) : Result<Journal::Appended>(fail(Errc::unavailable, "what it spends could not be kept"));
  if (!appended) {
    if (envelope.call() == 0) return notice(os::LogEvent::recorder_event_refused, "an event was refused: " + appended.error().detail);
    auto answer = control::failure_reply(envelope, appended.error());
    answer.mutable_failure()->set_code("SP-4004");
    return say(&peer, std::move(answer));
  }
  if (peer.kind == control::PEER_AUTHORITY && local_) {
    const auto changed = local_->take_event(event.name(), event.json());
    if (!changed) notice(os::LogEvent::recorder_hold_failed, "a legal hold could not be kept: " + changed.error().detail);
    if (changed && *changed && shipping_) shipping_->hold(local_->held_sessions());
  }
  put(waiter.appended, std::move(*appended));
  waiting_write_.push_back(std::move(waiter));
  if (peer.kind == control::PEER_AUTHORITY && !event.outcome_of().empty()) keep_outcome(event.outcome_of());
}

/// The authority compares it with its database at its next start. No fsync: an intent that a power failure takes from here
/// still stands open in that database.
void Recorder::keep_outcome(const std::string& intent) {
  last_outcome_ = intent;
  const auto file = std::filesystem::path(options_.journal_dir).parent_path() / "last_outcome";
  const auto fresh = file.string() + ".new";
  std::ofstream out(fresh, std::ios::trunc | std::ios::binary);
  out << intent << '\n';
  out.close();
  if (!out || std::rename(fresh.c_str(), file.c_str()) != 0) notice(os::LogEvent::recorder_journal_failed, "the newest outcome could not be kept: " + file.string());
}

void Recorder::tell_stored(Waiter& waiter) {
  Peer* const peer = peers_.find(waiter.peer);
  if (peer == nullptr || waiter.call == 0) return;
  control::Envelope answer;
  answer.set_call(waiter.call);
  answer.set_reply(true);
  *answer.mutable_event_appended() = std::move(waiter.appended);
  say(peer, std::move(answer));
}

// ---------------------------------------------------------------------------------------------------- to disk

void Recorder::turn() {
  const BootTime now = clock_.boot();
  if (!journal_ && now >= next_open_) open_journal();
  const bool is_tick = desk_->has_active() && now >= next_tick_;
  if (is_tick) next_tick_ = now + boot_of(options_.commit_interval);
  if (is_tick || desk_->has_bells()) desk_->drain(is_tick);
  if (leftovers_due_ && journal_ && now >= leftovers_at_) {
    leftovers_due_ = desk_->take_leftovers(true);
    leftovers_at_ = now + boot_of(options_.leftover_grace);
  }
  flush();
  if (shipping_) shipping_->tick();
  look_at_local_files();
  look_at_space(false);
  checkpoint_when_due();
  if (witness_)
    for (const std::string& problem : witness_->take_problems()) {
      ring_event({}, "checkpoint.witness_failed", "{\"reason\":" + json_quote(problem) + "}");
      notice(os::LogEvent::recorder_witness_failed, "a witness file cannot be written: " + problem);
    }
  flush();
  sync_when_due();
  tell_health();
  if (keeper_gone_ && !stopping_ && (peers_.session_count() == 0 || now >= stop_until_)) begin_stop(seconds(2));
  if (stopping_ && may_end()) done_ = true;
}

// ---------------------------------------------------------------------------------------------------- the end

void Recorder::begin_stop(milliseconds grace) {
  if (stopping_) return;
  stopping_ = true;
  stop_until_ = clock_.boot() + std::clamp(boot_of(grace), BootTime(seconds(1)), BootTime(seconds(10)));
  if (!configured_) {
    done_ = true;
    return;
  }
  for (int i = 0; i < k_last_drains && desk_->drain(true); ++i) flush();
  ring_event({}, "recorder.stopped", "{\"live_sessions\":" + std::to_string(desk_->live_sessions()) + "}");
  flush();
  if (journal_ && !asked_) ask_checkpoint();
}

bool Recorder::may_end() {
  if (clock_.boot() >= stop_until_ || !journal_) return true;
  const bool waits_for_vault = asked_.has_value() && peers_.service(control::PEER_VAULT) != nullptr;
  if (waits_for_vault || !unsynced_.empty() || syncer_->is_busy() || journal_->has_pending()) return false;
  if (!shipping_) return true;
  if (!std::exchange(shipping_stopped_, true)) {
    const auto left = std::chrono::floor<milliseconds>(stop_until_ - clock_.boot());
    shipping_->stop(std::max(left - milliseconds(300), milliseconds(100)));
  }
  return !shipping_->is_running();
}

int Recorder::timeout_ms() {
  if (!configured_ || done_) return -1;
  const BootTime now = clock_.boot();
  BootTime until = BootTime::max();
  const auto wake_at = [&until](BootTime at) { until = std::min(until, at); };
  if (desk_->has_bells() || !gone_.empty()) return 0;
  if (desk_->has_active()) wake_at(next_tick_);
  if (!unsynced_.empty() && !syncer_->is_busy()) wake_at(sync_by_);
  if (!journal_) wake_at(next_open_);
  else if (!trouble().empty()) wake_at(last_space_look_ + k_space_every);
  if (shipping_)
    if (const auto at = shipping_->next_tick()) wake_at(*at);
  if (leftovers_due_ && journal_) wake_at(leftovers_at_);
  if (journal_ && asked_) wake_at(asked_->until);
  else if (journal_ && grew_) wake_at(next_checkpoint_);
  if (keeper_gone_ || stopping_) wake_at(stop_until_);
  if (until == BootTime::max()) return -1;
  const auto left = std::chrono::ceil<milliseconds>(until - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

// ---------------------------------------------------------------------------------------------------- what goes out

void Recorder::say(Peer* peer, control::Envelope envelope) {
  if (peer != nullptr && !peers_.say(*peer, std::move(envelope))) gone_.push_back(peer->id);
}

void Recorder::notice(os::LogEvent event, std::string_view text) {
  control::Envelope envelope;
  envelope.mutable_notice()->set_text(os::notice_text(event, text));
  say(peers_.service(k_control), std::move(envelope));
}

control::Envelope Recorder::status() {
  control::Envelope envelope;
  auto& status = *envelope.mutable_recorder_status();
  const std::string now = trouble();
  if (last_outcome_.empty()) {
    std::ifstream in(std::filesystem::path(options_.journal_dir).parent_path() / "last_outcome");
    std::getline(in, last_outcome_);
  }
  status.set_last_outcome(last_outcome_);
  status.set_healthy(now.empty());
  status.set_reason(now);
  status.set_free_bytes(free_bytes_);
  if (journal_) {
    status.set_journal_sequence(journal_->log().size());
    status.set_newest_checkpoint(journal_->newest_checkpoint());
  }
  if (shipping_) {
    const auto& report = shipping_->report();
    status.set_store(std::to_string(report.waiting_bytes()) + " bytes wait (" + std::to_string(report.spool_percent()) + " % of the spool)" +
                     (report.refused().empty() ? "" : "; refused: " + report.refused()) + (report.trouble().empty() ? "" : "; " + report.trouble()));
  }
  if (desk_) status.set_live_rings(static_cast<std::uint32_t>(desk_->live_sessions()));
  return envelope;
}

void Recorder::ring_space(const std::string& session, std::uint64_t sequence, bool durable) {
  control::Envelope envelope;
  envelope.mutable_ring_space()->set_sequence(sequence);
  envelope.mutable_ring_space()->set_durable(durable);
  say(peers_.session(session), std::move(envelope));
}

void Recorder::recording_failed(const std::string& session, std::string_view reason) {
  control::Envelope envelope;
  envelope.mutable_recording_failed()->set_reason(std::string(reason));
  say(peers_.session(session), std::move(envelope));
}

void Recorder::session_recorded(const std::string& session, bool complete, std::uint64_t entries) {
  control::Envelope envelope;
  envelope.mutable_session_recorded()->set_session(session);
  envelope.mutable_session_recorded()->set_complete(complete);
  envelope.mutable_session_recorded()->set_entries(entries);
  Peer* const authority = peers_.service(control::PEER_AUTHORITY);
  if (authority != nullptr) return say(authority, std::move(envelope));
  if (untold_.size() < k_most_untold) untold_.push_back(std::move(envelope));
}

void Recorder::ring_event(const std::string& session, std::string_view name, const std::string& json) {
  if (!journal_) return;
  const auto appended = journal_->append_event(SaidBy::recorder, session, name, json);
  if (!appended) notice(os::LogEvent::recorder_event_refused, "an event of the recorder's own was refused: " + appended.error().detail);
}

}  // namespace sallyport::recorder
