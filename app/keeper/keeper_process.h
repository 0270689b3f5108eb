// app/keeper/keeper_process.h -- the keeper's one object, for the files that implement it.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "app/keeper/channel.h"
#include "app/keeper/handover.h"
#include "app/keeper/keeper.h"
#include "app/keeper/kits.h"
#include "app/keeper/loop.h"
#include "app/keeper/notify.h"
#include "app/keeper/service.h"
#include "app/keeper/sessions.h"
#include "app/keeper/sockets.h"

namespace sallyport::app {

using control::Envelope;
using control::Peer;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// The recorder stops before the vault: its last checkpoint is signed there.
inline constexpr std::array k_stop_order{control::PEER_LISTENER, control::PEER_AUTHORITY, control::PEER_RECORDER, control::PEER_VAULT};
inline constexpr std::array k_upgrade_order{control::PEER_RECORDER, control::PEER_VAULT, control::PEER_AUTHORITY, control::PEER_LISTENER};
inline constexpr milliseconds k_service_grace = seconds(10);

/// Level and format of the log, for the keeper and for what it starts.
void take_log_settings(const Config& config);

/// The one implementation. keeper.cpp: start, services, links, kits; keeper_life.cpp: signals, reload, stop; keeper_upgrade.cpp: executing itself anew.
class KeeperProcess final : public Keeper {
 public:
  KeeperProcess(KeeperOptions options, Loop loop)
      : options_(std::move(options)), loop_(std::move(loop)), sessions_(loop_, [this](Peer peer) { return service(peer).has_process(); }) {}

  Result<void> prepare();
  int run() override;
  void stop() override;

 private:
  // keeper.cpp: services, links and kits
  [[nodiscard]] Service& service(Peer peer) { return *services_.at(peer); }
  void make_service(Peer peer, const std::string& name, const Command& command);
  void on_started(Service& fresh);
  void link_to_running(Service& fresh);
  void link_recorder();
  void send_settings(Service& to);
  void send_sockets();
  void on_ready(Service& service);
  void on_message(Service& from, control::Received received);
  void on_ended(Service& which, Ended ended, bool wanted);
  [[nodiscard]] bool upstairs_ready();
  void report_ready_once();
  void ask_public_keys();
  void on_public_keys(const control::PublicKeySet& keys);
  void on_no_public_keys(const Error& why);
  void note_running();
  void on_kit_request(Service& listener, const Envelope& question);
  Result<void> hand_kit(Service& listener);
  Result<void> open_sockets();
  // desks.cpp
  void on_start_desk(const std::string& verb, std::vector<Fd> descriptors);
  void end_desk(pid_t pid);
  void end_desks();
  void event(std::string name, std::string json);
  // keeper_life.cpp
  Result<void> read_signals();
  void on_signal(int signal);
  void reload();
  void stop_next();
  void beat_watchdog();
  // keeper_upgrade.cpp
  void upgrade(int tries_left);
  [[nodiscard]] Handover describe() const;
  Result<void> take_over(int file);
  void pause_listening();
  void replace_next();

  KeeperOptions options_;
  Loop loop_;
  Sessions sessions_;
  std::map<Peer, std::unique_ptr<Service>> services_;
  std::unique_ptr<Channel> recorder_link_;
  std::deque<Envelope> events_;
  std::vector<ListeningSocket> sockets_;
  std::map<pid_t, Fd> desks_;
  Notifier notifier_;
  RingPlace ring_place_;
  Fd lock_;
  Fd signals_;
  std::string host_keys_;
  std::string host_certificates_;
  unsigned generation_ = 1;
  unsigned deaths_before_ready_ = 0;
  std::size_t replaced_ = k_upgrade_order.size();
  std::size_t stopped_ = 0;
  milliseconds stop_grace_{};
  bool announced_ = false;
  bool told_sealed_ = false;
  bool stopping_ = false;
  int exit_status_ = 0;
};

}  // namespace sallyport::app
