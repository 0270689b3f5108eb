// gateway/listener/admission.h -- how many connections that have proven nobody may stand, and who makes room.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "platform/model/ip.h"

namespace sallyport::gateway {

using Ticket = std::uint64_t;  ///< one accepted connection; later ones have greater numbers
using Moment = std::chrono::duration<std::int64_t, std::milli>;  ///< on the boot clock

struct AdmissionLimits {
  std::size_t max_unproven = 1024;
  std::size_t drop_from = 512;
  std::size_t max_per_source = 256;
};

struct Admitted {
  enum class Answer { yes, refused };
  Answer answer = Answer::yes;
  Moment not_before{};           ///< yes, but it is served only then: its source has failed lately
  std::optional<Ticket> victim;  ///< must be ended first: it is no longer counted
};

/// Pure state, no clock and no randomness of its own.
///
/// A source at its limit loses its own oldest unproven connection. From `drop_from` on, with a probability that rises
/// from 0 to 1 at `max_unproven`, an older unproven connection makes room: the oldest of a source that holds an eighth
/// of all or more, else one of the older half, drawn at random. The newcomer is never the one that is dropped: a flood
/// that merely stands would keep everybody out, and a login that proceeds is among the younger half until it is proven.
///
/// A source with a penalty is held back until the penalty's end, up to 10 s and 16 connections; beyond, and after a
/// crash, it is refused.
class Admission {
 public:
  explicit Admission(AdmissionLimits limits = {}) : limits_(limits) {}
  void set_limits(AdmissionLimits limits) noexcept { limits_ = limits; }

  /// Counts `ticket` unless it is refused. `random` is uniform over all 64 bit values.
  Admitted admit(Ticket ticket, const IpAddress& source, Moment now, std::uint64_t random);
  /// Counts a connection that stood before (after the process executed itself anew).
  void restore(Ticket ticket, const IpAddress& source);
  /// Proven or gone: it no longer counts. Unknown tickets are fine.
  void forget(Ticket ticket);

  /// New connections of `source` wait until `until`; never shortens a penalty.
  void penalise(const IpAddress& source, Moment until, Moment now);
  /// A session of this source died as an attacked one does: refused for 5 s, doubled at each repetition up to 5 min.
  /// Gives the length.
  Moment penalise_crash(const IpAddress& source, Moment now);
  [[nodiscard]] bool has_penalty(const IpAddress& source, Moment now) const;

  struct Penalty {
    Moment hold_until{};
    Moment refuse_until{};
    Moment crash_length{};  ///< of the last crash; 0: none yet
    [[nodiscard]] Moment end() const noexcept { return hold_until > refuse_until ? hold_until : refuse_until; }
  };
  [[nodiscard]] const std::map<IpAddress, Penalty>& penalties() const noexcept { return penalties_; }
  void restore_penalty(const IpAddress& source, Penalty penalty) { penalties_[source] = penalty; }

  [[nodiscard]] std::size_t unproven() const noexcept { return by_ticket_.size(); }
  [[nodiscard]] std::size_t unproven_of(const IpAddress& source) const;

 private:
  [[nodiscard]] std::optional<Ticket> victim_for(const IpAddress& source, std::uint64_t random) const;
  void make_room_for_penalty(Moment now);

  AdmissionLimits limits_;
  std::map<Ticket, IpAddress> by_ticket_;
  std::map<IpAddress, std::set<Ticket>> by_source_;
  std::map<IpAddress, Penalty> penalties_;
};

}  // namespace sallyport::gateway
