// app/verbs/past_decisions.h -- the decisions that stand in a journal, made again.
#pragma once

#include <boost/json/fwd.hpp>
#include <boost/json/array.hpp>
#include <chrono>
#include <filesystem>
#include <string>

#include "platform/model/result.h"
#include "policy/access/history.h"

namespace sallyport::app {

struct Replayed {
  std::uint64_t decisions = 0;     ///< judged
  std::uint64_t not_replayed = 0;  ///< without their input, or sealed
  std::uint64_t sealed = 0;        ///< of these: who asks may not unseal their commands
  std::uint64_t differ = 0;
  boost::json::array rows;         ///< the first thousand that differ
  bool complete = true;            ///< false: the time was over before the journal was
};

/// Decisions since `since_us` under `policy`, for at most `budget`. Errc::not_found: no journal there.
[[nodiscard]] Result<Replayed> replay_decisions(const std::filesystem::path& journal, std::shared_ptr<const policy::Snapshot> policy, std::int64_t since_us,
                                                policy::History::Unwrap unwrap, std::chrono::seconds budget = std::chrono::hours(24));
/// Each decision under the policy that was in force: `version_of` gives it (null: not kept any more).
[[nodiscard]] Result<Replayed> check_decisions(const std::filesystem::path& journal,
                                               const std::function<std::shared_ptr<const policy::Snapshot>(std::int64_t version)>& version_of,
                                               policy::History::Unwrap unwrap);
/// "7 decisions, 1 differs:" and a line for each.
[[nodiscard]] std::string text_of(const Replayed& replayed);

}  // namespace sallyport::app
