// policy/access/locks.h -- locks stop a principal, a target or an account at once, whatever the policy says.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/clock.h"

namespace sallyport::policy {

/// Applies where every field that is not empty matches. {principal}, {target}, {account} (everywhere), {account, target}.
struct Lock {
  std::string id;
  std::string principal;
  std::string target;
  std::string account;
  std::string reason;
  std::string created_by;
  WallTime created{};
  std::optional<WallTime> expires;
  /// Nothing named would lock everything: refused by the callers that make locks.
  [[nodiscard]] bool names_something() const noexcept { return !principal.empty() || !target.empty() || !account.empty(); }
};

/// A value: the authority keeps the list in its database and hands the current one to every decision.
class Locks {
 public:
  Locks() = default;
  explicit Locks(std::vector<Lock> locks) : locks_(std::move(locks)) {}
  /// The first lock in force that stops this; an empty target or account is matched only by locks that do not name one.
  [[nodiscard]] const Lock* find(std::string_view principal, std::string_view target, std::string_view account,
                                 WallTime now) const;
  [[nodiscard]] const std::vector<Lock>& list() const noexcept { return locks_; }

 private:
  std::vector<Lock> locks_;
};

}  // namespace sallyport::policy
