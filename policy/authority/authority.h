// policy/authority/authority.h -- what the parts of the authority share. One thread, one loop.
//
// The parts: SessionLinks (who said what, is it legal), Logins, Targets (dial, grant, credentials), Channels, Jumps,
// LiveSessions (judge again, cut, end), SelfServiceDesk, Administration. None keeps a pointer to a Session across a wait:
// they keep its label and look it up again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "platform/crypto/random.h"
#include "platform/model/clock.h"
#include "platform/model/messages.h"
#include "platform/model/settings.h"
#include "policy/access/engine.h"
#include "policy/authority/deadlines.h"
#include "policy/authority/event_json.h"
#include "policy/authority/host_certificates.h"
#include "policy/authority/journal_client.h"
#include "policy/authority/policy_clock.h"
#include "policy/authority/session.h"
#include "policy/authority/store.h"
#include "policy/authority/vault_client.h"
#include "policy/authority/workers.h"
#include "policy/fleet/address_rules.h"
#include "policy/identity/throttle.h"

namespace sallyport::authority {

class Logins;
class Targets;
class Channels;
class Jumps;
class LiveSessions;
class SelfServiceDesk;
class Requests;
class Moderation;
class Tokens;
class SessionLinks;
struct SignOn;
class WebTerminals;
class GlassDesk;

struct Authority {
  Authority(boost::asio::io_context& io, Clock& clock, crypto::Random& random);
  ~Authority();

  boost::asio::io_context& io;
  Clock& clock;
  crypto::Random& random;
  Settings settings;
  Deadlines deadlines;
  PolicyClock policy_clock;  ///< the wall time that decisions are made by
  Workers hashing;
  Workers resolving;
  JournalClient journal;
  VaultClient vault;
  HostCertificates host_certificates;
  std::unique_ptr<LinkPort> listener;
  std::unique_ptr<Store> store;

  std::shared_ptr<const policy::Snapshot> snapshot;
  policy::Locks locks;
  std::int64_t policy_version = 0;  ///< 0: none was ever applied
  std::uint64_t generation = 1;     ///< counts every change of snapshot or locks
  policy::Throttle throttle;
  std::map<std::string, std::int64_t> totp_steps;

  std::unordered_map<std::string, std::unique_ptr<Session>> sessions;
  std::vector<policy::Listener> listeners;      ///< the gateway's own, never to be dialled
  std::vector<IpAddress> own_addresses;
  std::int64_t last_serial = 0;
  std::string boot_id;
  bool stopping = false;
  /// Has the keeper start a helper that reads recordings, with its end of a socket. Empty: they are this process's own to read.
  std::function<void(const std::string& verb, int socket)> start_desk;

  std::unique_ptr<Logins> logins;
  std::unique_ptr<Targets> targets;
  std::unique_ptr<Channels> channels;
  std::unique_ptr<Jumps> jumps;
  std::unique_ptr<LiveSessions> live;
  std::unique_ptr<Requests> requests;
  std::unique_ptr<Moderation> moderation;
  std::unique_ptr<Tokens> tokens;
  std::unique_ptr<SignOn> sign_on;
  std::unique_ptr<WebTerminals> web_terminals;
  std::unique_ptr<GlassDesk> glass;
  std::unique_ptr<SelfServiceDesk> self_service;
  std::unique_ptr<SessionLinks> session_links;

  /// nullptr when there is none.
  [[nodiscard]] Session* find(const std::string& label) const;
  [[nodiscard]] WallTime now() const { return policy_clock.now(); }
  [[nodiscard]] std::int64_t now_us() const { return clock.wall().time_since_epoch().count(); }

  /// An event of `session` with the fields that every one of its events has.
  [[nodiscard]] EventJson event_of(const Session& session) const;
  void note(const Session& session, std::string name, const EventJson& json) { journal.append(std::move(name), json.str(), session.label); }
  /// A fact of the gateway itself.
  void note(std::string name, const EventJson& json) { journal.append(std::move(name), json.str(), {}); }

  /// Groups of the policy that a directory puts this principal into now, beside those that the policy lists.
  [[nodiscard]] std::vector<std::string> groups_of(std::string_view principal) const;
  /// What every access request of this session has in common.
  [[nodiscard]] policy::AccessRequest request_of(const Session& session) const;
  [[nodiscard]] policy::Decision decide(const policy::AccessRequest& request) const {
    return policy::decide(*snapshot, locks, request);
  }
  void tell_listener(control::Envelope envelope);
};

[[nodiscard]] control::Refusal refusal_of(const Notice& notice);

}  // namespace sallyport::authority
