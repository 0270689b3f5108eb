#include "vault/lent_values.h"

#include <algorithm>

namespace sallyport::vault {

void LentValues::note(const std::string& principal, const std::string& secret, std::uint32_t version) {
  if (principal.empty() || (lent_.size() >= k_most_principals && !lent_.contains(principal))) return;
  auto& values = lent_[principal];
  const std::pair value{secret, version};
  std::erase(values, value);
  values.push_back(value);
  if (values.size() > k_most) values.pop_front();
}

Result<LentValues::Recognisers> LentValues::recognisers(const std::string& principal, SecretStore& store, crypto::Random& random) const {
  Recognisers made{crypto::random_secret(random, 32), {}};
  const auto known = lent_.find(principal);
  if (known == lent_.end()) return made;
  for (const auto& [secret, version] : known->second) {
    const auto stored = store.read(secret, version);
    if (!stored && stored.error().code == Errc::sealed) return tl::unexpected(stored.error());
    if (!stored) continue;
    if (const auto value = seal::mask_value(made.key.reveal(), stored->value.reveal())) made.values.push_back(*value);
  }
  return made;
}

}  // namespace sallyport::vault
