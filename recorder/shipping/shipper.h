// recorder/shipping/shipper.h -- carries the journal into an object store while it grows: each byte once, in order.
//
// The journal's files are the spool: what is not shipped yet stands there, durable already. What the shipper itself must not forget is one
// small state file: where it is, and the parcel it is about to send. That parcel is written down before it is sent, so whatever dies in
// between sends the same bytes under the same key again, which the store settles.
// One thread; calls of the store block. Nothing here may hold the recorder: it runs in a process of its own (shipping_service.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "platform/model/clock.h"
#include "recorder/shipping/object_store.h"
#include "recorder/shipping/parcel.h"

namespace sallyport::recorder {

/// "target:db-*=365d": sessions to such targets are kept that long. Also principal:, account: and role: (those of the login).
struct RetentionRule {
  std::string field;
  std::string pattern;  ///< '*' any text, '?' any character
  std::chrono::seconds keep{};
};
/// Errc::invalid names what is wrong.
[[nodiscard]] Result<RetentionRule> parse_retention_rule(std::string_view text);

struct ShipOptions {
  std::string journal_dir;
  std::string state_dir;  ///< its own
  std::string node;
  std::uint64_t parcel_bytes = 1024 * 1024;
  std::chrono::milliseconds parcel_every{2'000};
  std::uint64_t spool_bytes = 4ULL << 30;
  std::chrono::seconds keep{0};  ///< zero: no object lock
  bool compliance = false;
  std::vector<RetentionRule> rules;
  std::function<void(std::string_view point)> at;  ///< tests stop here; may be empty
};

struct ShipProgress {
  std::uint64_t file = 0, offset = 0;  ///< everything before is in the store
  std::uint64_t waiting_bytes = 0;     ///< durable and not there yet
  std::uint64_t parcels = 0;           ///< sent by this process
  std::string trouble;                 ///< why the store does not take the next one; empty: it does
  unsigned spool_percent = 0;
};

class Shipper {
 public:
  using Say = std::function<void(std::string_view event, const std::string& session, const std::string& json)>;

  /// Reads its state. Errc::corrupt: the state file is not right; Errc::unavailable.
  [[nodiscard]] static Result<Shipper> open(ShipOptions options, ObjectStore& store, Clock& clock, Say say);

  /// Everything before that position of the journal is on disk for good.
  void durable_up_to(std::uint64_t file, std::uint64_t offset);
  /// Sessions under legal hold: objects with entries of them are put under it.
  void hold(const std::vector<std::string>& sessions) { held_ = {sessions.begin(), sessions.end()}; }
  /// Sends at most one parcel. How long to wait before the next call.
  [[nodiscard]] std::chrono::milliseconds step();
  /// The orderly end: what is there goes out without waiting for its time. False: some is left, the store does not take it.
  bool finish(std::chrono::milliseconds within);
  [[nodiscard]] const ShipProgress& progress() const noexcept { return progress_; }

 private:
  struct Intent {
    ParcelSpan span;
    std::int64_t wall_us = 0;
  };
  struct Lane {
    std::chrono::seconds keep{};
    Parcel parcel;
    bool is_held = false;
  };
  struct Note {
    std::uint64_t size = 0;
    std::string text;
  };
  Shipper(ShipOptions options, ObjectStore& store, Clock& clock, Say say);
  Result<void> load();
  Result<void> save();
  void measure();
  Result<std::optional<ParcelSpan>> plan(bool now);
  Result<void> send();
  Result<void> sort_frames(ByteView bytes, std::vector<Lane>& lanes, std::vector<Note>& notes);
  void take_login(ByteView payload);
  [[nodiscard]] std::chrono::seconds keep_of_entries(ByteView payload);
  [[nodiscard]] std::chrono::seconds longest_keep() const;
  void announce_expiries();
  void reach(std::string_view point) const {
    if (options_.at) options_.at(point);
  }

  ShipOptions options_;
  ObjectStore* store_;
  Clock* clock_;
  Say say_;
  std::uint64_t file_ = 1, offset_ = 0;
  std::optional<Intent> intent_;
  bool may_be_there_ = false;  ///< the present parcel was tried before
  std::set<std::string> held_;
  std::map<std::string, std::chrono::seconds> sessions_;  ///< live ones, where rules decide
  std::map<std::string, std::optional<std::chrono::seconds>> logins_;  ///< whose session has not begun: the time of the role rules that fit, if any
  std::vector<std::pair<std::string, std::chrono::seconds>> begun_;  ///< sessions whose first entry is in the present parcel
  std::map<std::chrono::seconds, std::int64_t> first_expiry_;  ///< by class: when the first object of it may go
  std::int64_t announced_us_ = 0;
  std::uint64_t durable_file_ = 0, durable_offset_ = 0;
  std::optional<BootTime> waiting_since_;
  BootTime next_try_{};
  std::chrono::milliseconds pause_{0};
  ShipProgress progress_;
  unsigned told_percent_ = 0;
  bool told_trouble_ = false;
  bool told_no_hold_ = false;
};

/// Shell-like: '*' and '?'.
[[nodiscard]] bool matches_pattern(std::string_view pattern, std::string_view text);

}  // namespace sallyport::recorder
