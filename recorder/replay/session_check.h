// recorder/replay/session_check.h -- one session's entries and heads, checked as they come by.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "recorder/replay/checked_tree.h"
#include "recorder/replay/clock_watch.h"
#include "recorder/replay/session_opener.h"
#include "recorder/replay/verify.h"

namespace sallyport::replay {

class SessionCheck {
 public:
  /// `unwrap` may be empty; it and `report` must outlive this object. `report` gets findings whose session and place are
  /// still to be filled in.
  SessionCheck(const seal::Label& label, const decltype(VerifyOptions::unwrap)& unwrap, std::function<void(Finding)> report)
      : label_(label), unwrap_(&unwrap), report_(std::move(report)) {}

  /// `leaf`: its hash in the session's tree.
  void take(const StoredEntry& entry, const crypto::Hash256& leaf);
  void take(const SessionHead& head);
  /// Nothing more of it comes. `signed_leaves`: leaves of the node log under a right checkpoint.
  [[nodiscard]] SessionVerdict finish(std::uint64_t signed_leaves, bool is_live, bool can_tell_live);

  /// Tells the moves of the wall clock: findings, and as `notices` those that the log owns up to. Before finish().
  void judge_clock(const ClockWatch& watch, std::vector<std::string>& notices);
  [[nodiscard]] std::uint64_t entries() const noexcept { return last_sequence_; }

 private:
  void find(std::string kind, std::uint64_t first, std::uint64_t last, std::int64_t since_us, std::string text);
  bool follows(const StoredEntry& entry);
  void check_content(const StoredEntry& entry);
  void check_opened(const StoredEntry& entry, ByteView body);
  void settle_line(const StoredEntry& entry, ByteView body);
  void start_opening(const StoredEntry& entry);

  struct TypedEntry {
    Bytes whole;
    crypto::Tag previous{};
  };

  seal::Label label_;
  const decltype(VerifyOptions::unwrap)* unwrap_;
  std::function<void(Finding)> report_;
  CheckedTree tree_;
  std::uint64_t last_sequence_ = 0;
  crypto::Tag previous_{};
  bool previous_known_ = true;
  bool broken_ = false;  ///< the tree cannot be compared with heads any more; said already
  bool has_end_ = false;
  std::int64_t last_wall_us_ = 0;
  std::int64_t uncovered_since_us_ = 0;
  std::uint32_t segment_ = 0;
  std::optional<SessionHead::Why> final_head_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> heads_;  ///< leaf, entries
  std::uint64_t findings_ = 0;
  ClockRuns clock_;

  std::optional<SessionOpener> opener_;
  bool seals_checked_ = false;
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::vector<TypedEntry>> typed_;
  std::size_t typed_bytes_ = 0;
  std::map<std::pair<std::uint32_t, int>, std::uint64_t> offsets_;
};

}  // namespace sallyport::replay
