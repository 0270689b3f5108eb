// policy/access/request.h -- the question and the answer of every access decision.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "platform/model/clock.h"
#include "platform/model/ip.h"
#include "policy/access/role.h"

namespace sallyport::policy {

/// Key and certificate are one kind of factor: two of them are still one. A sign-on is the word of an identity provider.
enum class FactorKind : std::uint8_t { key, certificate, password, totp, sign_on, passkey };
[[nodiscard]] std::string_view name_of(FactorKind kind) noexcept;
[[nodiscard]] std::optional<FactorKind> parse_factor_kind(std::string_view text) noexcept;

struct ProvenFactor {
  FactorKind kind = FactorKind::key;
  WallTime proven{};
  bool user_verified = false;  ///< sk key with PIN or biometry, sign-on with a second factor there: counts as two factors
  bool hardware = false;       ///< the key cannot leave its device, as the device says
};

/// When the login became one of two factors: the time of the newest second factor. Empty: one factor only.
[[nodiscard]] std::optional<WallTime> second_factor_time(const std::vector<ProvenFactor>& factors);

/// What a user certificate allows at most (PROTOCOL.certkeys).
struct CertificateLimits {
  std::string force_command;
  bool permit_pty = true;
  bool permit_port_forwarding = true;
  bool permit_agent_forwarding = true;
  bool permit_x11_forwarding = true;
};

/// A break-glass envelope that its principal has opened. It allows what no role does; what a role denies stays denied.
struct GlassGrant {
  std::string envelope;  ///< empty: none is open, and nothing else counts now (`alone`)
  std::vector<std::string> targets;
  std::vector<std::string> accounts;
  WallTime until{};
  bool alone = false;    ///< roles do not count: the gateway runs without its database
};

/// The engine has no clock and asks nobody: everything it may look at stands here.
struct AccessRequest {
  PrincipalId principal;
  std::vector<ProvenFactor> factors;
  std::optional<CertificateLimits> certificate;
  IpAddress source;
  TargetId target;
  AccountName account;  ///< empty for `jump`: any account of the target will do
  ChannelKind kind = ChannelKind::connect;
  bool up = false;    ///< scp, rsync: client to target
  bool down = false;  ///< scp, rsync: target to client; sftp asks with neither
  std::string command;  ///< exec, scp, rsync: as sent; subsystem: its name
  std::string host;     ///< tunnels
  std::uint16_t port = 0;
  std::string path;  ///< tunnel-unix: the socket
  WallTime now{};
  /// Set when something that is already open is judged again (policy change, lock, time passed): MFA freshness is then
  /// measured at this moment, and the number of parallel sessions is not judged.
  std::optional<WallTime> opened;
  std::chrono::seconds session_age{0};   ///< by the boot clock
  std::uint32_t parallel_sessions = 0;   ///< of this principal at this target and account, this one not counted
  std::vector<std::string> approvals;    ///< roles for which an approval stands now, for this principal, target and account
  std::vector<std::string> moderated;    ///< roles of which a moderator is present in the session now
  std::vector<std::string> groups;       ///< of the policy, beside those that it lists the principal in: what a directory says
  std::shared_ptr<const GlassGrant> glass;  ///< null: nothing of the kind
};

/// Comes with `allow`. Where several rules allow the same, what they grant adds up (files, tunnels, env) and the strictest
/// limit of them holds (durations; `end` before `full` before `hash`).
struct Obligations {
  bool file_rules_apply = false;  ///< false: no file rule, every path
  std::vector<FileRule> file_rules;  ///< longest prefix first
  std::vector<std::string> env;      ///< patterns of variables the client may set
  std::optional<std::chrono::seconds> max_duration;
  std::optional<std::chrono::seconds> idle_timeout;
  Bulk bulk = Bulk::hash;
  Onward onward = Onward::deny;
  bool onward_said = false;       ///< a rule names it
  std::optional<Approval> hold;   ///< who agrees to what is held: file_rules say which files
  bool hold_tunnel = false;       ///< this tunnel waits for them
  bool sniff_onward_hop = true;   ///< tunnels: an SSH banner ends it; false where the policy lists the hop
  /// The command guard's compiled rules (guard::RuleSet::from_bytes); null: nothing is judged.
  std::shared_ptr<const std::vector<std::byte>> guard_rules;
  std::string replaced_command;   ///< the certificate's force-command, to be run instead of what was asked
};

enum class Outcome : std::uint8_t { allow, deny, ask };

/// Which rule decided; empty role: none did (default deny, a lock, an expired principal).
struct RuleReference {
  std::string role;
  bool is_deny = false;
  std::uint32_t index = 0;  ///< within the role's allow or deny list
  Place place;
  std::string envelope{};  ///< instead of a role: a break-glass envelope
  [[nodiscard]] std::string str() const;  ///< "role operator, allow 1 (roles.yaml:12)"
};

struct Decision {
  Outcome outcome = Outcome::deny;
  std::string code;  ///< "SP-2001" when not allowed
  std::string why;   ///< one sentence for the person
  RuleReference rule;
  Obligations obligations;                ///< meaningful when allowed
  bool second_factor_would_help = false;  ///< denied only for want of a (fresh) second factor
  Approval approval;                      ///< outcome `ask`: who has to agree; `rule` names the role
  std::optional<Moderation> moderation;   ///< outcome `ask`: not an answer, but the presence of one of these is waited for
  [[nodiscard]] bool allowed() const noexcept { return outcome == Outcome::allow; }
};

}  // namespace sallyport::policy
