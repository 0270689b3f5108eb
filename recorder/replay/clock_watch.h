// recorder/replay/clock_watch.h -- was the wall clock moved, and does the log own up to it?
//
// Wall clock minus boot clock is one number for the whole machine: it changes when somebody sets the clock, and when the
// machine starts anew. Audit events carry both clocks, and so does every entry. The gateway says `clock.stepped` when its
// clock was set: what fits such a step is a notice, and every other change is a finding.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "recorder/replay/frames.h"

namespace sallyport::replay {

/// A stretch of entries, or of audit events, over which the difference of the two clocks stood still.
struct ClockRun {
  std::uint64_t first = 0, last = 0;  ///< entries, or leaves
  std::int64_t first_boot_us = 0, last_boot_us = 0;
  std::int64_t offset_us = 0;  ///< wall minus boot clock, at its first
  std::int64_t lowest_us = 0, highest_us = 0;
  std::int64_t wall_before_us = 0;  ///< of what stood before it: nothing is proven since; 0: it is the first
};

/// Cuts a row of moments into runs: each is compared with the first of its run, so that a slow drift is seen like a jump.
class ClockRuns {
 public:
  void take(std::uint64_t number, std::int64_t wall_us, std::int64_t boot_us, bool begins_anew = false);
  [[nodiscard]] const std::vector<ClockRun>& runs() const noexcept { return runs_; }
  /// More changes than are kept: the newest stand in the last run.
  [[nodiscard]] bool is_full() const noexcept { return runs_.size() >= k_most; }

 private:
  static constexpr std::size_t k_most = 1000;
  std::vector<ClockRun> runs_;
  std::int64_t last_wall_us_ = 0;
};

class ClockWatch {
 public:
  struct Move {
    std::uint64_t at = 0;  ///< entry or leaf, the first by the other clock
    std::uint64_t until = 0;
    std::int64_t by_us = 0;
    std::int64_t since_us = 0;
    bool explained = false;
    bool from_the_log = false;  ///< not moved within the session: the session's clock is another than the log's
  };

  void take(const AuditEvent& event);
  /// When all events were taken. Moves of the node's own clock that nothing explains.
  [[nodiscard]] std::vector<Move> judge_log();
  /// After judge_log(): the moves within a session.
  [[nodiscard]] std::vector<Move> judge(const ClockRuns& session) const;

 private:
  struct Step {
    std::uint64_t leaf = 0;
    std::int64_t by_us = 0;
    std::int64_t boot_us = 0;  ///< when the gateway saw it
  };
  /// What the difference of the clocks was, and from when to when by the boot clock.
  struct Level {
    std::int64_t offset_us = 0;
    std::int64_t from_us = 0, to_us = 0;
    bool explained = true;
  };
  struct Start {
    std::uint64_t leaf = 0;
    std::int64_t boot_us = 0;
  };
  [[nodiscard]] const Step* step_near(const ClockRun& run, std::int64_t moved_us, bool started) const;
  [[nodiscard]] bool started_in(const ClockRun& run) const;
  [[nodiscard]] const Level* level_of(const ClockRun& run) const;
  [[nodiscard]] std::int64_t from_nearest_level(std::int64_t offset_us) const;

  ClockRuns log_;
  std::vector<Step> steps_;
  std::vector<Start> starts_;
  std::vector<Level> levels_;
};

}  // namespace sallyport::replay
