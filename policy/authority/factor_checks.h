// policy/authority/factor_checks.h -- is this the password, is this the code: asked by ssh and web logins alike.
#pragma once

#include <functional>
#include <string>

#include "policy/authority/authority.h"

namespace sallyport::authority {

class FactorChecks {
 public:
  explicit FactorChecks(Authority& authority) : authority_(authority) {}

  enum class Password { wrong, right, unchecked };  ///< unchecked: the directory could not be asked
  void password(policy::PasswordCheck check, std::function<void(Password)> done);
  /// One code, one use, also after a restart; a recovery code is as good, once.
  void code(const policy::TotpCheck& check, std::function<void(bool right)> done);

  /// Tries a recovery code; set by whoever keeps them.
  std::function<void(const std::string& principal, const Secret& code, std::function<void(bool right)> done)> recovery;

 private:
  Authority& authority_;
};

}  // namespace sallyport::authority
