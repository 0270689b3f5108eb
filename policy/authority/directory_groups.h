// policy/authority/directory_groups.h -- groups of the policy that a directory (OIDC, LDAP) puts people into.
//
// What a directory says counts for every login of the principal, by whatever factor, until it says something else or the time is
// over; a change is felt by live sessions at once. It stands in the database and is journalled; no directory can make a group.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "platform/model/result.h"

namespace sallyport::authority {

struct Authority;

/// "directory group=group of the policy", one entry each; one of the directory's may stand for several.
class GroupMap {
 public:
  /// Errc::invalid says which entry is wrong.
  [[nodiscard]] static Result<GroupMap> parse(const std::vector<std::string>& entries);
  /// Sorted, each once. What is not listed counts for nothing.
  [[nodiscard]] std::vector<std::string> map(const std::vector<std::string>& directory_groups) const;

 private:
  std::multimap<std::string, std::string, std::less<>> entries_;
};

/// Tells what `directory` says of `principal` now. `done` comes when it stands in the database and counts.
void learn_groups(Authority& authority, const std::string& principal, std::string_view directory, const std::vector<std::string>& groups,
                  std::chrono::milliseconds lasts, std::function<void(Result<void>)> done);

}  // namespace sallyport::authority
