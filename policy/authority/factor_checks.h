// policy/authority/factor_checks.h -- is this the password, is this the code: asked by ssh and web logins alike.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "policy/authority/authority.h"

namespace sallyport::authority {

/// A directory (LDAP) that knows passwords. Blocks nobody: it answers on the loop's thread.
class Directory {
 public:
  virtual ~Directory() = default;
  struct Answer {
    bool right = false;
    std::vector<std::string> groups;  ///< names, when right
  };
  /// Errc::unavailable: it could not be asked.
  virtual void check(std::string name, Secret password, std::function<void(Result<Answer>)> done) = 0;
};

class FactorChecks {
 public:
  explicit FactorChecks(Authority& authority) : authority_(authority) {}

  void password(policy::PasswordCheck check, std::function<void(bool right)> done);
  /// One code, one use, also after a restart; a recovery code is as good, once.
  void code(const policy::TotpCheck& check, std::function<void(bool right)> done);

  std::unique_ptr<Directory> directory;  ///< may be null: then no password of the directory is right
  /// Told the groups that the directory named with a right password.
  std::function<void(const std::string& principal, std::vector<std::string> groups)> on_groups;
  /// Tries a recovery code; set by whoever keeps them.
  std::function<void(const std::string& principal, const Secret& code, std::function<void(bool right)> done)> recovery;

 private:
  Authority& authority_;
};

}  // namespace sallyport::authority
