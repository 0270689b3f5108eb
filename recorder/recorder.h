// recorder/recorder.h -- the recorder's loop: what comes in, in which order it goes to disk, and who is told when.
//
// Each turn: read the links, drain what rang (and, on the tick, all that is awake), one write, then frees and answers;
// fdatasync beside it. Nothing is answered and no ring space is freed before the write that it depends on.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "platform/crypto/random.h"
#include "platform/model/clock.h"
#include "platform/os/log_events.h"
#include "recorder/journal/journal.h"
#include "recorder/journal/syncer.h"
#include "recorder/local_files.h"
#include "recorder/spent_envelopes.h"
#include "recorder/options.h"
#include "recorder/peers.h"
#include "recorder/ring_desk.h"
#include "recorder/shipping_desk.h"
#include "recorder/witness.h"

namespace sallyport::recorder {

class Recorder final : public RingNews {
 public:
  Recorder(Fd keeper_link, Clock& clock, crypto::Random& random);
  ~Recorder() override;

  /// See run_service().
  int run();

 private:
  struct Waiter {  // who asked for an event
    PeerId peer = 0;
    std::uint64_t call = 0;
    control::EventAppended appended;
    bool durable = false;
  };
  struct AskedCheckpoint {
    std::uint64_t call = 0;
    std::string body;
    bool is_covered = false;  ///< a sync that began after it was made is under way
    bool is_sent = false;
    BootTime until = BootTime::max();
  };

  // what comes in
  void wait();
  void read_peer(PeerId id);
  void handle(Peer& peer, control::Received received);
  void handle_keeper(Peer& peer, control::Received received);
  void handle_session(Peer& peer, const control::Envelope& envelope);
  void on_reload(Peer& peer, const control::Envelope& envelope);
  void on_attach(control::Received received);
  void on_append(Peer& peer, const control::Envelope& envelope);
  void tell_stored(Waiter& waiter);
  void on_peer_gone(PeerId id);
  void drop_violator(Peer& peer, std::string_view what);

  // to disk
  void turn();
  void open_journal();
  void flush();
  void sync_when_due();
  void on_synced();
  void journal_failed(const std::string& why);
  void look_at_space(bool now);
  void use_store(const Settings& settings);
  void look_at_local_files();
  void remove_local_files();
  [[nodiscard]] std::string trouble() const;
  void tell_health();

  // checkpoints and the end
  void checkpoint_when_due();
  void ask_checkpoint();
  void send_checkpoint();
  void on_checkpoint_answer(const control::Envelope& envelope);
  void begin_stop(std::chrono::milliseconds grace);
  [[nodiscard]] bool may_end();
  [[nodiscard]] int timeout_ms();

  // RingNews
  void ring_space(const std::string& session, std::uint64_t sequence, bool durable) override;
  void recording_failed(const std::string& session, std::string_view reason) override;
  void session_recorded(const std::string& session, bool complete, std::uint64_t entries) override;
  void ring_event(const std::string& session, std::string_view name, const std::string& json) override;

  void say(Peer* peer, control::Envelope envelope);
  void notice(os::LogEvent event, std::string_view text);
  [[nodiscard]] control::Envelope status();
  void keep_outcome(const std::string& intent);

  Clock& clock_;
  crypto::Random& random_;
  Fd epoll_;
  Peers peers_;
  RecorderOptions options_;
  bool configured_ = false;
  int exit_code_ = 0;
  bool done_ = false;

  std::unique_ptr<Syncer> syncer_;
  std::unique_ptr<Witness> witness_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<RingDesk> desk_;
  std::unique_ptr<ShippingDesk> shipping_;  ///< none without a store
  std::unique_ptr<LocalFiles> local_;
  std::unique_ptr<SpentEnvelopes> spent_;
  struct Removal {
    std::vector<std::uint64_t> files;  ///< their event is written, not yet durable
    bool is_covered = false;           ///< a sync that began after that is under way
  };
  Removal removal_;
  BootTime next_local_look_{};
  Journal::Position syncing_position_;
  bool shipping_stopped_ = false;
  std::string journal_trouble_ = "not opened yet";
  std::string space_trouble_;
  std::string told_trouble_ = "starting";
  std::string last_outcome_;
  std::uint64_t free_bytes_ = 0;

  std::vector<Waiter> waiting_write_;
  std::vector<Waiter> waiting_sync_;   ///< written, not yet in a sync
  std::vector<Waiter> syncing_;
  std::vector<std::shared_ptr<const Fd>> unsynced_;
  std::vector<PeerId> gone_;
  std::vector<control::Envelope> untold_;  ///< SessionRecorded while there is no authority

  BootTime next_tick_{};
  BootTime sync_by_{};  ///< the first of what is written and not synced has waited long enough
  BootTime last_space_look_{};
  BootTime next_open_{};
  BootTime next_checkpoint_{};
  BootTime leftovers_at_{};
  bool leftovers_due_ = false;
  bool grew_ = false;   ///< since the last checkpoint
  std::optional<AskedCheckpoint> asked_;
  std::uint64_t last_call_ = 0;
  std::uint32_t checkpoints_missed_ = 0;

  bool keeper_gone_ = false;
  bool stopping_ = false;
  BootTime stop_until_{};
};

}  // namespace sallyport::recorder
