// vault/lent_values.h -- which values were lent to whom lately, so that recordings of hers can leave them out.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "platform/crypto/random.h"
#include "platform/seal/mask.h"
#include "vault/secret_store.h"

namespace sallyport::vault {

/// In memory: after a restart of the vault a value is known again when it is lent again.
class LentValues {
 public:
  void note(const std::string& principal, const std::string& secret, std::uint32_t version);

  struct Recognisers {
    Secret key;
    std::vector<seal::MaskValue> values;
  };
  /// Of the newest k_most values lent to her. Errc::sealed. A value that was deleted meanwhile is left out.
  [[nodiscard]] Result<Recognisers> recognisers(const std::string& principal, SecretStore& store, crypto::Random& random) const;

  static constexpr std::size_t k_most = 1024;  ///< of one principal
  static constexpr std::size_t k_most_principals = 4096;

 private:
  std::map<std::string, std::deque<std::pair<std::string, std::uint32_t>>> lent_;
};

}  // namespace sallyport::vault
