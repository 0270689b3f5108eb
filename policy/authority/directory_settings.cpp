#include "policy/authority/directory_settings.h"

#include <utility>

namespace sallyport::authority {
namespace {

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

}  // namespace

Result<std::optional<DirectorySettings>> read_directory_settings(const Settings& settings) {
  DirectorySettings out;
  directory::Place& place = out.place;
  place.url = settings.text("directory_url");
  if (place.url.empty()) return std::optional<DirectorySettings>();
  place.ca_file = settings.text("directory_ca_file");
  place.bind_dn = settings.text("directory_bind_dn");
  place.users_base = settings.text("directory_users_base");
  place.user_attribute = settings.text("directory_user_attribute", "uid");
  place.user_filter = settings.text("directory_user_filter");
  place.groups_base = settings.text("directory_groups_base");
  place.group_attribute = settings.text("directory_group_attribute", "cn");
  const std::string by = settings.text("directory_groups_by", "member");
  place.groups_by = by == "posix" ? directory::GroupsBy::posix : by == "member-of" ? directory::GroupsBy::member_of : directory::GroupsBy::member;
  place.nested = static_cast<unsigned>(settings.number("directory_nested", 5));
  place.patience = settings.duration("directory_timeout_ms", std::chrono::seconds(5));
  if (const auto right = directory::check_place(place); !right) return tl::unexpected(right.error());
  out.bind_secret = settings.text("directory_bind_secret");
  if (out.bind_secret.empty()) return fail(Errc::invalid, "directory.bind_secret: name the secret of the vault that holds the password of directory.bind_dn");
  std::vector<std::string> entries = settings.list("directory_groups");
  for (std::string& entry : entries) entry = lower(std::move(entry));
  auto groups = GroupMap::parse(entries);
  if (!groups) return fail(Errc::invalid, "directory.groups: " + groups.error().detail);
  if (!entries.empty() && place.groups_base.empty()) return fail(Errc::invalid, "directory.groups_base: is needed beside directory.groups");
  out.groups = std::move(*groups);
  out.refresh = settings.duration("directory_refresh_ms", std::chrono::minutes(1));
  out.groups_last = settings.duration("directory_groups_last_ms", std::chrono::hours(1));
  if (out.groups_last < 2 * out.refresh) return fail(Errc::invalid, "directory.groups_last: is less than two times directory.refresh; groups would come and go");
  return std::optional<DirectorySettings>(std::move(out));
}

}  // namespace sallyport::authority
