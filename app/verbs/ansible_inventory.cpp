#include "app/verbs/ansible_inventory.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <map>

#include "policy/access/yaml_tree.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

constexpr std::size_t k_most_hosts = 100'000;
constexpr int k_most_depth = 64;  // of groups in groups

using Variables = std::map<std::string, std::string>;

Result<int> port_of(const std::string& text, const std::string& host) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port < 1 || port > 65535) return fail(Errc::invalid, host + ": ansible_port `" + text + "` is no port");
  return port;
}

Result<std::vector<InventoryHost>> hosts_of(const std::map<std::string, Variables>& variables, const std::map<std::string, std::set<std::string>>& groups) {
  std::vector<InventoryHost> hosts;
  for (const auto& [name, values] : variables) {
    const auto value = [&values = values](const char* key) {
      const auto found = values.find(key);
      return found == values.end() ? std::string() : found->second;
    };
    const std::string connection = value("ansible_connection");
    if (!connection.empty() && connection != "ssh" && connection != "smart") continue;
    InventoryHost host;
    host.name = name;
    host.address = value("ansible_host").empty() ? name : value("ansible_host");
    host.user = value("ansible_user").empty() ? value("ansible_ssh_user") : value("ansible_user");
    if (const std::string port = value("ansible_port"); !port.empty()) {
      const auto number = port_of(port, name);
      if (!number) return tl::unexpected(number.error());
      host.port = *number;
    }
    const auto in = groups.find(name);
    if (in != groups.end()) host.groups = in->second;
    hosts.push_back(std::move(host));
  }
  return hosts;
}

std::string text_of(const json::value& value) {
  if (value.is_string()) return std::string(std::string_view(value.get_string()));
  if (value.is_int64()) return std::to_string(value.get_int64());
  if (value.is_uint64()) return std::to_string(value.get_uint64());
  return {};
}

struct Group {
  std::vector<std::string> hosts;
  std::vector<std::string> children;
  Variables variables;
};

/// Every host of the group, also through its children.
void reach(const std::map<std::string, Group>& groups, const std::string& name, const std::string& as, int depth, const Variables& inherited,
           std::map<std::string, Variables>& variables, std::map<std::string, std::set<std::string>>& memberships, std::set<std::string>& seen) {
  const auto found = groups.find(name);
  if (found == groups.end() || depth > k_most_depth || !seen.insert(name).second) return;
  Variables all = inherited;
  for (const auto& [key, value] : found->second.variables) all[key] = value;
  for (const std::string& host : found->second.hosts) {
    auto& mine = variables[host];
    for (const auto& [key, value] : all) mine.emplace(key, value);  // a host's own value wins
    if (as != "all" && as != "ungrouped") memberships[host].insert(as);
  }
  for (const std::string& child : found->second.children) reach(groups, child, as, depth + 1, all, variables, memberships, seen);
}

Result<std::vector<InventoryHost>> finish(const std::map<std::string, Group>& groups, std::map<std::string, Variables> variables) {
  std::map<std::string, std::set<std::string>> memberships;
  for (const auto& [name, group] : groups) {
    if (name == "all") continue;
    std::set<std::string> seen;
    reach(groups, name, name, 0, {}, variables, memberships, seen);
  }
  std::set<std::string> seen;
  reach(groups, "all", "all", 0, {}, variables, memberships, seen);
  if (variables.size() > k_most_hosts) return fail(Errc::invalid, "more than 100000 hosts");
  return hosts_of(variables, memberships);
}

Result<std::vector<InventoryHost>> parse_list(std::string_view text) {
  boost::system::error_code error;
  const json::value parsed = json::parse(text, error);
  if (error) return fail(Errc::invalid, "the inventory is no JSON: " + error.message());
  const json::object* top = parsed.if_object();
  if (top == nullptr) return fail(Errc::invalid, "the inventory must be an object, as `ansible-inventory --list` prints it");
  std::map<std::string, Group> groups;
  std::map<std::string, Variables> variables;
  const auto names = [](const json::object& object, const char* key, std::vector<std::string>& out) {
    const json::value* list = object.if_contains(key);
    if (list == nullptr || !list->is_array()) return;
    for (const json::value& one : list->get_array())
      if (one.is_string()) out.emplace_back(std::string_view(one.get_string()));
  };
  for (const auto& [key, value] : *top) {
    const json::object* object = value.if_object();
    if (object == nullptr) return fail(Errc::invalid, "/" + std::string(key) + " must be an object");
    if (key == "_meta") {
      const json::value* all = object->if_contains("hostvars");
      if (all == nullptr || !all->is_object()) continue;
      for (const auto& [host, values] : all->get_object()) {
        auto& mine = variables[std::string(host)];
        if (!values.is_object()) continue;
        for (const auto& [name, one] : values.get_object())
          if (std::string_view(name).starts_with("ansible_")) mine[std::string(name)] = text_of(one);
      }
      continue;
    }
    Group& group = groups[std::string(key)];
    names(*object, "hosts", group.hosts);
    names(*object, "children", group.children);
    const json::value* vars = object->if_contains("vars");
    if (vars == nullptr || !vars->is_object()) continue;
    for (const auto& [name, one] : vars->get_object())
      if (std::string_view(name).starts_with("ansible_")) group.variables[std::string(name)] = text_of(one);
  }
  return finish(groups, std::move(variables));
}

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  char quote = 0;
  for (const char c : line) {
    if (quote == 0 && c == '#') break;
    if (quote != 0 && c == quote) quote = 0;
    else if (quote == 0 && (c == '"' || c == '\'')) quote = c;
    else if (quote == 0 && (c == ' ' || c == '\t')) {
      if (!word.empty()) words.push_back(std::move(word));
      word.clear();
    } else word += c;
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

/// "web[01:03].example" to three names; anything else to itself.
Result<std::vector<std::string>> expand(const std::string& pattern) {
  const auto open = pattern.find('[');
  const auto close = pattern.find(']');
  if (open == std::string::npos || close == std::string::npos || close < open) return std::vector<std::string>{pattern};
  const std::string range = pattern.substr(open + 1, close - open - 1);
  const auto colon = range.find(':');
  const std::string from = range.substr(0, colon);
  const std::string to = colon == std::string::npos ? std::string() : range.substr(colon + 1);
  long first = 0;
  long last = 0;
  const auto a = std::from_chars(from.data(), from.data() + from.size(), first);
  const auto b = std::from_chars(to.data(), to.data() + to.size(), last);
  if (from.empty() || to.empty() || a.ec != std::errc{} || a.ptr != from.data() + from.size() || b.ec != std::errc{} || b.ptr != to.data() + to.size() || first > last ||
      last - first >= static_cast<long>(k_most_hosts))
    return fail(Errc::invalid, "`" + pattern + "`: only ranges of numbers, such as [01:12]");
  std::vector<std::string> names;
  for (long i = first; i <= last; ++i) {
    std::string digits = std::to_string(i);
    if (digits.size() < from.size()) digits.insert(0, from.size() - digits.size(), '0');
    names.push_back(pattern.substr(0, open) + digits + pattern.substr(close + 1));
  }
  return names;
}

Result<std::vector<InventoryHost>> parse_ini(std::string_view text) {
  std::map<std::string, Group> groups;
  std::map<std::string, Variables> variables;
  std::string section = "ungrouped";
  std::string part = "hosts";
  std::size_t number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    const std::string place = "line " + std::to_string(number) + ": ";
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      const auto close = line.find(']');
      if (close == std::string_view::npos) return fail(Errc::invalid, place + "a section without `]`");
      const std::string_view name = line.substr(1, close - 1);
      const auto colon = name.find(':');
      section = name.substr(0, colon);
      part = colon == std::string_view::npos ? "hosts" : std::string(name.substr(colon + 1));
      if (section.empty() || (part != "hosts" && part != "vars" && part != "children")) return fail(Errc::invalid, place + "sections are [name], [name:vars] and [name:children]");
      groups[section];
      continue;
    }
    if (part == "vars") {
      const auto equals = line.find('=');
      if (equals == std::string_view::npos) return fail(Errc::invalid, place + "expected NAME=VALUE");
      const auto key = words_of(line.substr(0, equals));
      const auto value = words_of(line.substr(equals + 1));
      if (key.size() == 1) groups[section].variables[key.front()] = value.empty() ? std::string() : value.front();
      continue;
    }
    const auto words = words_of(line);
    if (words.empty()) continue;
    if (part == "children") {
      groups[section].children.push_back(words.front());
      continue;
    }
    const auto names = expand(words.front());
    if (!names) return fail(Errc::invalid, place + names.error().detail);
    for (const std::string& name : *names) {
      groups[section].hosts.push_back(name);
      auto& mine = variables[name];
      for (std::size_t i = 1; i < words.size(); ++i) {
        const auto equals = words[i].find('=');
        if (equals == std::string::npos) return fail(Errc::invalid, place + "`" + words[i] + "`: expected NAME=VALUE");
        mine[words[i].substr(0, equals)] = words[i].substr(equals + 1);
      }
      if (variables.size() > k_most_hosts) return fail(Errc::invalid, "more than 100000 hosts");
    }
  }
  return finish(groups, std::move(variables));
}

using policy::YamlNode;

Error at_line(std::uint32_t line, std::string what) { return Error{Errc::invalid, "line " + std::to_string(line) + ": " + std::move(what)}; }

/// A map, or nothing at all; the error otherwise.
Result<const YamlNode*> map_at(const YamlNode& parent, std::string_view key) {
  const YamlNode* node = parent.find(key);
  if (node == nullptr || node->kind == YamlNode::Kind::null) return nullptr;
  if (node->kind != YamlNode::Kind::map) return tl::unexpected(at_line(node->line, "`" + std::string(key) + "` must be a map"));
  return node;
}

void read_variables(const YamlNode& map, Variables& out) {
  for (const YamlNode::Entry& entry : map.entries)
    if (entry.key.starts_with("ansible_") && entry.value->kind == YamlNode::Kind::scalar) out[entry.key] = entry.value->text;
}

Result<void> read_group(const std::string& name, const YamlNode& node, int depth, std::map<std::string, Group>& groups, std::map<std::string, Variables>& variables) {
  Group& group = groups[name];
  if (node.kind == YamlNode::Kind::null) return {};
  if (node.kind != YamlNode::Kind::map) return tl::unexpected(at_line(node.line, "the group `" + name + "` must be a map with hosts, vars and children"));
  if (depth > k_most_depth) return tl::unexpected(at_line(node.line, "groups nested too deeply"));
  const auto hosts = map_at(node, "hosts");
  if (!hosts) return tl::unexpected(hosts.error());
  const auto vars = map_at(node, "vars");
  if (!vars) return tl::unexpected(vars.error());
  const auto children = map_at(node, "children");
  if (!children) return tl::unexpected(children.error());
  if (*vars != nullptr) read_variables(**vars, group.variables);
  if (*hosts != nullptr) {
    for (const YamlNode::Entry& entry : (*hosts)->entries) {
      const auto names = expand(entry.key);
      if (!names) return tl::unexpected(at_line(entry.line, names.error().detail));
      for (const std::string& host : *names) {
        group.hosts.push_back(host);
        auto& mine = variables[host];
        if (entry.value->kind == YamlNode::Kind::map) read_variables(*entry.value, mine);
        if (variables.size() > k_most_hosts) return fail(Errc::invalid, "more than 100000 hosts");
      }
    }
  }
  if (*children == nullptr) return {};
  for (const YamlNode::Entry& entry : (*children)->entries) {
    groups[name].children.push_back(entry.key);
    if (auto read = read_group(entry.key, *entry.value, depth + 1, groups, variables); !read) return read;
  }
  return {};
}

Result<std::vector<InventoryHost>> parse_yaml_inventory(std::string_view text) {
  std::vector<policy::Diagnostic> problems;
  const auto tree = policy::parse_yaml("inventory", text, problems);
  if (!tree) return fail(Errc::invalid, problems.empty() ? "the inventory is no YAML" : "line " + std::to_string(problems.front().line) + ": " + problems.front().message);
  if (tree->kind != YamlNode::Kind::map) return tl::unexpected(at_line(tree->line, "a YAML inventory is a map of groups"));
  std::map<std::string, Group> groups;
  std::map<std::string, Variables> variables;
  for (const YamlNode::Entry& entry : tree->entries)
    if (auto read = read_group(entry.key, *entry.value, 0, groups, variables); !read) return tl::unexpected(read.error());
  return finish(groups, std::move(variables));
}

/// The first line that says something is a plain key: "all:".
bool looks_like_yaml(std::string_view text) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (const auto comment = line.find('#'); comment != std::string_view::npos) line = line.substr(0, comment);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r')) line.remove_suffix(1);
    if (line.empty() || line == "---") continue;
    return line.back() == ':' && line.front() != '[' && line.find('=') == std::string_view::npos;
  }
  return false;
}

}  // namespace

Result<std::vector<InventoryHost>> parse_inventory(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{') return parse_list(text);
  return looks_like_yaml(text) ? parse_yaml_inventory(text) : parse_ini(text);
}

}  // namespace sallyport::app
