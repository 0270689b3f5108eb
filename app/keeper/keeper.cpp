#include "app/keeper/keeper.h"

#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <span>

#include "app/keeper/directories.h"
#include "app/keeper/keeper_process.h"
#include "app/keeper/published_keys.h"
#include "platform/crypto/base64.h"
#include "platform/model/json_text.h"
#include "platform/os/log.h"

namespace sallyport::app {
namespace {

/// Which services talk to each other. The keeper's own link to the recorder and the sessions' links come on top.
constexpr std::array<std::pair<Peer, Peer>, 4> k_links{std::pair{control::PEER_AUTHORITY, control::PEER_VAULT},
                                                       std::pair{control::PEER_AUTHORITY, control::PEER_RECORDER},
                                                       std::pair{control::PEER_AUTHORITY, control::PEER_LISTENER},
                                                       std::pair{control::PEER_RECORDER, control::PEER_VAULT}};
constexpr milliseconds k_leftover_limit = seconds(45);
constexpr milliseconds k_logins_settle{1000};
constexpr std::size_t k_most_kits_per_request = 32;
constexpr std::size_t k_spare_kits = 64;
constexpr std::size_t k_most_waiting_events = 256;
constexpr unsigned k_deaths_before_ready = 5;
constexpr int k_exit_unavailable = 7;

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

}  // namespace

// ------------------------------------------------------------------------------------------------ start

void take_log_settings(const Config& config) {
  os::set_log(config.settings.text("log_level", "info"), config.settings.text("log_format", "text"));
  os::hand_log_on();
}

Result<void> KeeperProcess::prepare() {
  raise_descriptor_limit();
  signal(SIGPIPE, SIG_IGN);
  const Config& config = options_.config;
  os::name_log_process("keeper");
  take_log_settings(config);
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
    os::log_line(os::LogEvent::keeper_failed, ran.error().detail);
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
      os::log_line(os::LogEvent::service_link_failed, pair.error().detail);
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
  if (!pair) return os::log_line(os::LogEvent::service_link_failed, pair.error().detail);
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
  if (to.peer() == control::PEER_AUTHORITY && !options_.recorder.user.empty()) settings.set("desks", "keeper");  // the recordings are not its own to read
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
  os::log_line(os::LogEvent::service_ready, which.name() + ": ready");
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
  os::log_line(os::LogEvent::keeper_serving, "serving on " + list);
  event("keeper.started", "{\"listen\":" + json_quote(list) + ",\"pid\":" + std::to_string(getpid()) + "}");
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
  if (auto published = publish_keys(options_.config.run_dir / "keys", keys); !published) os::log_line(os::LogEvent::keeper_keys_unpublished, published.error().detail);
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
    os::log_line(os::LogEvent::keeper_waiting, "no session is accepted yet: " + why.detail + (why.code == Errc::sealed ? "; `sallyport vault unseal` opens the vault" : ""));
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
  if (from.peer() == control::PEER_AUTHORITY && envelope.has_start_desk()) return on_start_desk(envelope.start_desk().verb(), std::move(received.descriptors));
  if (envelope.has_notice()) return os::log_notice(from.name(), envelope.notice().text());
  os::log_line(os::LogEvent::service_unexpected_message, from.name() + ": sent a message that the keeper does not take");
}

void KeeperProcess::on_ended(Service& which, Ended ended, bool wanted) {
  const std::string how = ended.signal != 0 ? "by signal " + std::to_string(ended.signal) : "with status " + std::to_string(ended.exit_code);
  if (which.peer() == control::PEER_RECORDER) recorder_link_.reset();
  if (!wanted) {
    os::log_line(os::LogEvent::service_died, which.name() + ": ended " + how + ", starting it again");
    event("service.restarted", "{\"service\":" + json_quote(which.name()) + ",\"exit_code\":" + std::to_string(ended.exit_code) +
                                   ",\"signal\":" + std::to_string(ended.signal) + ",\"restarts\":" + std::to_string(which.restarts() + 1) + "}");
    if (!announced_ && ++deaths_before_ready_ >= k_deaths_before_ready) {
      os::log_line(os::LogEvent::service_gave_up, which.name() + " does not come up; giving up. Its own lines above say why");
      exit_status_ = k_exit_unavailable;
      if (!stopping_) stop();
    }
    return;
  }
  os::log_line(os::LogEvent::service_ended, which.name() + ": ended " + how);
  if (stopping_ && stopped_ < k_stop_order.size() && which.peer() == k_stop_order[stopped_]) {
    ++stopped_;
    stop_next();
  }
}

void KeeperProcess::note_running() {
  std::string lines;
  for (const auto& [peer, service] : services_)
    if (service->has_process()) lines += running_line(service->name(), service->pid());
  if (auto written = write_running(options_.config, lines); !written) os::log_line(os::LogEvent::keeper_state_unwritten, written.error().detail);
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
    if (!stopping_) os::log_line(os::LogEvent::kit_refused, "no session kit: " + handed.error().detail);
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

Result<std::unique_ptr<Keeper>> Keeper::make(KeeperOptions options) {
  auto loop = Loop::make();
  if (!loop) return tl::unexpected(loop.error());
  auto keeper = std::make_unique<KeeperProcess>(std::move(options), std::move(*loop));
  auto prepared = keeper->prepare();
  if (!prepared) return tl::unexpected(prepared.error());
  return std::unique_ptr<Keeper>(std::move(keeper));
}

}  // namespace sallyport::app
