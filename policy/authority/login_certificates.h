// policy/authority/login_certificates.h -- short-lived ssh certificates that the gateway gives to people who have just proven who they are.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "policy/authority/acts.h"

namespace sallyport::authority {

class LoginCertificates {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  explicit LoginCertificates(Authority& authority) : authority_(authority) {}

  /// Asks the vault for the CA of login certificates; call when it may have come.
  void learn_ca();
  /// Of the database; false: it has expired.
  [[nodiscard]] bool remember(const EnrolmentRow& row);
  /// A certificate for `key_line`, which its owner made. `factors`: what she has proven beside it.
  void certify(const std::string& principal, const std::string& key_line, std::chrono::seconds lasts, const std::string& source,
               std::vector<policy::ProvenFactor> factors, Done<std::string> done);
  void revoke_all(const std::string& principal);

 private:
  Authority& authority_;
  std::int64_t last_serial_ = 0;
};

}  // namespace sallyport::authority
