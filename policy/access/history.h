// policy/access/history.h -- past decisions, read back from the audit log and made again under another policy.
//
// Pure: whoever calls reads the journal and hands in event by event, in their order. Locks are followed on the way, so that each decision
// is made again under the locks of its moment. What was done with what a decision had opened is judged again as well: the command of an
// exec by the guard's rules (without what the shell had learned meanwhile; typed lines depend on that and are not taken), a file that was
// opened or refused by the file rules.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/json_text.h"
#include "platform/seal/sealed_text.h"
#include "policy/access/engine.h"
#include "policy/access/file_rules.h"

namespace sallyport::policy {

/// What was done, or refused, in a channel that a decision had opened.
struct PastAct {
  enum class Kind : std::uint8_t { command, file };
  Kind kind = Kind::command;
  std::string text;  ///< the command, or the path
  FileOperation operation = FileOperation::down;
};

struct PastDecision {
  std::string event;    ///< id
  std::string session;
  std::int64_t at_us = 0;
  std::int64_t policy_version = 0;
  AccessRequest request;
  std::optional<PastAct> act;  ///< `request` is then the channel's
  std::string verdict;  ///< allow, deny, ask; of a command the guard's: allow, alert, confirm, approve, deny, kill
  std::string code;
};

struct Differing {
  PastDecision past;
  Decision now;
  std::string verdict;  ///< that it would be now
};

/// allow, deny or ask.
[[nodiscard]] std::string_view verdict_of(const Decision& decision) noexcept;

class History {
 public:
  using Unwrap = seal::TextKeys::Unwrap;

  History() = default;
  /// Each key is asked for once, and only for decisions from `since_us` on.
  explicit History(Unwrap unwrap, std::int64_t since_us = 0) : keys_(std::move(unwrap)), since_us_(since_us) {}

  /// One event of the journal. `take` is called when it is a decision that the engine made, with the locks of that moment.
  void feed(std::string_view name, std::string_view json, std::string_view id, std::string_view session, std::int64_t at_us,
            const std::function<void(const PastDecision&, const Locks&)>& take);

  [[nodiscard]] std::uint64_t decisions() const noexcept { return decisions_; }
  /// Decisions whose event does not hold their input: of an older program, withheld or shortened.
  [[nodiscard]] std::uint64_t not_replayed() const noexcept { return not_replayed_; }
  /// Decisions, from the given moment on, whose command nobody here opens.
  [[nodiscard]] std::uint64_t sealed() const noexcept { return sealed_; }

 private:
  using Take = std::function<void(const PastDecision&, const Locks&)>;
  struct Opened {
    PastDecision decision;
    std::shared_ptr<const Locks> locks;
  };
  void follow_lock(bool is_set, const JsonFields& fields);
  void follow_act(std::string_view name, const JsonFields& fields, std::string_view id, std::string_view session, std::int64_t at_us, const Take& take);
  void remember(const PastDecision& past, std::string_view channel);

  seal::TextKeys keys_;
  std::int64_t since_us_ = 0;
  std::uint64_t sealed_ = 0;

  std::map<std::string, Lock> locks_;
  std::shared_ptr<const Locks> compiled_ = std::make_shared<const Locks>();
  std::map<std::string, Opened, std::less<>> commands_;   ///< "SESSION CHANNEL": an exec that runs and was not judged yet
  std::map<std::string, Opened, std::less<>> transfers_;  ///< by session: the newest channel for files
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
  /// The guard's word on a command, or the file rules' on a path; `now` is changed to say why.
  [[nodiscard]] std::string judge_act(const PastAct& act, Decision& now);

  struct Guards;
  std::shared_ptr<Guards> guards_;  ///< rule sets that were read, by their bytes
  std::shared_ptr<const Snapshot> policy_;
  std::size_t most_;
  std::vector<Differing> differing_;
  std::uint64_t in_all_ = 0;
  std::uint64_t judged_ = 0;
};

}  // namespace sallyport::policy
