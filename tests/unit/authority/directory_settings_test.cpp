#include <catch2/catch.hpp>

#include "policy/authority/directory_settings.h"

namespace sallyport::authority::test {
namespace {

Settings good() {
  Settings settings;
  settings.set("directory_url", "ldaps://ldap.example.org");
  settings.set("directory_ca_file", "/ca.pem");
  settings.set("directory_bind_dn", "cn=gateway,dc=example,dc=org");
  settings.set("directory_bind_secret", "directory/bind");
  settings.set("directory_users_base", "ou=people,dc=example,dc=org");
  settings.set("directory_groups_base", "ou=groups,dc=example,dc=org");
  settings.set("directory_groups", "SRE=operators,sre=readers,audit=auditors");
  return settings;
}

}  // namespace

TEST_CASE("a value in a search filter cannot leave it", "[authority][directory]") {
  CHECK(directory::escape_filter("newcomer") == "newcomer");
  CHECK(directory::escape_filter("a*)(uid=*") == "a\\2a\\29\\28uid=\\2a");
  CHECK(directory::escape_filter(std::string_view("\\\0\x7f\xc3\xa4", 5)) == "\\5c\\00\\7f\\c3\\a4");
}

TEST_CASE("names are compared by what they mean", "[authority][directory]") {
  CHECK(directory::normal_name("CN=Ops, OU=Groups,dc=example") == "cn=ops,ou=groups,dc=example");
  CHECK(directory::normal_name("people").empty());
  CHECK(directory::normal_name("cn=a,,").empty());
}

TEST_CASE("a directory is asked as it was configured, or not at all", "[authority][directory]") {
  CHECK_FALSE(*read_directory_settings(Settings()));
  const auto read = read_directory_settings(good());
  REQUIRE(read);
  REQUIRE(*read);
  CHECK((*read)->groups.map({"sre", "nobody"}) == std::vector<std::string>{"operators", "readers"});
  CHECK((*read)->place.groups_by == directory::GroupsBy::member);
  const auto wrong = [](const std::string& key, const std::string& value) {
    Settings settings = good();
    settings.set(key, value);
    const auto refused = read_directory_settings(settings);
    return refused ? std::string("accepted") : refused.error().detail.substr(0, refused.error().detail.find(": "));
  };
  CHECK(wrong("directory_url", "http://ldap.example.org") == "directory.url");
  CHECK(wrong("directory_url", "ldaps:///") == "directory.url");
  CHECK(wrong("directory_url", "ldaps://a ldap://b") == "directory.url");
  CHECK(wrong("directory_url", "ldaps://a/dc=example") == "directory.url");
  CHECK(wrong("directory_ca_file", "") == "directory.ca_file");
  CHECK(wrong("directory_bind_dn", "gateway") == "directory.bind_dn");
  CHECK(wrong("directory_bind_secret", "") == "directory.bind_secret");
  CHECK(wrong("directory_users_base", "") == "directory.users_base");
  CHECK(wrong("directory_user_attribute", "uid)(x=*") == "directory.user_attribute");
  CHECK(wrong("directory_user_filter", "objectClass=person") == "directory.user_filter");
  CHECK(wrong("directory_groups_base", "") == "directory.groups_base");
  CHECK(wrong("directory_groups", "sre") == "directory.groups");
  CHECK(wrong("directory_groups_last_ms", "60000") == "directory.groups_last");
}

}  // namespace sallyport::authority::test
