#include "policy/authority/guard_rules.h"

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/model/bytes.h"

namespace sallyport::authority {

std::string guard_rules(const policy::Obligations& obligations) {
  if (!obligations.guard_rules) return {};
  return std::string(text_of(*obligations.guard_rules));
}

std::string hash_of_rules(std::string_view rules) {
  if (rules.empty()) return {};
  return crypto::to_hex(crypto::sha256(bytes_of(rules))).substr(0, 16);
}

}  // namespace sallyport::authority
