// policy/access/matching.h -- one rule against one question. For the engine only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/access/compiled.h"
#include "policy/access/request.h"
#include "policy/access/snapshot.h"

namespace sallyport::policy {

/// The conditions of a rule in the order in which they are judged. A refusal speaks of the allow rule that got furthest.
enum class Stage : std::uint8_t { target, account, channel, direction, tunnel, expired, network, hours, factor, security_key, sessions, matched };

[[nodiscard]] bool is_tunnel(ChannelKind kind);
[[nodiscard]] bool is_file_channel(ChannelKind kind);

/// The request with everything looked up once.
struct Question {
  Question(const Snapshot& policy, const AccessRequest& asked) : snapshot(policy), request(asked), kind(asked.kind), command(asked.command) {}
  const Snapshot& snapshot;
  const AccessRequest& request;
  const Principal* principal = nullptr;
  std::uint32_t principal_id = 0;
  const Target* target = nullptr;
  std::uint32_t target_id = 0;
  std::uint32_t account_id = 0;
  ChannelKind kind = ChannelKind::connect;
  std::string host;         ///< canonical
  std::string socket_path;  ///< normalised
  std::string replaced_command;
  std::string_view command;
  std::optional<WallTime> second_factor;
  bool has_security_key = false;
  WallTime factor_reference{};
};

/// A rule as it stands against a question.
struct Match {
  Stage stage = Stage::target;
  bool onward_hop_listed = false;  ///< the tunnel's destination is an explicit host:22
};

[[nodiscard]] Match match(const CompiledRule& compiled, const Grant& grant, const Question& q);

/// Does this deny rule leave the channel open but take rights on paths or in one direction?
[[nodiscard]] bool strips_files(const CompiledRule& compiled, const Grant& grant, const Question& q);

[[nodiscard]] Decision refuse(std::string code, std::string why);
/// The refusal when no allow rule matched; `stage` is how far the best one got.
[[nodiscard]] Decision refuse_at(Stage stage, const Question& q);
[[nodiscard]] RuleReference reference_of(const Question& q, const CompiledRule& rule);
/// Says for the trace why a rule did not match.
[[nodiscard]] std::string why_not(Stage stage, const CompiledRule& compiled, const Grant& grant, const Question& q);

/// Adds up the file rules: allowed by what some rule grants and no deny rule takes, path by path.
void merge_files(const std::vector<const Rule*>& allows, const std::vector<const Rule*>& strips, Obligations& obligations);
/// The strictest limits and all the env patterns.
void merge_limits(const Rule& rule, Obligations& obligations);

}  // namespace sallyport::policy
