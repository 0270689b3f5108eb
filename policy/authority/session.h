// policy/authority/session.h -- what the authority knows about one session process, from its kit to its end.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "platform/seal/mask.h"
#include "platform/control/state_table.h"
#include "policy/access/request.h"
#include "policy/access/request_text.h"
#include "policy/authority/link_port.h"
#include "policy/authority/rows.h"
#include "policy/identity/login.h"

namespace sallyport::authority {

/// A channel that was allowed and not closed since, with the questions it was allowed for (a shell, then agent forwarding ...).
struct OpenChannel {
  std::vector<policy::AccessRequest> requests;
  std::string decision;  ///< id of the first event
  bool cut = false;      ///< told to end; waits for ChannelClosed
  std::string guard;     ///< hash of the guard rules it was told
  /// What the session was told of its file rules; empty: this authority has not told it anything yet.
  std::optional<std::vector<policy::FileRule>> files;
};

/// What was granted together with the target's socket.
struct Grant {
  std::vector<std::string> host_keys;  ///< blobs that were pinned
  std::vector<std::string> host_cas;
  std::vector<std::string> host_names;
  std::vector<std::string> keys;       ///< vault secrets, in order; each is lent once
  std::vector<std::string> passwords;
  std::size_t keys_lent = 0;
  std::size_t passwords_lent = 0;
  bool has_certificate = false;
  std::string verified_host_key;       ///< the one the session reported and we found in the grant
};

/// Plain state. The handlers of the authority (logins, targets, channels, jumps, live sessions) work on it.
struct Session {
  std::shared_ptr<const seal::MaskSet> mask;  ///< what was lent to the principal: not to be written into events either; null: not known
  unsigned masks_asked = 0;                   ///< questions about it that the vault has not answered yet
  std::vector<std::function<void()>> when_masked;  ///< what waits for the answer
  std::string label;
  control::SessionState state = control::SessionState::kit;
  std::unique_ptr<LinkPort> link;  ///< null once the process is gone
  SessionRow row;
  IpAddress source;
  BootTime started{};
  std::uint16_t inner_port = 0;

  // Login.
  std::string exchange_hash;  ///< first one the vault signed for this session
  std::unique_ptr<policy::Login> login;
  bool attempt_running = false;
  control::Envelope attempt_question;  ///< call number to answer to
  Deadlines::Handle grace = 0;
  unsigned factors_seen = 0;
  std::string first_user;       ///< of the first attempt: an invite's code and a name are not mixed
  std::string invite;           ///< it came by this invite: it may enrol, and nothing else
  std::string invite_key;       ///< the key that it proved, a line
  unsigned invite_failures = 0;

  // Once logged in.
  std::optional<policy::LoginIdentity> identity;
  bool restored = false;  ///< the authority was restarted under it
  std::optional<WallTime> opened;  ///< the target was granted
  std::optional<Grant> grant;
  unsigned dials = 0;
  std::map<std::uint32_t, OpenChannel> channels;
  Deadlines::Handle longest = 0;  ///< the role's max_duration
  std::optional<std::chrono::seconds> max_duration;  ///< as granted, or told since
  std::optional<std::chrono::seconds> idle_timeout;
  std::uint64_t limits_of = 0;    ///< generation of the policy they come from; 0: what the session holds is not known

  // Jumps.
  std::set<std::string> inner;
  std::uint32_t jumps_in_second = 0;
  BootTime jump_second{};

  // End.
  Deadlines::Handle kill = 0;
  bool exited = false;  ///< the listener has reaped it
  std::string killed_for;  ///< why the listener killed it
  bool ended = false;   ///< session.ended was written

  [[nodiscard]] bool is_logged_in() const noexcept { return identity.has_value(); }
  [[nodiscard]] bool has_target() const noexcept { return identity && !identity->bare && identity->problem_code.empty(); }
};

using policy::decode_certificate;
using policy::decode_factors;
using policy::encode_certificate;
using policy::encode_factors;

/// The identity as the database kept it.
[[nodiscard]] policy::LoginIdentity identity_of(const SessionRow& row);
void remember_identity(SessionRow& row, const policy::LoginIdentity& identity);

}  // namespace sallyport::authority
