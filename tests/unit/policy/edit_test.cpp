#include <catch2/catch.hpp>

#include "policy/access/edit.h"

using namespace sallyport;
using namespace sallyport::policy;

namespace {

const std::string k_people = R"(# our people
principals:
  # the first one
  - name: ada
    display: "Ada: of the north"
    totp: secrets/ada  # by hand
  # the second one
  - name: ben
    keys: ["k 1", k2]

groups: [{name: ops, members: [ada]}, {name: dev, members: [ben]}]
)";

std::string text_of_file(const Edited& edited, const std::string& name) {
  for (const SourceFile& file : edited.files)
    if (file.name == name) return file.content;
  return "(none)";
}

}  // namespace

TEST_CASE("an edit keeps the words and comments around what it changes", "[edit]") {
  const std::vector<SourceFile> files{{"people.yaml", k_people}};
  SECTION("replace") {
    const auto edited = edit_policy(files, {"principals", "ada", R"({"name":"ada","expires":"2027-01-01","factors":2,"groups":["true","x"]})"});
    REQUIRE(edited);
    CHECK_FALSE(edited->rewritten);
    const std::string text = text_of_file(*edited, "people.yaml");
    CHECK(text.find("# our people\nprincipals:\n  # the first one\n  - name: ada\n    expires: \"2027-01-01\"\n    factors: 2\n    groups: [\"true\", x]\n  # the second one\n  - name: ben") == 0);
    CHECK(text.ends_with("\ngroups: [{name: ops, members: [ada]}, {name: dev, members: [ben]}]\n"));
  }
  SECTION("add goes behind the last of its kind") {
    const auto edited = edit_policy(files, {"principals", "cyd", R"({"name":"cyd"})"});
    REQUIRE(edited);
    CHECK(text_of_file(*edited, "people.yaml").find("    keys: [\"k 1\", k2]\n  - name: cyd\n\ngroups:") != std::string::npos);
  }
  SECTION("remove, one after the other") {
    const auto once = edit_policy(files, {"principals", "ada", ""});
    REQUIRE(once);
    CHECK(text_of_file(*once, "people.yaml").find("ada\n") == std::string::npos);
    const auto twice = edit_policy(once->files, {"principals", "ben", ""});
    REQUIRE(twice);
    CHECK(definitions_in(twice->files, "principals").empty());
    CHECK(definitions_in(twice->files, "groups").size() == 2);
    const auto again = edit_policy(twice->files, {"principals", "ben", R"({"name":"ben"})"});
    REQUIRE(again);
    CHECK(definitions_in(again->files, "principals").size() == 1);
    const auto gone = edit_policy(twice->files, {"principals", "ben", ""});
    REQUIRE_FALSE(gone);
    CHECK(gone.error().code == Errc::not_found);
  }
  SECTION("a list in brackets: the file is written anew, and means the same") {
    const auto edited = edit_policy(files, {"groups", "dev", R"({"name":"dev","members":["ada","ben"]})"});
    REQUIRE(edited);
    CHECK(edited->rewritten);
    const auto groups = definitions_in(edited->files, "groups");
    REQUIRE(groups.size() == 2);
    CHECK(groups[0].json == R"({"name":"ops","members":["ada"]})");
    CHECK(groups[1].json == R"({"name":"dev","members":["ada","ben"]})");
    const auto before = definitions_in(files, "principals");
    const auto after = definitions_in(edited->files, "principals");
    REQUIRE(after.size() == before.size());
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(after[i].json == before[i].json);
  }
  SECTION("a kind that no file has gets a file of its own, once") {
    const auto role = edit_policy(files, {"roles", "r", R"({"name":"r","admin":["audit"]})"});
    REQUIRE(role);
    CHECK(text_of_file(*role, "api.yaml") == "roles:\n  - name: r\n    admin: [audit]\n");
    const auto target = edit_policy(role->files, {"targets", "t", R"({"name":"t","address":"192.0.2.1","labels":{"a b":"c\nd\"e"}})"});
    REQUIRE(target);
    CHECK(target->files.size() == 2);
    CHECK(definitions_in(target->files, "targets")[0].json == R"({"name":"t","address":"192.0.2.1","labels":{"a b":"c\nd\"e"}})");
  }
}

TEST_CASE("an edit never damages what it cannot splice", "[edit]") {
  const std::vector<std::string> texts{
      "roles:\n- name: a\n  deny: &all [{channels: [shell]}]\n- name: b\n  deny: *all\n",
      "roles:\n  - &x\n    name: a\n  - name: b\n    admin: [audit]\n",
      "roles:\n  -\n    name: a\n  - name: b\n",
      "roles:\n  - {name: a, admin: [audit,\n      lock]}\n  - name: b\n",
      "roles:\n  - name: a\n    note: |\n      # not a comment\n\n  - name: b\n",
      "{\"roles\": [{\"name\": \"a\"}, {\"name\": \"b\"}]}",
      "roles:\r\n  - name: a\r\n  - name: b\r\n",
  };
  for (const std::string& text : texts) {
    INFO(text);
    for (const std::string name : {"p.yaml", "p.json"}) {
      const std::vector<SourceFile> files{{name, text}};
      const auto before = definitions_in(files, "roles");
      REQUIRE(before.size() == 2);
      const auto changed = edit_policy(files, {"roles", "a", R"({"name":"a","admin":["view"]})"});
      REQUIRE(changed);
      const auto after = definitions_in(changed->files, "roles");
      REQUIRE(after.size() == 2);
      CHECK(after[0].json == R"({"name":"a","admin":["view"]})");
      CHECK(after[1].json == before[1].json);
      const auto removed = edit_policy(files, {"roles", "a", ""});
      REQUIRE(removed);
      REQUIRE(definitions_in(removed->files, "roles").size() == 1);
      CHECK(definitions_in(removed->files, "roles")[0].json == before[1].json);
      const auto added = edit_policy(files, {"roles", "c", R"({"name":"c"})"});
      REQUIRE(added);
      CHECK(definitions_in(added->files, "roles").size() == 3);
    }
  }
}

TEST_CASE("a binding without a name is known by what it says", "[edit]") {
  const std::vector<SourceFile> files{{"b.yaml", "bindings:\n  - {role: a, groups: [x]}\n  - {role: a, groups: [y]}\n  - {name: mine, role: b, groups: [y]}\n"}};
  const auto all = definitions_in(files, "bindings");
  REQUIRE(all.size() == 3);
  CHECK(all[0].name.size() == 18);
  CHECK(all[0].name != all[1].name);
  CHECK(all[2].name == "mine");
  const auto edited = edit_policy(files, {"bindings", all[0].name, ""});
  REQUIRE(edited);
  CHECK(definitions_in(edited->files, "bindings")[0].name == all[1].name);
}

TEST_CASE("a definition that is none is refused", "[edit]") {
  const std::vector<SourceFile> files{{"b.yaml", "roles:\n  - name: a\n"}};
  for (const std::string json : {"[]", "7", "{", "{\"a\":1,\"a\":2}"}) CHECK_FALSE(edit_policy(files, {"roles", "a", json}));
  const std::vector<SourceFile> broken{{"b.yaml", "roles: ["}};
  CHECK_FALSE(edit_policy(broken, {"roles", "a", "{\"name\":\"a\"}"}));
}
