// The published JSON Schema and the loader must agree on what a policy file looks like.
// libstdc++'s <regex>, which valijson instantiates here, draws a false warning from g++ 12 under -O1 with sanitizers.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include <fstream>

#include "policy/access/yaml_tree.h"
#include "tests/unit/policy/policy_fixture.h"

namespace sallyport::policy::test {
namespace {

/// As any YAML tool that validates against the schema would read it.
nlohmann::json json_of(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null: return nullptr;
    case YamlNode::Kind::list: {
      nlohmann::json list = nlohmann::json::array();
      for (const auto& item : node.items) list.push_back(json_of(*item));
      return list;
    }
    case YamlNode::Kind::map: {
      nlohmann::json map = nlohmann::json::object();
      for (const auto& entry : node.entries) map[entry.key] = json_of(*entry.value);
      return map;
    }
    case YamlNode::Kind::scalar: break;
  }
  if (!node.is_quoted && (node.text == "true" || node.text == "false")) return node.text == "true";
  if (!node.is_quoted && !node.text.empty() && node.text.size() < 10 && node.text.find_first_not_of("0123456789") == std::string::npos) return std::stoi(node.text);
  return node.text;
}

struct Schema {
  Schema() {
    std::ifstream file(std::string(SALLYPORT_SOURCE_DIR) + "/config/policy.schema.json");
    const nlohmann::json text = nlohmann::json::parse(file);
    const valijson::adapters::NlohmannJsonAdapter adapter(text);
    valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
    parser.populateSchema(adapter, schema);
  }
  [[nodiscard]] bool accepts(const std::string& yaml) const {
    std::vector<Diagnostic> problems;
    const auto tree = parse_yaml("policy.yaml", yaml, problems);
    if (!tree) return false;
    const nlohmann::json document = json_of(*tree);
    const valijson::adapters::NlohmannJsonAdapter adapter(document);
    valijson::Validator validator;
    return validator.validate(schema, adapter, nullptr);
  }
  valijson::Schema schema;
};

}  // namespace

TEST_CASE("the schema accepts what the loader accepts", "[policy][schema]") {
  const Schema schema;
  for (const char* name : {"people.yaml", "fleet.yaml", "roles.yaml"}) {
    std::ifstream file(std::string(SALLYPORT_SOURCE_DIR) + "/examples/policy/" + name);
    std::stringstream text;
    text << file.rdbuf();
    INFO(name);
    CHECK(schema.accepts(text.str()));
  }
  const std::string full = fleet_with(
      role_with("[{channels: [shell, sftp, tunnel-local], targets: all, accounts: [\"*\"], directions: [up], files: [{path: /, allow: []}], tunnels: [\"a:1\"], env: [\"LC_*\"], networks: [\"::1\"],"
                " hours: [{days: [mon], from: \"08:00\", to: \"24:00\", zone: UTC}], mfa_within: 1h30m, max_duration: 8h, idle_timeout: 30m, max_sessions: 10, record: {bulk: end}}]",
                "[{}, {files: [{path: /etc, deny: [up]}]}, {tunnels: [\"10.0.0.0/8:*\"], hours: {from: \"22:00\", to: \"06:00\"}}]"));
  INFO(describe(load_text(full).problems));
  CHECK(load_text(full).snapshot != nullptr);
  CHECK(schema.accepts(full));
  CHECK(schema.accepts("principals:\ngroups: []\n"));
}

TEST_CASE("the schema refuses the shapes that the loader refuses", "[policy][schema]") {
  const Schema schema;
  const std::vector<std::string> wrong{
      "principls: []\n",
      "principals: [{}]\n",
      "principals: [{name: Big}]\n",
      "principals: [{name: a, type: robot}]\n",
      "principals: [{name: a, factors: 9}]\n",
      "principals: [{name: a, password: secret}]\n",
      "principals: [{name: a, expires: soon}]\n",
      "groups: 5\n",
      "targets: [{name: t, address: a, accounts: [{name: d}]}]\n",
      "targets: [{name: t, address: a, host_keys: [\"" + k_key_a + "\"], accounts: []}]\n",
      "targets: [{name: t, address: a, port: 0, host_keys: [\"" + k_key_a + "\"], accounts: [{name: d}]}]\n",
      "roles: [{name: r, allow: [{channels: [shel], targets: all, accounts: [d]}]}]\n",
      "roles: [{name: r, allow: [{channels: [shell], targets: every, accounts: [d]}]}]\n",
      "roles: [{name: r, allow: [{channels: [shell], targets: all}]}]\n",
      "roles: [{name: r, deny: [{mfa_within: 5m}]}]\n",
      "roles: [{name: r, admin: [root]}]\n",
      "roles: [{name: r, allow: [{channels: [sftp], targets: all, accounts: [d], files: [{path: a, allow: []}]}]}]\n",
      "roles: [{name: r}]\nbindings: [{role: r}]\n",
  };
  for (const std::string& yaml : wrong) {
    INFO(yaml);
    CHECK_FALSE(schema.accepts(yaml));
    CHECK(load_text(yaml).snapshot == nullptr);
  }
}

}  // namespace sallyport::policy::test
