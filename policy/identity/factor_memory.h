// policy/identity/factor_memory.h -- a second factor that was given lately need not be given again from the same place.
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "platform/model/clock.h"
#include "platform/model/ip.h"
#include "policy/access/request.h"

namespace sallyport::policy {

/// Per principal, source (address or IPv6 /64) and key: the factors beside the key, with the moment at which they were really
/// proven, so that a role's `mfa_within` judges their true age. In memory only, bounded: the oldest goes. One thread.
class FactorMemory {
 public:
  /// 0: nothing is remembered.
  void set_lasts(std::chrono::seconds lasts) { lasts_ = lasts; }

  /// Only passwords and codes are kept, and only those that are not older than what is known.
  void remember(std::string_view principal, const IpAddress& source, std::string_view key_fingerprint, const std::vector<ProvenFactor>& factors);
  [[nodiscard]] std::vector<ProvenFactor> recall(std::string_view principal, const IpAddress& source, std::string_view key_fingerprint, WallTime now) const;
  /// Her factors changed, or she was locked.
  void forget(std::string_view principal);

 private:
  using Place = std::tuple<std::string, std::string, std::string>;
  static constexpr std::size_t k_most = 65'536;
  std::chrono::seconds lasts_{0};
  std::map<Place, std::vector<ProvenFactor>> known_;
  std::list<Place> order_;
};

}  // namespace sallyport::policy
