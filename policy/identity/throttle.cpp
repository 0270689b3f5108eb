#include "policy/identity/throttle.h"

#include <algorithm>

namespace sallyport::policy {
namespace {

std::string pair_key(const IpAddress& source, std::string_view principal) {
  return source_key(source) + "\n" + std::string(principal);
}

}  // namespace

std::string source_key(const IpAddress& source) {
  return source.is_v4() ? source.str() : source.masked(64).str() + "/64";
}

template <class Value>
Value& Throttle::Bounded<Value>::touch(const std::string& key, std::size_t limit) {
  if (const auto found = entries_.find(key); found != entries_.end()) {
    order_.splice(order_.end(), order_, found->second.place);
    return found->second.value;
  }
  if (entries_.size() >= limit && !order_.empty()) {
    entries_.erase(order_.front());
    order_.pop_front();
  }
  order_.push_back(key);
  return entries_.emplace(key, Entry{Value{}, std::prev(order_.end())}).first->second.value;
}

template <class Value>
const Value* Throttle::Bounded<Value>::find(const std::string& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second.value;
}

template <class Value>
void Throttle::Bounded<Value>::erase(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  order_.erase(found->second.place);
  entries_.erase(found);
}

std::uint32_t Throttle::failures_of(const Count* count, BootTime now) const {
  if (count == nullptr || now - count->last > limits_.forget_after) return 0;
  return count->failures;
}

std::chrono::milliseconds Throttle::delay_of(std::uint32_t failures, std::uint32_t free) const {
  if (failures <= free) return std::chrono::milliseconds(0);
  const std::uint32_t doublings = std::min<std::uint32_t>(failures - free - 1, 16);
  return std::min(limits_.longest_delay, limits_.first_delay * (1U << doublings));
}

std::chrono::milliseconds Throttle::penalty(const IpAddress& source, BootTime now) const {
  return delay_of(failures_of(sources_.find(source_key(source)), now), limits_.free_failures);
}

Throttle::Verdict Throttle::ask_key(const IpAddress& source, BootTime now) const { return {true, penalty(source, now)}; }

Throttle::Verdict Throttle::ask_guessable(const IpAddress& source, std::string_view principal, BootTime now) {
  const std::chrono::milliseconds own = penalty(source, now);
  if (is_known(source, principal, now)) return {true, own};
  const std::string name(principal);
  const auto pause = delay_of(failures_of(principals_.find(name), now), limits_.free_principal_failures);
  if (pause.count() == 0) return {true, own};
  // From strange sources one attempt per pause is looked at, whoever makes it.
  Count& count = principals_.touch(name, limits_.entries);
  if (now < count.next_slot) return {false, std::max(own, pause)};
  count.next_slot = now + pause;
  return {true, own};
}

void Throttle::failed(const IpAddress& source, std::string_view principal, bool guessable, BootTime now) {
  const auto count_up = [&](Count& count) {
    count.failures = now - count.last > limits_.forget_after ? 1 : std::min<std::uint32_t>(count.failures + 1, 1'000'000);
    count.last = now;
  };
  count_up(sources_.touch(source_key(source), limits_.entries));
  // What a known source gets wrong does not make others wait, and others cannot make it wait.
  if (guessable && !is_known(source, principal, now)) count_up(principals_.touch(std::string(principal), limits_.entries));
}

void Throttle::succeeded(const IpAddress& source, std::string_view principal, BootTime now) {
  sources_.erase(source_key(source));
  remember(source, principal, now);
}

void Throttle::remember(const IpAddress& source, std::string_view principal, BootTime now) {
  known_.touch(pair_key(source, principal), limits_.entries) = now;
}

bool Throttle::is_known(const IpAddress& source, std::string_view principal, BootTime now) const {
  const BootTime* const last = known_.find(pair_key(source, principal));
  return last != nullptr && now - *last <= limits_.known_for;
}

}  // namespace sallyport::policy
