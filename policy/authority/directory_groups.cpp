#include "policy/authority/directory_groups.h"

#include <algorithm>
#include <utility>

#include "policy/authority/live_sessions.h"
#include "policy/authority/sign_on.h"
#include "policy/identity/login.h"

namespace sallyport::authority {
namespace {

std::string joined(const std::vector<std::string>& groups, char between) {
  std::string text;
  for (const std::string& group : groups) text += (text.empty() ? std::string() : std::string(1, between)) + group;
  return text;
}

}  // namespace

Result<GroupMap> GroupMap::parse(const std::vector<std::string>& entries) {
  GroupMap map;
  for (const std::string& entry : entries) {
    // Names of a directory may hold "=" ("cn=ops,ou=groups"), names of the policy do not.
    const auto at = entry.rfind('=');
    if (at == std::string::npos || at == 0 || !policy::is_name(std::string_view(entry).substr(at + 1)))
      return fail(Errc::invalid, "`" + entry.substr(0, 100) + "`: write DIRECTORY_GROUP=GROUP_OF_THE_POLICY");
    map.entries_.emplace(entry.substr(0, at), entry.substr(at + 1));
  }
  return map;
}

std::vector<std::string> GroupMap::map(const std::vector<std::string>& directory_groups) const {
  std::vector<std::string> groups;
  for (const std::string& one : directory_groups) {
    const auto [from, to] = entries_.equal_range(one);
    for (auto entry = from; entry != to; ++entry) groups.push_back(entry->second);
  }
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  return groups;
}

void learn_groups(Authority& authority, const std::string& principal, std::string_view directory_name, const std::vector<std::string>& groups,
                  std::chrono::milliseconds lasts, std::function<void(Result<void>)> done) {
  const std::string directory(directory_name);
  const WallTime until = authority.now() + std::chrono::duration_cast<std::chrono::microseconds>(lasts);
  EnrolmentRow row{"groups", principal, directory, std::to_string(until.time_since_epoch().count()) + " " + joined(groups, ' '), authority.now_us()};
  const bool changed = authority.sign_on->enrolled.groups_by(principal, directory) != groups;
  const bool none = groups.empty();
  const auto stored = [&authority, principal, directory, groups, until, changed, done = std::move(done)](const Result<void>& written) {
    if (!written) return done(written);
    authority.sign_on->enrolled.set_groups(principal, directory, groups, until);
    if (changed) {
      authority.note("directory.groups_changed", EventJson().text("principal", principal).text("directory", directory).text("groups", joined(groups, ',')));
      ++authority.generation;
      authority.live->judge_all();
    }
    done({});
  };
  if (none && !changed) return stored({});
  if (none) return authority.store->change_enrolments({}, {std::move(row)}, {}, stored);
  authority.store->change_enrolments({std::move(row)}, {}, {}, stored);
}

}  // namespace sallyport::authority
