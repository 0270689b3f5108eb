#include "vault/lending.h"

#include <sys/socket.h>

#include <algorithm>

#include "platform/crypto/ulid.h"
#include "platform/model/json_text.h"

namespace sallyport::vault {
namespace {

constexpr std::chrono::seconds k_audit_deadline{5};
constexpr std::size_t k_most_waiting = 1024;
constexpr std::size_t k_most_leases_per_session = 16;
constexpr std::chrono::milliseconds k_longest_agent{60'000};
constexpr std::chrono::milliseconds k_usual_agent{10'000};

std::string field(std::string_view name, std::string_view text) { return "\"" + std::string(name) + "\":" + json_quote(text); }

std::string describe(const Lease& lease) {
  return field("lease", lease.id) + "," + field("secret", lease.secret) + ",\"version\":" + std::to_string(lease.version) + "," + field("purpose", lease.purpose);
}

}  // namespace

void AuditTrail::attach(LineId recorder) {
  recorder_ = recorder;
  while (!waiting_.empty() && recorder_ != 0) {
    control::Envelope first = std::move(waiting_.front());
    waiting_.pop_front();
    board_->send(recorder_, std::move(first));
  }
}

void AuditTrail::detach() {
  recorder_ = 0;
  const auto asked = std::exchange(asked_, {});
  for (const auto& [call, then] : asked) then(fail(Errc::unavailable, "the recorder went away"));
}

void AuditTrail::on_reply(const control::Envelope& reply) {
  const auto found = asked_.find(reply.call());
  if (found == asked_.end()) return;
  const auto then = std::move(found->second);
  asked_.erase(found);
  if (reply.has_failure()) return then(tl::unexpected(control::error_of(reply.failure())));
  if (!reply.has_event_appended()) return then(fail(Errc::internal, "the recorder answered with something else"));
  then({});
}

void AuditTrail::tell(std::string name, std::string json, std::string session) {
  control::Envelope envelope;
  auto* event = envelope.mutable_append_event();
  event->set_name(std::move(name));
  event->set_json(std::move(json));
  event->set_session(std::move(session));
  if (recorder_ != 0 && board_->send(recorder_, envelope)) return;
  if (waiting_.size() < k_most_waiting) waiting_.push_back(std::move(envelope));
}

void AuditTrail::tell_durably(std::string name, std::string json, std::string session, std::function<void(Result<void>)> then) {
  control::Envelope envelope;
  envelope.set_call(++last_call_);
  auto* event = envelope.mutable_append_event();
  event->set_name(std::move(name));
  event->set_json(std::move(json));
  event->set_session(std::move(session));
  event->set_durable(true);
  const std::uint64_t call = last_call_;
  if (recorder_ == 0) return then(fail(Errc::unavailable, "there is no recorder"));
  asked_.emplace(call, std::move(then));
  if (!board_->send(recorder_, std::move(envelope))) {
    if (const auto found = asked_.find(call); found != asked_.end()) {  // else detach() has told it
      const auto refused = std::move(found->second);
      asked_.erase(found);
      refused(fail(Errc::unavailable, "there is no recorder"));
    }
    return;
  }
  board_->after(k_audit_deadline, [this, call] {
    const auto found = asked_.find(call);
    if (found == asked_.end()) return;
    const auto late = std::move(found->second);
    asked_.erase(found);
    late(fail(Errc::unavailable, "the recorder did not answer in time"));
  });
}

void Lending::recover(std::chrono::milliseconds grace, std::function<bool(const std::string&)> is_live) {
  auto left = vault_->store().leases();
  if (!left) return;
  for (Lease& lease : *left) {
    std::string id = lease.id;
    leases_.emplace(std::move(id), std::move(lease));
  }
  if (leases_.empty()) return;
  board_->after(grace, [this, is_live = std::move(is_live)] {
    std::vector<std::string> orphans;
    for (const auto& [id, lease] : leases_)
      if (!is_live(lease.session)) orphans.push_back(id);
    for (const std::string& id : orphans) end(id, "the session was gone after a restart of the vault");
  });
}

void Lending::begin(const std::string& session, const std::string& secret, std::string_view kind, std::string purpose, const std::string& more_json,
                    Begun begun) {
  const auto held = std::count_if(leases_.begin(), leases_.end(), [&](const auto& entry) { return entry.second.session == session; });
  if (static_cast<std::size_t>(held) >= k_most_leases_per_session) return begun(fail(Errc::denied, "too many loans for one session"));
  const auto stored = vault_->read_for_use(secret, kind);  // before anything is noted: it may not exist, or be of another kind
  if (!stored) return begun(tl::unexpected(stored.error()));
  Lease lease{crypto::make_ulid(*clock_, *random_), session, secret, std::move(purpose), stored->version, clock_->wall().time_since_epoch().count()};
  if (auto noted = vault_->store().add_lease(lease); !noted) return begun(tl::unexpected(noted.error()));
  leases_.emplace(lease.id, lease);
  trail_->tell_durably("lease.started", "{" + describe(lease) + more_json + "}", session, [this, lease, begun = std::move(begun)](Result<void> told) {
    const bool still_held = leases_.contains(lease.id);
    if (told && still_held) return begun(lease);
    if (still_held) end(lease.id, "its beginning could not be recorded");
    begun(told ? Result<Lease>(fail(Errc::cancelled, "the session ended")) : Result<Lease>(tl::unexpected(told.error())));
  });
}

void Lending::end(const std::string& id, const std::string& reason) {
  const auto found = leases_.find(id);
  if (found == leases_.end()) return;
  const Lease lease = std::move(found->second);
  leases_.erase(found);
  const std::int64_t lasted = std::max<std::int64_t>(0, clock_->wall().time_since_epoch().count() - lease.started_us) / 1000;
  trail_->tell("lease.ended", "{" + describe(lease) + ",\"lasted_ms\":" + std::to_string(lasted) + "," + field("reason", reason) + "}", lease.session);
  static_cast<void>(vault_->store().remove_lease(lease.id));  // left in the database it ends again after a restart: told twice, never lost
}

void Lending::lend_password(const std::string& session, const std::string& secret, GivePassword give) {
  begin(session, secret, kind::password, "password", "", [this, give = std::move(give)](Result<Lease> lease) {
    if (!lease) return give(tl::unexpected(lease.error()));
    auto stored = vault_->store().read(lease->secret, lease->version);
    if (!stored) {
      end(lease->id, "the secret could not be read");
      return give(tl::unexpected(stored.error()));
    }
    give(std::pair{std::move(stored->value), *lease});
  });
}

void Lending::read_password(const std::string& secret, const std::string& reader, const std::string& reason, GivePassword give) {
  const std::string more = "," + field("principal", reader) + "," + field("reason", reason);
  begin("", secret, kind::password, "reading", more, [this, give = std::move(give)](Result<Lease> lease) {
    if (!lease) return give(tl::unexpected(lease.error()));
    auto stored = vault_->store().read(lease->secret, lease->version);
    end(lease->id, stored ? "it was read" : "the secret could not be read");
    if (!stored) return give(tl::unexpected(stored.error()));
    give(std::pair{std::move(stored->value), *lease});
  });
}

void Lending::make_agent(const std::string& session, const std::string& secret, LoginScope scope, std::chrono::milliseconds deadline, GiveAgent give) {
  if (scope.account.empty() || scope.session_hash.empty() || scope.host_key.empty())
    return give(fail(Errc::invalid, "an agent needs an account, a session identifier and a host key"));
  const std::string more = "," + field("account", scope.account) + "," + field("host_key", crypto::ssh_fingerprint(scope.host_key));
  const auto begun = [this, scope = std::move(scope), deadline, give = std::move(give)](Result<Lease> lease) mutable {
    if (!lease) return give(tl::unexpected(lease.error()));
    const auto refuse = [&](Error error) {
      end(lease->id, error.detail);
      give(tl::unexpected(std::move(error)));
    };
    const auto stored = vault_->store().read(lease->secret, lease->version);
    if (!stored) return refuse(stored.error());
    auto key = crypto::SshPrivateKey::parse(stored->value.reveal());
    if (!key) return refuse(key.error());
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return refuse({Errc::unavailable, "no socket for an agent"});
    Fd ours(ends[0]);
    Agent agent{Fd(ends[1]), key->public_key().blob(), lease->id};
    const auto line = std::make_shared<LineId>(0);
    auto added = board_->add_stream(std::move(ours), [this, line](ByteView bytes) { on_agent_bytes(*line, bytes); });
    if (!added) return refuse(added.error());
    *line = *added;
    agents_.emplace(*added, LiveAgent{SigningAgent(std::move(*key), std::move(scope)), lease->id});
    const auto lasts = deadline.count() <= 0 ? k_usual_agent : std::min(deadline, k_longest_agent);
    board_->after(lasts, [this, id = *added] { close_agent(id, "its time was over"); });
    give(std::move(agent));
  };
  begin(session, secret, kind::ssh_key, "signature", more, begun);
}

void Lending::on_agent_bytes(LineId line, ByteView bytes) {
  const auto found = agents_.find(line);
  if (found == agents_.end()) return board_->close(line);
  if (bytes.empty()) return close_agent(line, "the session closed it");
  SigningAgent& agent = found->second.agent;
  const std::string refused_before = agent.refusal();
  const bool spent_before = agent.is_spent();
  const auto reply = agent.take(bytes);
  if (!reply) return close_agent(line, reply.error().detail);
  const Lease& lease = leases_[found->second.lease];
  if (agent.refusal() != refused_before)
    trail_->tell("agent.refused", "{" + describe(lease) + ",\"decision\":\"deny\"," + field("reason", agent.refusal()) + "}", lease.session);
  if (agent.is_spent() && !spent_before)
    trail_->tell("agent.signed", "{" + describe(lease) + ",\"decision\":\"allow\"," + field("method", agent.method()) + "}", lease.session);
  if (!board_->send_bytes(line, *reply)) return close_agent(line, "the session did not read");
  if (agent.is_spent()) close_agent(line, "used");
}

void Lending::close_agent(LineId line, const std::string& reason) {
  const auto found = agents_.find(line);
  if (found == agents_.end()) return;
  const std::string lease = std::move(found->second.lease);
  agents_.erase(found);
  board_->close(line);
  end(lease, reason);
}

void Lending::close_agents() {
  while (!agents_.empty()) close_agent(agents_.begin()->first, "the vault was sealed");
}

void Lending::end_session(const std::string& session, const std::string& reason) {
  std::vector<LineId> lines;
  for (const auto& [line, agent] : agents_)
    if (const auto lease = leases_.find(agent.lease); lease != leases_.end() && lease->second.session == session) lines.push_back(line);
  for (const LineId line : lines) close_agent(line, reason);
  std::vector<std::string> ids;
  for (const auto& [id, lease] : leases_)
    if (lease.session == session) ids.push_back(id);
  for (const std::string& id : ids) end(id, reason);
}

std::uint32_t Lending::count_for(const std::string& secret) const {
  return static_cast<std::uint32_t>(std::count_if(leases_.begin(), leases_.end(), [&](const auto& entry) { return entry.second.secret == secret; }));
}

}  // namespace sallyport::vault
