#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "gateway/listener/fork_server.h"

namespace sallyport::gateway {
namespace {

constexpr int k_messages_per_turn = 64;
constexpr std::size_t k_kit_descriptors = 4;
/// Sessions of a lost keeper must be gone before its own promise of drain_ms runs out.
constexpr Moment k_orphan_margin{2'000};

}  // namespace

// ---------------------------------------------------------------- keeper

void ForkServer::read_keeper() {
  keeper_.flush();
  for (int i = 0; i < k_messages_per_turn; ++i) {
    auto received = keeper_.receive();
    if (!received) {
      if (draining_) return;
      const Moment orphan = config_ ? std::chrono::duration_cast<Moment>(config_->orphan) : Moment{};
      return begin_to_drain(now() + std::max(orphan - k_orphan_margin, orphan / 2), 1);
    }
    if (!*received) return;
    on_keeper(std::move(**received));
  }
}

void ForkServer::on_keeper(control::Received received) {
  const control::Envelope& envelope = received.envelope;
  if (envelope.has_failure()) {
    // Of a KitRequest, the only question asked: not now.
    kits_asked_ = 0;
    kits_not_before_ = now() + Moment(250);
    return;
  }
  switch (envelope.body_case()) {
    case control::Envelope::kPing: {
      if (!said_ready_) return;  // Ready means: serving
      control::Envelope answer = control::reply_to(envelope);
      answer.mutable_ready();
      return keeper_.send(std::move(answer));
    }
    case control::Envelope::kReload:
      return on_settings(envelope.reload().config_yaml());
    case control::Envelope::kAttach:
      if (envelope.attach().peer() == control::PEER_AUTHORITY && received.descriptors.size() == 1)
        return authority_.use(std::move(received.descriptors.front()));
      return note(os::LogEvent::service_unexpected_message, "an Attach that the listener does not take");
    case control::Envelope::kListenSockets:
      return on_sockets(std::move(received));
    case control::Envelope::kSessionKit:
      return on_kit(std::move(received));
    case control::Envelope::kShutdown:
      if (!draining_) begin_to_drain(Moment{}, 0);
      kill_at_ = now() + Moment(envelope.shutdown().grace_ms());
      return;
    default:
      return note(os::LogEvent::service_unexpected_message, "a message of the keeper that the listener does not take");
  }
}

void ForkServer::on_settings(const std::string& lines) {
  auto config = parse_listener_config(lines);
  if (!config) return note(os::LogEvent::service_settings_refused, "settings refused, the old ones stay: " + config.error().detail);
  const std::string before = config_ ? config_->session.settings.text("generation") : "";
  settings_ = lines;
  if (hooks_.prepare != nullptr && !config->session.host_keys.empty()) config->session.prepared = hooks_.prepare(config->session);
  config_ = std::make_unique<const ListenerConfig>(std::move(*config));
  admission_.set_limits(AdmissionLimits{config_->max_unproven, config_->drop_from, config_->max_per_source});
  const Moment age = std::chrono::duration_cast<Moment>(config_->renew);
  if (renew_why_.empty() && age > Moment{}) renew_at_ = started_at_ + age;
  if (renew_why_.empty() && age <= Moment{}) renew_at_ = Moment::max();
  if (!before.empty() && before != config_->session.settings.text("generation") && !arguments_.empty()) {
    // The keeper was executed anew from an installed upgrade: go on with the program that now has our name.
    program_path_ = arguments_.front();
    renew_why_ = "upgrade";
    plan_renewal(now());
  }
}

void ForkServer::on_sockets(control::Received received) {
  const control::ListenSockets& wanted = received.envelope.listen_sockets();
  if (draining_) return;
  sockets_.clear();
  for (std::size_t i = 0; i < received.descriptors.size(); ++i) {
    const int index = static_cast<int>(i);
    Socket socket{std::move(received.descriptors[i]), "", false};
    // Another listener may accept from the same socket for a moment: whoever comes second must not block.
    fcntl(socket.fd.get(), F_SETFL, O_NONBLOCK);
    if (index < wanted.addresses_size()) socket.address = wanted.addresses(index);
    if (index < wanted.proxy_protocol_size()) socket.proxy_only = wanted.proxy_protocol(index);
    sockets_.push_back(std::move(socket));
  }
}

void ForkServer::on_kit(control::Received received) {
  if (kits_asked_ > 0) --kits_asked_;
  kit_came_ = now();
  // A further descriptor (rules of a guard) has no use here yet.
  if (received.descriptors.size() < k_kit_descriptors) return note(os::LogEvent::service_unexpected_message, "a session kit without its descriptors");
  auto& descriptors = received.descriptors;
  Kit kit{received.envelope.session_kit().session(), std::move(descriptors[0]), std::move(descriptors[1]),
          std::move(descriptors[2]), std::move(descriptors[3])};
  if (!draining_) return kits_.push_back(std::move(kit));
  control::Envelope envelope;
  envelope.mutable_discard_kit()->set_session(kit.session);
  keeper_.send(std::move(envelope));
}

// ---------------------------------------------------------------- authority

void ForkServer::read_authority() {
  authority_.flush();
  for (int i = 0; i < k_messages_per_turn; ++i) {
    auto received = authority_.receive();
    if (!received) return note(os::LogEvent::listener_authority_lost, "the authority's link is closed, accepting again when it is back");
    if (!*received) return;
    on_authority(std::move(**received));
  }
}

void ForkServer::on_authority(control::Received received) {
  const control::Envelope& envelope = received.envelope;
  switch (envelope.body_case()) {
    case control::Envelope::kSessionProven:
    case control::Envelope::kKillSession: {
      const bool proven = envelope.has_session_proven();
      const auto pid =
          pid_of_session_.find(proven ? envelope.session_proven().session() : envelope.kill_session().session());
      if (pid == pid_of_session_.end()) return proven ? void() : kill_orphan(envelope.kill_session().session());
      ChildRecord& child = children_.at(pid->second);
      if (!proven) return kill_child(child, "the authority asked for it");
      child.proven = true;
      admission_.forget(child.ticket);
      pid_of_ticket_.erase(child.ticket);
      return;
    }
    case control::Envelope::kSourcePenalty: {
      const auto network = Network::parse(envelope.source_penalty().source());
      if (!network) return note(os::LogEvent::service_unexpected_message, "a penalty for something that is no address");
      return admission_.penalise(source_of(network->address()), now() + Moment(envelope.source_penalty().delay_ms()),
                                 now());
    }
    case control::Envelope::kSpawnInner:
      return spawn_inner(envelope, std::move(received.descriptors));
    default:
      return note(os::LogEvent::service_unexpected_message, "a message of the authority that the listener does not take");
  }
}

}  // namespace sallyport::gateway
