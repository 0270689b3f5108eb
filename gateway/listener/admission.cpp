#include "gateway/listener/admission.h"

#include <algorithm>
#include <iterator>

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_max_penalties = 16'384;
constexpr Moment k_first_crash_penalty{5'000};
constexpr Moment k_longest_crash_penalty{300'000};
constexpr Moment k_longest_hold{10'000};
constexpr std::size_t k_max_held = 16;   ///< connections of one source while it has a penalty
constexpr std::size_t k_busy_share = 8;  ///< a source with 1/8 of all unproven connections is the first to give

}  // namespace

Admitted Admission::admit(Ticket ticket, const IpAddress& source, Moment now, std::uint64_t random) {
  Moment not_before{};
  const auto penalty = penalties_.find(source);
  if (penalty != penalties_.end() && penalty->second.end() > now) {
    const bool can_wait = penalty->second.refuse_until <= now && penalty->second.hold_until - now <= k_longest_hold;
    if (!can_wait || unproven_of(source) >= k_max_held) return Admitted{Admitted::Answer::refused, {}, {}};
    not_before = penalty->second.hold_until;
  }
  Admitted admitted{Admitted::Answer::yes, not_before, victim_for(source, random)};
  if (admitted.victim) forget(*admitted.victim);
  restore(ticket, source);
  return admitted;
}

void Admission::restore(Ticket ticket, const IpAddress& source) {
  by_ticket_.emplace(ticket, source);
  by_source_[source].insert(ticket);
}

void Admission::forget(Ticket ticket) {
  const auto found = by_ticket_.find(ticket);
  if (found == by_ticket_.end()) return;
  const auto group = by_source_.find(found->second);
  group->second.erase(ticket);
  if (group->second.empty()) by_source_.erase(group);
  by_ticket_.erase(found);
}

std::optional<Ticket> Admission::victim_for(const IpAddress& source, std::uint64_t random) const {
  const auto own = by_source_.find(source);
  if (own != by_source_.end() && own->second.size() >= limits_.max_per_source) return *own->second.begin();

  const std::size_t total = by_ticket_.size();
  if (total < limits_.drop_from || total == 0) return std::nullopt;
  const std::size_t span = limits_.max_unproven > limits_.drop_from ? limits_.max_unproven - limits_.drop_from : 1;
  const bool full = total >= limits_.max_unproven;
  if (!full && random % span >= total - limits_.drop_from) return std::nullopt;

  const auto busiest = std::max_element(by_source_.begin(), by_source_.end(),
                                        [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  if (busiest->second.size() > 1 && busiest->second.size() * k_busy_share >= total) return *busiest->second.begin();
  const std::size_t older_half = std::max<std::size_t>(total / 2, 1);
  return std::next(by_ticket_.begin(), static_cast<std::ptrdiff_t>((random >> 32) % older_half))->first;
}

void Admission::penalise(const IpAddress& source, Moment until, Moment now) {
  if (until <= now) return;
  make_room_for_penalty(now);
  Penalty& penalty = penalties_[source];
  penalty.hold_until = std::max(penalty.hold_until, until);
}

Moment Admission::penalise_crash(const IpAddress& source, Moment now) {
  make_room_for_penalty(now);
  Penalty& penalty = penalties_[source];
  // Long after the last one it starts again from the first length.
  const bool recent = penalty.crash_length > Moment{} && now < penalty.refuse_until + k_longest_crash_penalty;
  penalty.crash_length = recent ? std::min(penalty.crash_length * 2, k_longest_crash_penalty) : k_first_crash_penalty;
  penalty.refuse_until = now + penalty.crash_length;
  return penalty.crash_length;
}

bool Admission::has_penalty(const IpAddress& source, Moment now) const {
  const auto found = penalties_.find(source);
  return found != penalties_.end() && found->second.end() > now;
}

void Admission::make_room_for_penalty(Moment now) {
  if (penalties_.size() < k_max_penalties) return;
  std::erase_if(penalties_, [now](const auto& entry) { return entry.second.end() + k_longest_crash_penalty <= now; });
  if (penalties_.size() < k_max_penalties) return;
  penalties_.erase(std::min_element(penalties_.begin(), penalties_.end(),
                                    [](const auto& a, const auto& b) { return a.second.end() < b.second.end(); }));
}

std::size_t Admission::unproven_of(const IpAddress& source) const {
  const auto found = by_source_.find(source);
  return found == by_source_.end() ? 0 : found->second.size();
}

}  // namespace sallyport::gateway
