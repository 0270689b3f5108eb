// policy/access/history.h -- past decisions, read back from the audit log and made again under another policy.
//
// Pure: whoever calls reads the journal and hands in event by event, in their order. Locks are followed on the way, so that each decision
// is made again under the locks of its moment.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/access/engine.h"

namespace sallyport::policy {

struct PastDecision {
  std::string event;    ///< id
  std::string session;
  std::int64_t at_us = 0;
  std::int64_t policy_version = 0;
  AccessRequest request;
  std::string verdict;  ///< allow, deny, ask
  std::string code;
};

struct Differing {
  PastDecision past;
  Decision now;
};

/// allow, deny or ask.
[[nodiscard]] std::string_view verdict_of(const Decision& decision) noexcept;

class History {
 public:
  /// One event of the journal. `take` is called when it is a decision that the engine made, with the locks of that moment.
  void feed(std::string_view name, std::string_view json, std::string_view id, std::string_view session, std::int64_t at_us,
            const std::function<void(const PastDecision&, const Locks&)>& take);

  [[nodiscard]] std::uint64_t decisions() const noexcept { return decisions_; }
  /// Decisions whose event does not hold their input: of an older program, or sealed.
  [[nodiscard]] std::uint64_t not_replayed() const noexcept { return not_replayed_; }

 private:
  std::map<std::string, Lock> locks_;
  Locks compiled_;
  std::uint64_t decisions_ = 0;
  std::uint64_t not_replayed_ = 0;
};

/// Differences in the verdict (not in its words) between what was decided and what `policy` decides.
class Comparison {
 public:
  explicit Comparison(std::shared_ptr<const Snapshot> policy, std::size_t most = 1000) : policy_(std::move(policy)), most_(most) {}
  void judge(const PastDecision& past, const Locks& locks);
  [[nodiscard]] const std::vector<Differing>& differing() const noexcept { return differing_; }  ///< at most `most`
  [[nodiscard]] std::uint64_t differ_in_all() const noexcept { return in_all_; }
  [[nodiscard]] std::uint64_t judged() const noexcept { return judged_; }
  [[nodiscard]] bool has_policy() const noexcept { return policy_ != nullptr; }

 private:
  std::shared_ptr<const Snapshot> policy_;
  std::size_t most_;
  std::vector<Differing> differing_;
  std::uint64_t in_all_ = 0;
  std::uint64_t judged_ = 0;
};

}  // namespace sallyport::policy
