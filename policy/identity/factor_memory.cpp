#include "policy/identity/factor_memory.h"

#include <algorithm>

#include "policy/identity/throttle.h"

namespace sallyport::policy {

void FactorMemory::remember(std::string_view principal, const IpAddress& source, std::string_view key_fingerprint, const std::vector<ProvenFactor>& factors) {
  if (lasts_.count() == 0 || key_fingerprint.empty()) return;
  std::vector<ProvenFactor> kept;
  for (const ProvenFactor& factor : factors)
    if (factor.kind == FactorKind::password || factor.kind == FactorKind::totp) kept.push_back(factor);
  if (kept.empty()) return;
  Place place{std::string(principal), source_key(source), std::string(key_fingerprint)};
  if (!known_.contains(place)) {
    if (order_.size() >= k_most) {
      known_.erase(order_.front());
      order_.pop_front();
    }
    order_.push_back(place);
  }
  known_[std::move(place)] = std::move(kept);
}

std::vector<ProvenFactor> FactorMemory::recall(std::string_view principal, const IpAddress& source, std::string_view key_fingerprint, WallTime now) const {
  std::vector<ProvenFactor> fresh;
  if (lasts_.count() == 0) return fresh;
  const auto found = known_.find(Place{std::string(principal), source_key(source), std::string(key_fingerprint)});
  if (found == known_.end()) return fresh;
  for (const ProvenFactor& factor : found->second)
    if (factor.proven <= now && now - factor.proven <= lasts_) fresh.push_back(factor);
  return fresh;
}

void FactorMemory::forget(std::string_view principal) {
  const auto is_hers = [&](const Place& place) { return std::get<0>(place) == principal; };
  std::erase_if(known_, [&](const auto& one) { return is_hers(one.first); });
  order_.remove_if(is_hers);
}

}  // namespace sallyport::policy
