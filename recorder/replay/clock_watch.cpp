#include "recorder/replay/clock_watch.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "platform/model/json_text.h"

namespace sallyport::replay {
namespace {

constexpr std::int64_t k_ever = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t k_run_us = 1'000'000;        ///< a run ends when the clocks differ by more from its first moment
constexpr std::int64_t k_tolerance_us = 3'000'000;  ///< the gateway speaks up from 2 s on; and what a busy machine adds
constexpr std::int64_t k_late_us = 60'000'000;      ///< that much later than the step the gateway may have seen it
constexpr std::int64_t k_slack_us = 2'000'000;
constexpr std::size_t k_most_steps = 100'000;
constexpr std::uint8_t k_said_by_keeper = 1, k_said_by_authority = 3;

/// Hostile times must not overflow.
std::int64_t minus(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b)); }
std::int64_t plus(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b)); }
std::uint64_t magnitude(std::int64_t a) { return a < 0 ? 0 - static_cast<std::uint64_t>(a) : static_cast<std::uint64_t>(a); }
bool within(std::int64_t a, std::int64_t b, std::int64_t limit) {
  const std::int64_t apart = minus(a, b);
  return apart <= limit && apart >= -limit;
}

}  // namespace

void ClockRuns::take(std::uint64_t number, std::int64_t wall_us, std::int64_t boot_us, bool begins_anew) {
  const std::int64_t offset = minus(wall_us, boot_us);
  if (runs_.empty() || ((begins_anew || !within(offset, runs_.back().offset_us, k_run_us)) && runs_.size() < k_most)) {
    const std::int64_t before = runs_.empty() ? 0 : last_wall_us_;
    runs_.push_back({number, number, boot_us, boot_us, offset, offset, offset, before});
  }
  ClockRun& run = runs_.back();
  run.last = number;
  run.last_boot_us = boot_us;
  run.lowest_us = std::min(run.lowest_us, offset);
  run.highest_us = std::max(run.highest_us, offset);
  last_wall_us_ = wall_us;
}

void ClockWatch::take(const AuditEvent& event) {
  const bool is_step = event.source == k_said_by_authority && event.name == "clock.stepped";
  if (is_step && steps_.size() < k_most_steps) {
    const auto fields = JsonFields::parse(event.json);
    const std::int64_t by_ms = fields ? fields->number("by_ms").value_or(0) : 0;
    const std::int64_t seen = fields ? fields->number("wall_us").value_or(event.wall_us) : event.wall_us;
    // The event may have waited for the recorder: the moment of the look is told by the wall clock in it.
    const std::int64_t waited = minus(event.wall_us, seen);
    if (by_ms > -k_ever / 1000 && by_ms < k_ever / 1000)
      steps_.push_back({event.leaf, by_ms * 1000, minus(event.boot_us, std::clamp<std::int64_t>(waited, 0, 3'600'000'000))});
  }
  if (event.source == k_said_by_keeper && event.name == "keeper.started" && starts_.size() < k_most_steps) starts_.push_back({event.leaf, event.boot_us});
  log_.take(event.leaf, event.wall_us, event.boot_us, is_step);
}

/// The step that the gateway told where `run` begins.
const ClockWatch::Step* ClockWatch::step_near(const ClockRun& run, std::int64_t moved_us, bool started) const {
  for (const Step& step : steps_) {
    if (step.leaf < run.first || step.boot_us < minus(run.first_boot_us, k_slack_us) || step.boot_us > plus(run.first_boot_us, k_late_us)) continue;
    if (within(step.by_us, moved_us, k_tolerance_us)) return &step;
    // After a start the gateway compares with the latest moment that was kept before, which is a little old.
    if (started && moved_us < 0 && step.by_us < 0 && step.by_us >= minus(moved_us, k_tolerance_us)) return &step;
  }
  return nullptr;
}

/// Whether the gateway was started in the run's first minute.
bool ClockWatch::started_in(const ClockRun& run) const {
  return std::any_of(starts_.begin(), starts_.end(), [&](const Start& start) {
    return start.leaf >= run.first && start.boot_us >= minus(run.first_boot_us, k_slack_us) && start.boot_us <= plus(run.first_boot_us, k_late_us);
  });
}

std::vector<ClockWatch::Move> ClockWatch::judge_log() {
  std::vector<Move> found;
  const ClockRun* before = nullptr;
  for (const ClockRun& run : log_.runs()) {
    if (before == nullptr) {
      levels_.push_back({run.offset_us, -k_ever, k_ever, true});
      before = &run;
      continue;
    }
    const std::int64_t moved = minus(run.offset_us, levels_.back().offset_us);
    const bool started = started_in(run);
    const bool boot_fell = run.first_boot_us < minus(before->last_boot_us, k_slack_us);
    const Step* const step = step_near(run, moved, started);
    const bool new_boot = started && moved > 0;
    if (!boot_fell && within(run.lowest_us, levels_.back().offset_us, k_tolerance_us) && within(run.highest_us, levels_.back().offset_us, k_tolerance_us) && step == nullptr) {
      before = &run;
      continue;
    }
    const bool explained = step != nullptr || new_boot;
    if (!explained) found.push_back({run.first, run.last, moved, run.wall_before_us, false, false});
    const std::int64_t began = step != nullptr ? std::min(step->boot_us, run.first_boot_us) : run.first_boot_us;
    if (!boot_fell) levels_.back().to_us = step != nullptr ? std::max(step->boot_us, run.first_boot_us) : run.first_boot_us;
    levels_.push_back({run.offset_us, new_boot || boot_fell ? -k_ever : minus(began, k_late_us), k_ever, explained});
    before = &run;
  }
  return found;
}

const ClockWatch::Level* ClockWatch::level_of(const ClockRun& run) const {
  const Level* unexplained = nullptr;
  for (const Level& level : levels_) {
    if (!within(run.lowest_us, level.offset_us, k_tolerance_us) || !within(run.highest_us, level.offset_us, k_tolerance_us)) continue;
    if (run.first_boot_us < level.from_us || (level.to_us != k_ever && run.last_boot_us > plus(level.to_us, k_slack_us))) continue;
    if (level.explained) return &level;
    unexplained = &level;
  }
  return unexplained;
}

std::int64_t ClockWatch::from_nearest_level(std::int64_t offset_us) const {
  const auto nearest = std::min_element(levels_.begin(), levels_.end(), [&](const Level& a, const Level& b) {
    return magnitude(minus(offset_us, a.offset_us)) < magnitude(minus(offset_us, b.offset_us));
  });
  return minus(offset_us, nearest->offset_us);
}

std::vector<ClockWatch::Move> ClockWatch::judge(const ClockRuns& session) const {
  std::vector<Move> moves;
  const auto& runs = session.runs();
  bool was_wrong = false;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const ClockRun& run = runs[i];
    const Level* const level = level_of(run);
    if (i == 0) {
      was_wrong = level == nullptr || !level->explained;
      if (!levels_.empty() && level == nullptr) moves.push_back({run.first, run.last, from_nearest_level(run.offset_us), 0, false, true});
      continue;
    }
    const std::int64_t moved = minus(run.offset_us, runs[i - 1].offset_us);
    const bool is_still = within(moved, 0, k_tolerance_us);
    const bool comes_back = std::exchange(was_wrong, level == nullptr || !level->explained) && level != nullptr && level->explained;
    if (comes_back) continue;  // from a stretch that was told
    if (levels_.empty() ? is_still && within(run.offset_us, runs.front().offset_us, k_tolerance_us) : level != nullptr && is_still) continue;
    moves.push_back({run.first, run.last, moved, run.wall_before_us, level != nullptr && level->explained, false});
  }
  return moves;
}

}  // namespace sallyport::replay
