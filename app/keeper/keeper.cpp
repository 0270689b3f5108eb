#include "app/keeper/keeper.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <map>
#include <pwd.h>
#include <utility>

#include "app/keeper/channel.h"
#include "app/keeper/directories.h"
#include "app/keeper/handover.h"
#include "app/keeper/kits.h"
#include "app/keeper/log.h"
#include "app/keeper/loop.h"
#include "app/keeper/notify.h"
#include "app/keeper/published_keys.h"
#include "app/keeper/service.h"
#include "app/keeper/sessions.h"
#include "app/keeper/sockets.h"
#include "platform/crypto/base64.h"

namespace sallyport::app {
namespace {

using control::Envelope;
using control::Peer;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Which services talk to each other. The keeper's own link to the recorder and the sessions' links come on top.
constexpr std::array<std::pair<Peer, Peer>, 4> k_links{std::pair{control::PEER_AUTHORITY, control::PEER_VAULT},
                                                       std::pair{control::PEER_AUTHORITY, control::PEER_RECORDER},
                                                       std::pair{control::PEER_AUTHORITY, control::PEER_LISTENER},
                                                       std::pair{control::PEER_RECORDER, control::PEER_VAULT}};
/// The recorder stops before the vault: its last checkpoint is signed there.
constexpr std::array k_stop_order{control::PEER_LISTENER, control::PEER_AUTHORITY, control::PEER_RECORDER, control::PEER_VAULT};
constexpr std::array k_upgrade_order{control::PEER_RECORDER, control::PEER_VAULT, control::PEER_AUTHORITY, control::PEER_LISTENER};
constexpr milliseconds k_service_grace = seconds(10);
constexpr milliseconds k_leftover_limit = seconds(45);
constexpr milliseconds k_logins_settle{1000};
constexpr milliseconds k_longest_listening_pause = seconds(15);
constexpr std::size_t k_most_kits_per_request = 32;
constexpr std::size_t k_spare_kits = 64;
constexpr std::size_t k_most_waiting_events = 256;
constexpr unsigned k_deaths_before_ready = 5;
constexpr int k_exit_unavailable = 7;

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + '"';
}

Envelope attach_envelope(Peer peer, bool again, const std::string& session = {}) {
  Envelope envelope;
  envelope.mutable_attach()->set_peer(peer);
  envelope.mutable_attach()->set_session(session);
  envelope.mutable_attach()->set_again(again);
  return envelope;
}

template <class Blobs>
std::string joined_base64(const Blobs& blobs) {
  std::string out;
  for (const std::string& blob : blobs) {
    if (!out.empty()) out += ',';
    out += crypto::to_base64(std::as_bytes(std::span(blob.data(), blob.size())));
  }
  return out;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // each live session costs the keeper four descriptors
}

class KeeperProcess final : public Keeper {
 public:
  KeeperProcess(KeeperOptions options, Loop loop)
      : options_(std::move(options)), loop_(std::move(loop)), sessions_(loop_, [this](Peer peer) { return service(peer).has_process(); }) {}

  Result<void> prepare();
  int run() override;
  void stop() override;

 private:
  // keeper.cpp: services and links
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
  // kits
  void on_kit_request(Service& listener, const Envelope& question);
  Result<void> hand_kit(Service& listener);
  // life of the process
  Result<void> open_sockets();
  Result<void> read_signals();
  void on_signal(int signal);
  void reload();
  void stop_next();
  void upgrade(int tries_left);
  [[nodiscard]] Handover describe() const;
  Result<void> take_over(int file);
  void pause_listening();
  void replace_next();
  void beat_watchdog();
  void event(std::string name, std::string json);

  KeeperOptions options_;
  Loop loop_;
  Sessions sessions_;
  std::map<Peer, std::unique_ptr<Service>> services_;
  std::unique_ptr<Channel> recorder_link_;
  std::deque<Envelope> events_;
  std::vector<ListeningSocket> sockets_;
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

// ------------------------------------------------------------------------------------------------ start

Result<void> KeeperProcess::prepare() {
  raise_descriptor_limit();
  signal(SIGPIPE, SIG_IGN);
  const Config& config = options_.config;
  set_log_level(config.settings.text("log_level", "info"));
  const ServiceUsers users{options_.vault.user, options_.authority.user, options_.recorder.user, options_.listener.user};
  if (auto made = make_directories(config, users); !made) return made;
  ring_place_.directory = config.ring_dir;
  ring_place_.bytes = config.ring_bytes;
  if (const passwd* recorder = users.separate() ? getpwnam(users.recorder.c_str()) : nullptr; recorder != nullptr) {
    ring_place_.owner_uid = recorder->pw_uid;
    ring_place_.owner_gid = recorder->pw_gid;
  }
  make_service(control::PEER_RECORDER, "recorder", options_.recorder);
  make_service(control::PEER_VAULT, "vault", options_.vault);
  make_service(control::PEER_AUTHORITY, "authority", options_.authority);
  make_service(control::PEER_LISTENER, "listener", options_.listener);
  if (auto reading = read_signals(); !reading) return reading;
  if (options_.handover >= 0) return take_over(options_.handover);
  auto lock = lock_state(config);
  if (!lock) return tl::unexpected(lock.error());
  lock_ = std::move(*lock);
  if (auto noted = write_pid_file(config); !noted) return noted;
  if (auto opened = open_sockets(); !opened) return opened;
  return wait_for_leftover_services(config, k_leftover_limit);
}

Result<void> KeeperProcess::open_sockets() {
  auto handed = sockets_of_systemd();
  if (!handed) return tl::unexpected(handed.error());
  sockets_ = std::move(*handed);
  if (!sockets_.empty()) return {};
  for (const std::string& address : options_.config.listen) {
    auto socket = open_listening(address);
    if (!socket) return tl::unexpected(socket.error());
    sockets_.push_back(std::move(*socket));
  }
  return {};
}

void KeeperProcess::make_service(Peer peer, const std::string& name, const Command& command) {
  Service::Events events;
  events.started = [this](Service& service) { on_started(service); };
  events.became_ready = [this](Service& service) { on_ready(service); };
  events.message = [this](Service& service, control::Received received) { on_message(service, std::move(received)); };
  events.ended = [this](Service& service, Ended ended, bool wanted) { on_ended(service, ended, wanted); };
  services_.emplace(peer, std::make_unique<Service>(loop_, peer, name, command, std::move(events)));
}

int KeeperProcess::run() {
  beat_watchdog();
  if (options_.handover < 0) {
    for (const Peer peer : {control::PEER_RECORDER, control::PEER_VAULT, control::PEER_AUTHORITY}) service(peer).start();
  } else {
    pause_listening();
    loop_.after(k_logins_settle, [this] {
      replaced_ = 0;
      replace_next();
    });
  }
  const auto ran = loop_.run();
  if (!ran) {
    log_line(Level::error, ran.error().detail);
    return 1;
  }
  return exit_status_;
}

// ------------------------------------------------------------------------------------------------ services and links

void KeeperProcess::on_started(Service& fresh) {
  send_settings(fresh);
  if (fresh.peer() == control::PEER_RECORDER) link_recorder();
  link_to_running(fresh);
  if (fresh.peer() == control::PEER_LISTENER) {
    if (announced_ || upstairs_ready()) send_sockets();
  } else {
    sessions_.for_each_end(fresh.peer(), [&fresh](const std::string& session, int end, int ring) {
      const std::array descriptors{end, ring};
      fresh.send(attach_envelope(control::PEER_SESSION, true, session), std::span(descriptors).first(fresh.peer() == control::PEER_RECORDER ? 2 : 1));
    });
  }
  note_running();
}

/// Each pair is made when the later of its two services starts; the earlier one saw the old link close when its peer died.
void KeeperProcess::link_to_running(Service& fresh) {
  for (const auto& [a, b] : k_links) {
    if (a != fresh.peer() && b != fresh.peer()) continue;
    Service& other = service(a == fresh.peer() ? b : a);
    if (!other.has_process()) continue;
    auto pair = control::Link::make_pair();
    if (!pair) {
      log_line(Level::error, pair.error().detail);
      continue;
    }
    const bool again = fresh.restarts() + other.restarts() > 0;
    const std::array own{pair->first.get()};
    const std::array others{pair->second.get()};
    fresh.send(attach_envelope(other.peer(), again), own);
    other.send(attach_envelope(fresh.peer(), again), others);
  }
}

void KeeperProcess::link_recorder() {
  auto pair = control::Link::make_pair();
  if (!pair) return log_line(Level::error, pair.error().detail);
  const std::array descriptor{pair->second.get()};
  service(control::PEER_RECORDER).send(attach_envelope(control::PEER_KEEPER, service(control::PEER_RECORDER).restarts() > 0), descriptor);
  recorder_link_ = std::make_unique<Channel>(
      loop_, std::move(pair->first), [](const control::Received&) {}, [this](const Error&) { recorder_link_.reset(); });
  for (Envelope& waiting : events_) recorder_link_->send(std::move(waiting));
  events_.clear();
}

void KeeperProcess::send_settings(Service& to) {
  Settings settings = options_.config.settings_for(to.name());
  settings.set("generation", std::to_string(generation_));
  std::string listening;
  for (const ListeningSocket& socket : sockets_) listening += (listening.empty() ? "" : ",") + socket.address;
  settings.set("listen", listening);  // as really bound; the authority never dials them
  if (to.peer() == control::PEER_LISTENER) {
    settings.set("host_keys", host_keys_);
    settings.set("host_certificates", host_certificates_);
  }
  Envelope envelope;
  envelope.mutable_reload()->set_config_yaml(settings.render());
  to.send(std::move(envelope));
}

void KeeperProcess::send_sockets() {
  Envelope envelope;
  std::vector<int> descriptors;
  for (const ListeningSocket& socket : sockets_) {
    envelope.mutable_listen_sockets()->add_addresses(socket.address);
    envelope.mutable_listen_sockets()->add_proxy_protocol(false);
    descriptors.push_back(socket.fd.get());
  }
  service(control::PEER_LISTENER).send(std::move(envelope), descriptors);
}

bool KeeperProcess::upstairs_ready() {
  return service(control::PEER_RECORDER).is_ready() && service(control::PEER_VAULT).is_ready() && service(control::PEER_AUTHORITY).is_ready();
}

void KeeperProcess::on_ready(Service& which) {
  log_line(Level::debug, which.name() + ": ready");
  if (which.peer() == control::PEER_VAULT) ask_public_keys();
  if (which.peer() != control::PEER_LISTENER && !announced_ && upstairs_ready() && service(control::PEER_LISTENER).has_process()) send_sockets();
  report_ready_once();
  if (replaced_ < k_upgrade_order.size() && which.peer() == k_upgrade_order[replaced_]) {
    ++replaced_;
    replace_next();
  }
}

void KeeperProcess::report_ready_once() {
  if (announced_ || stopping_ || !upstairs_ready() || !service(control::PEER_LISTENER).is_ready()) return;
  announced_ = true;
  std::vector<std::string> addresses;
  std::string list;
  for (const ListeningSocket& socket : sockets_) {
    addresses.push_back(socket.address);
    list += (list.empty() ? "" : ", ") + socket.address;
  }
  log_line(Level::info, "serving on " + list);
  event("keeper.started", "{\"listen\":" + json_text(list) + ",\"pid\":" + std::to_string(getpid()) + "}");
  notifier_.say("READY=1\nSTATUS=Serving on " + list);
  if (options_.ready) options_.ready(addresses);
}

void KeeperProcess::ask_public_keys() {
  Envelope question;
  question.set_call(1);
  question.mutable_public_keys();
  service(control::PEER_VAULT).send(std::move(question));
}

void KeeperProcess::on_public_keys(const control::PublicKeySet& keys) {
  const std::string host_keys = joined_base64(keys.host_keys());
  const std::string certificates = joined_base64(keys.host_certificates());
  Service& listener = service(control::PEER_LISTENER);
  const bool changed = host_keys != host_keys_ || certificates != host_certificates_;
  told_sealed_ = false;
  host_keys_ = host_keys;
  host_certificates_ = certificates;
  if (auto published = publish_keys(options_.config.run_dir / "keys", keys); !published) log_line(Level::warn, published.error().detail);
  if (host_keys_.empty()) {
    on_no_public_keys(Error{Errc::sealed, "the vault shows no host keys"});
  } else if (listener.state() == Service::State::stopped && !stopping_) {
    listener.start();
  } else if (changed && listener.has_process()) {
    send_settings(listener);
  }
}

/// A sealed vault is a gateway that waits for a person: it is up, its admin socket answers, and who connects is told why no
/// session begins.
void KeeperProcess::on_no_public_keys(const Error& why) {
  if (Service& listener = service(control::PEER_LISTENER); host_keys_.empty() && why.code == Errc::sealed && listener.state() == Service::State::stopped && !stopping_) {
    ShownHostKeys last = last_host_keys(options_.config.state_of("vault") / "public");
    host_keys_ = std::move(last.keys);
    host_certificates_ = std::move(last.certificates);
    if (!host_keys_.empty()) listener.start();
  }
  if (!told_sealed_) {
    log_line(Level::warn, "no session is accepted yet: " + why.detail + (why.code == Errc::sealed ? "; `sallyport vault unseal` opens the vault" : ""));
    if (why.code == Errc::sealed) notifier_.say("READY=1\nSTATUS=Sealed: waiting for `sallyport vault unseal`");
  }
  told_sealed_ = true;
  loop_.after(seconds(1), [this] {
    if (!stopping_ && service(control::PEER_VAULT).is_ready()) ask_public_keys();
  });
}

void KeeperProcess::on_message(Service& from, control::Received received) {
  const Envelope& envelope = received.envelope;
  if (from.peer() == control::PEER_LISTENER && envelope.has_kit_request()) return on_kit_request(from, envelope);
  if (from.peer() == control::PEER_LISTENER && envelope.has_discard_kit()) {
    // Only a label that we made; the links close by themselves as the listener drops its ends.
    if (sessions_.contains(envelope.discard_kit().session())) unlink(ring_path(ring_place_, envelope.discard_kit().session()).c_str());
    return;
  }
  if (from.peer() == control::PEER_VAULT && envelope.has_public_key_set()) return on_public_keys(envelope.public_key_set());
  if (from.peer() == control::PEER_VAULT && envelope.has_failure()) {
    return on_no_public_keys(control::error_of(envelope.failure()));
  }
  if (envelope.has_notice()) return log_line(Level::info, from.name() + ": " + envelope.notice().text());
  log_line(Level::warn, from.name() + ": sent a message that the keeper does not take");
}

void KeeperProcess::on_ended(Service& which, Ended ended, bool wanted) {
  const std::string how = ended.signal != 0 ? "by signal " + std::to_string(ended.signal) : "with status " + std::to_string(ended.exit_code);
  if (which.peer() == control::PEER_RECORDER) recorder_link_.reset();
  if (!wanted) {
    log_line(Level::warn, which.name() + ": ended " + how + ", starting it again");
    event("service.restarted", "{\"service\":" + json_text(which.name()) + ",\"exit_code\":" + std::to_string(ended.exit_code) +
                                   ",\"signal\":" + std::to_string(ended.signal) + ",\"restarts\":" + std::to_string(which.restarts() + 1) + "}");
    if (!announced_ && ++deaths_before_ready_ >= k_deaths_before_ready) {
      log_line(Level::error, which.name() + " does not come up; giving up. Its own lines above say why");
      exit_status_ = k_exit_unavailable;
      if (!stopping_) stop();
    }
    return;
  }
  log_line(Level::debug, which.name() + ": ended " + how);
  if (stopping_ && stopped_ < k_stop_order.size() && which.peer() == k_stop_order[stopped_]) {
    ++stopped_;
    stop_next();
  }
}

void KeeperProcess::note_running() {
  std::string lines;
  for (const auto& [peer, service] : services_)
    if (service->has_process()) lines += running_line(service->name(), service->pid());
  if (auto written = write_running(options_.config, lines); !written) log_line(Level::warn, written.error().detail);
}

void KeeperProcess::event(std::string name, std::string json) {
  Envelope envelope;
  envelope.mutable_append_event()->set_name(std::move(name));
  envelope.mutable_append_event()->set_json(std::move(json));
  if (recorder_link_) return recorder_link_->send(std::move(envelope));
  if (events_.size() < k_most_waiting_events) events_.push_back(std::move(envelope));
}

// ------------------------------------------------------------------------------------------------ kits

void KeeperProcess::on_kit_request(Service& listener, const Envelope& question) {
  const std::size_t count = std::clamp<std::size_t>(question.kit_request().count(), 1, k_most_kits_per_request);
  const std::size_t limit = options_.config.settings.number("max_sessions", 4096) + k_spare_kits;
  for (std::size_t made = 0; made < count; ++made) {
    const Result<void> handed = stopping_                    ? Result<void>(fail(Errc::unavailable, "the gateway is stopping"))
                                : sessions_.size() >= limit ? Result<void>(fail(Errc::unavailable, "too many sessions"))
                                                            : hand_kit(listener);
    if (handed) continue;
    if (!stopping_) log_line(Level::warn, "no session kit: " + handed.error().detail);
    if (question.call() != 0) listener.send(control::failure_reply(question, handed.error()));
    return;
  }
}

Result<void> KeeperProcess::hand_kit(Service& listener) {
  auto kit = make_kit(ring_place_);
  if (!kit) return tl::unexpected(kit.error());
  const std::array to_recorder{kit->service.recorder.get(), kit->service.ring.get()};
  const std::array to_authority{kit->service.authority.get()};
  const std::array to_vault{kit->service.vault.get()};
  const std::array to_listener{kit->client.authority.get(), kit->client.vault.get(), kit->client.recorder.get(), kit->service.ring.get()};
  // A service that is down gets its end when it is started again: Sessions keeps it.
  service(control::PEER_RECORDER).send(attach_envelope(control::PEER_SESSION, false, kit->session), to_recorder);
  service(control::PEER_AUTHORITY).send(attach_envelope(control::PEER_SESSION, false, kit->session), to_authority);
  service(control::PEER_VAULT).send(attach_envelope(control::PEER_SESSION, false, kit->session), to_vault);
  Envelope envelope;
  envelope.mutable_session_kit()->set_session(kit->session);
  envelope.mutable_session_kit()->set_ring_bytes(ring_place_.bytes);
  listener.send(std::move(envelope), to_listener);
  return sessions_.add(kit->session, std::move(kit->service));
}

// ------------------------------------------------------------------------------------------------ signals, reload, stop

Result<void> KeeperProcess::read_signals() {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) sigaddset(&wanted, signal);
  if (sigprocmask(SIG_BLOCK, &wanted, nullptr) != 0) return fail(Errc::internal, "sigprocmask");
  signals_ = Fd(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return fail(Errc::internal, std::string("signalfd: ") + std::strerror(errno));
  return loop_.watch(signals_.get(), EPOLLIN, [this](std::uint32_t) {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) on_signal(static_cast<int>(info.ssi_signo));
  });
}

void KeeperProcess::on_signal(int signal) {
  if (signal == SIGHUP) return reload();
  if (signal == SIGUSR2) return upgrade(100);
  if (!stopping_) return stop();
  log_line(Level::warn, "asked again to stop: live sessions end now");
  service(control::PEER_LISTENER).kill_now();
}

void KeeperProcess::reload() {
  if (!options_.reload || stopping_) return;
  notifier_.say_reloading();
  auto fresh = options_.reload();
  if (!fresh) {
    log_line(Level::error, "reload: nothing changed, the configuration is wrong:\n" + fresh.error().detail);
    return notifier_.say("READY=1");
  }
  const Config& old = options_.config;
  if (fresh->state_dir != old.state_dir || fresh->run_dir != old.run_dir || fresh->ring_dir != old.ring_dir) {
    log_line(Level::error, "reload: nothing changed: state_dir, run_dir and ring_dir need a restart");
    return notifier_.say("READY=1");
  }
  if (fresh->listen != old.listen) {
    std::vector<ListeningSocket> sockets;
    for (const std::string& address : fresh->listen) {
      const auto kept = std::find_if(sockets_.begin(), sockets_.end(), [&address](const ListeningSocket& s) { return s.fd && s.address == address; });
      auto socket = kept != sockets_.end() ? Result<ListeningSocket>(std::move(*kept)) : open_listening(address);
      if (socket) sockets.push_back(std::move(*socket));
      else log_line(Level::error, "reload: " + socket.error().detail);
    }
    sockets_ = std::move(sockets);
  }
  options_.config = std::move(*fresh);
  ring_place_.bytes = options_.config.ring_bytes;
  set_log_level(options_.config.settings.text("log_level", "info"));
  for (const auto& [peer, service] : services_) send_settings(*service);
  if (announced_) send_sockets();
  log_line(Level::info, "configuration reloaded");
  event("keeper.reloaded", "{\"file\":" + json_text(options_.config.file) + "}");
  notifier_.say("READY=1");
}

void KeeperProcess::stop() {
  if (stopping_) return;
  stopping_ = true;
  log_line(Level::info, "stopping; live sessions have " + std::to_string(options_.config.drain.count() / 1000) + " s");
  notifier_.say("STOPPING=1");
  event("keeper.stopping", "{\"sessions\":" + std::to_string(sessions_.size()) + "}");
  stop_grace_ = options_.config.drain;
  sockets_.clear();
  stop_next();
}

void KeeperProcess::stop_next() {
  while (stopped_ < k_stop_order.size()) {
    Service& next = service(k_stop_order[stopped_]);
    const bool waits = next.has_process();
    next.stop(next.peer() == control::PEER_LISTENER ? stop_grace_ : k_service_grace);
    if (waits) return;  // on_ended goes on
    if (stopped_ < k_stop_order.size() && next.peer() == k_stop_order[stopped_]) ++stopped_;
  }
  unlink((options_.config.state_dir / "running").c_str());
  unlink((options_.config.run_dir / "keeper.pid").c_str());
  loop_.stop();
}

void KeeperProcess::beat_watchdog() {
  if (notifier_.watchdog_every().count() <= 0) return;
  notifier_.say("WATCHDOG=1");
  loop_.after(notifier_.watchdog_every(), [this] { beat_watchdog(); });
}

// ------------------------------------------------------------------------------------------------ upgrade

Handover KeeperProcess::describe() const {
  Handover handover;
  handover.generation = generation_ + 1;
  handover.lock = lock_.get();
  if (recorder_link_) handover.recorder_link = recorder_link_->native();
  for (const auto& [peer, service] : services_)
    if (service->has_process() && service->state() != Service::State::stopping)
      handover.services.push_back({service->name(), service->pid(), service->control_descriptor(), service->is_ready(), service->restarts()});
  for (const ListeningSocket& socket : sockets_) handover.sockets.push_back({socket.fd.get(), socket.address});
  sessions_.for_each([&handover](const std::string& session, const ServiceEnds& ends) {
    handover.sessions.push_back({session, ends.authority.get(), ends.vault.get(), ends.recorder.get(), ends.ring.get()});
  });
  return handover;
}

void KeeperProcess::upgrade(int tries_left) {
  if (stopping_ || options_.self.empty()) return;
  // Every service must be there and have taken what was sent: a queue in memory does not survive the exec.
  const bool quiet = std::all_of(services_.begin(), services_.end(), [](const auto& entry) { return entry.second->is_ready() && entry.second->is_idle(); });
  if (!quiet && tries_left > 0) {
    loop_.after(milliseconds(50), [this, tries_left] { upgrade(tries_left - 1); });
    return;
  }
  if (!quiet) return log_line(Level::error, "upgrade: the services are not all ready; nothing changed");
  if (auto runs = check_program(options_.self.front()); !runs) return log_line(Level::error, "upgrade: nothing changed: " + runs.error().detail);
  const Handover handover = describe();
  auto file = write_handover(handover);
  if (!file) return log_line(Level::error, "upgrade: nothing changed: " + file.error().detail);
  log_line(Level::info, "upgrade: executing " + options_.self.front() + " anew with " + std::to_string(handover.sessions.size()) + " session kits");
  std::vector<std::string> arguments = options_.self;
  arguments.insert(arguments.end(), {"--handover", std::to_string(file->get())});
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  notifier_.say_reloading();
  keep_over_exec(handover, true);
  execv(argv[0], argv.data());
  const std::string why = std::strerror(errno);
  keep_over_exec(handover, false);
  log_line(Level::error, "upgrade: nothing changed: " + options_.self.front() + ": " + why);
  notifier_.say("READY=1");
}

Result<void> KeeperProcess::take_over(int number) {
  auto handover = read_handover(Fd(number));
  if (!handover) return tl::unexpected(handover.error());
  keep_over_exec(*handover, false);
  generation_ = handover->generation;
  lock_ = Fd(handover->lock);
  for (const auto& socket : handover->sockets) sockets_.push_back(ListeningSocket{Fd(socket.fd), socket.address});
  for (const auto& session : handover->sessions) {
    auto added = sessions_.add(session.session, ServiceEnds{Fd(session.authority), Fd(session.vault), Fd(session.recorder), Fd(session.ring)});
    if (!added) return added;
  }
  for (const auto& record : handover->services) {
    for (const auto& [peer, service] : services_) {
      if (service->name() != record.name) continue;
      auto adopted = service->adopt(record.pid, Fd(record.control), record.ready, record.restarts);
      if (!adopted) return adopted;
    }
  }
  if (handover->recorder_link >= 0)
    recorder_link_ = std::make_unique<Channel>(
        loop_, Fd(handover->recorder_link), [](const control::Received&) {}, [this](const Error&) { recorder_link_.reset(); });
  announced_ = true;
  event("keeper.upgraded", "{\"generation\":" + std::to_string(generation_) + ",\"sessions\":" + std::to_string(sessions_.size()) + "}");
  return {};
}

/// A login that is half done does not survive the authority; new connections wait in the sockets' queues until it is replaced.
void KeeperProcess::pause_listening() {
  Envelope nothing;
  nothing.mutable_listen_sockets();
  service(control::PEER_LISTENER).send(std::move(nothing));
  loop_.after(k_longest_listening_pause, [this] {
    if (!stopping_ && replaced_ < k_upgrade_order.size()) send_sockets();
  });
}

/// One service after the other gets the new program; the sessions hold their bytes meanwhile.
void KeeperProcess::replace_next() {
  while (replaced_ < k_upgrade_order.size()) {
    Service& next = service(k_upgrade_order[replaced_]);
    if (!next.has_process()) {
      next.start();  // it was between two lives when the keeper was executed anew
      return;
    }
    if (next.peer() == control::PEER_LISTENER) {
      send_settings(next);
    } else if (next.peer() == control::PEER_VAULT && options_.config.settings.text("seal_source") == "passphrase") {
      log_line(Level::info, "upgrade: the vault stays as it is: it would come back sealed. `sallyport vault unseal` after a restart of your choice");
      ask_public_keys();
    } else {
      next.replace(k_service_grace);
      return;
    }
    ++replaced_;
  }
  send_sockets();
  log_line(Level::info, "upgrade: done, generation " + std::to_string(generation_));
  notifier_.say("READY=1\nSTATUS=Upgraded");
}

}  // namespace

Result<std::unique_ptr<Keeper>> Keeper::make(KeeperOptions options) {
  auto loop = Loop::make();
  if (!loop) return tl::unexpected(loop.error());
  auto keeper = std::make_unique<KeeperProcess>(std::move(options), std::move(*loop));
  auto prepared = keeper->prepare();
  if (!prepared) return tl::unexpected(prepared.error());
  return std::unique_ptr<Keeper>(std::move(keeper));
}

}  // namespace sallyport::app
