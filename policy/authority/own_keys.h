// policy/authority/own_keys.h -- ssh keys that people enrol themselves, beside those of the policy.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "policy/authority/acts.h"

namespace sallyport::authority {

/// A public key line without options; nothing for anything else.
[[nodiscard]] std::optional<policy::LoginKey> plain_key(const std::string& line);

/// For somebody who is logged in and has proven a factor lately. Errors carry a code of the catalogue.
class OwnKeys {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  explicit OwnKeys(Authority& authority) : authority_(authority) {}

  /// Answers with the fingerprint. Errc::invalid: no plain key; Errc::conflict: somebody's already, or one too many.
  void add(const Operator& who, const std::string& line, Done<std::string> done);
  /// Sessions by that key end, after `done`. Errc::not_found: she enrolled none like this.
  void remove(const Operator& who, const std::string& fingerprint, Done<void> done);

 private:
  [[nodiscard]] Result<void> may_change(const Operator& who);
  void change(const Operator& who, const policy::LoginKey& key, const std::string& line, bool adds, std::function<void(Result<void>)> done);

  Authority& authority_;
};

}  // namespace sallyport::authority
