// policy/access/role.h -- roles: named sets of rules, and the bindings that give them to people and machines.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/access/file_rules.h"
#include "policy/access/tunnels.h"
#include "policy/identity/principal.h"

namespace date {
class time_zone;
}

namespace sallyport::policy {

/// What is asked for. `connect` is the session as such (may she reach this account at all); the others are channels.
enum class ChannelKind : std::uint8_t {
  connect, shell, exec, sftp, scp, rsync, subsystem, tunnel_local, tunnel_remote, tunnel_dynamic, tunnel_unix, jump,
  agent, x11, pty,
};
constexpr std::size_t k_channel_kinds = 15;
[[nodiscard]] std::string_view name_of(ChannelKind kind) noexcept;  ///< "tunnel-local"
/// The policy's and the control protocol's words; "tunnel-unix-remote" is tunnel_unix, "forwarded" is tunnel_remote.
[[nodiscard]] std::optional<ChannelKind> parse_channel_kind(std::string_view text) noexcept;

/// A set of channel kinds.
class KindSet {
 public:
  constexpr KindSet() = default;
  [[nodiscard]] static constexpr KindSet all() { KindSet s; s.bits_ = (1U << k_channel_kinds) - 1; return s; }
  constexpr void add(ChannelKind kind) { bits_ |= 1U << static_cast<unsigned>(kind); }
  constexpr void add(KindSet other) { bits_ |= other.bits_; }
  constexpr void remove(KindSet other) { bits_ &= ~other.bits_; }
  [[nodiscard]] constexpr bool has(ChannelKind kind) const { return ((bits_ >> static_cast<unsigned>(kind)) & 1U) != 0; }
  [[nodiscard]] constexpr bool intersects(KindSet other) const { return (bits_ & other.bits_) != 0; }
  [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }
  [[nodiscard]] constexpr std::uint32_t bits() const { return bits_; }
  constexpr bool operator==(const KindSet&) const = default;
  [[nodiscard]] std::string str() const;  ///< "shell, exec"

 private:
  std::uint32_t bits_ = 0;
};

enum class Bulk : std::uint8_t { hash, full, end };
/// What happens to a tunnel whose first bytes lead onward (SSH, RDP, VNC, a proxy) and that is not listed as a hop.
enum class Onward : std::uint8_t { deny, alert, approve };
enum class AdminRight : std::uint8_t { policy, lock, audit, view, secret, approve, input, retention, reveal };
[[nodiscard]] std::string_view name_of(AdminRight right) noexcept;
[[nodiscard]] std::optional<AdminRight> parse_admin_right(std::string_view text) noexcept;

/// A weekly window in local time; `from` > `to` runs over midnight and belongs to the day it starts on.
struct Hours {
  std::array<bool, 7> days{true, true, true, true, true, true, true};  ///< Monday first
  std::chrono::minutes from{0};
  std::chrono::minutes to{24 * 60};  ///< exclusive
  std::string zone_name;
  const date::time_zone* zone = nullptr;  ///< null: UTC
  [[nodiscard]] bool covers(WallTime moment) const;
};

/// What is given only after others agreed (YAML: `approval:` of a role, `approve:` of a rule).
struct Approval {
  std::string approvers;                 ///< group; empty: whoever has the admin right `approve`
  std::uint32_t count = 1;               ///< different people who have to agree, never the one who asks
  std::chrono::seconds within{600};      ///< how long a request waits for them
  std::chrono::seconds lasts{0};         ///< how long their answer is good for; 0: for the session that asked
  bool operator==(const Approval&) const = default;
};

/// Somebody else has to be there (YAML: `moderation:`).
struct Moderation {
  std::string moderators;            ///< group; never the one whose session it is
  std::chrono::seconds within{600};  ///< how long a session waits for the first of them
  std::chrono::seconds grace{0};     ///< how long it goes on when the last one has left
  bool take_over = false;            ///< they may take the keyboard
  bool operator==(const Moderation&) const = default;
};

/// One `allow` or `deny` entry. What is absent does not restrict.
struct Rule {
  KindSet channels;               ///< never empty once compiled
  bool every_channel = false;     ///< no `channels:` key: a deny then also stops the session as such
  std::vector<std::string> target_names;
  std::map<std::string, std::vector<std::string>> target_labels;  ///< all keys must match, any value of each
  bool every_target = true;
  std::vector<std::string> accounts;
  bool up = true;    ///< directions, for sftp, scp and rsync
  bool down = true;
  bool has_files = false;
  std::vector<FileRule> files;  ///< longest prefix first; in a deny rule the flags say what is refused
  bool has_tunnels = false;
  std::vector<TunnelPattern> tunnels;
  std::vector<std::string> env;
  std::vector<Network> networks;
  std::vector<Hours> hours;
  std::optional<std::chrono::seconds> mfa_within;
  bool security_key = false;  ///< the login's key is one of hardware (sk-ssh-..., a passkey)
  std::optional<std::chrono::seconds> max_duration;
  std::optional<std::chrono::seconds> idle_timeout;
  std::optional<std::uint32_t> max_sessions;
  std::optional<Bulk> bulk;
  std::optional<Onward> onward;
  std::optional<Approval> hold;  ///< each write, change and tunnel that it gives waits until others agree
  Place place;
};

struct GuardBlock;

struct Role {
  std::string name;
  std::vector<Rule> allow;
  std::vector<Rule> deny;
  std::vector<AdminRight> admin;
  std::optional<Approval> approval;  ///< what `allow` gives counts only while an approval stands
  std::optional<Moderation> moderation;  ///< what `allow` gives counts only while a moderator is present
  std::vector<std::shared_ptr<const GuardBlock>> guard;  ///< rules for the command guard, see guard_block.h
  Place place;
};

struct Binding {
  std::string name;  ///< may be empty; by it the admin API knows a binding however it is changed
  std::string role;
  std::vector<std::string> groups;
  std::vector<PrincipalId> principals;
  std::optional<WallTime> expires;
  Place place;
};

}  // namespace sallyport::policy
