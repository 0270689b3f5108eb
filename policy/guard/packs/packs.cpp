#include "policy/guard/packs/packs.h"

#include <algorithm>

#include "policy/access/fields.h"
#include "policy/guard/packs/embedded.h"

namespace sallyport::guard {
namespace {

using policy::Spot;

std::vector<std::string> text_list(const Spot& spot, std::string_view key) {
  const auto field = spot.field(key);
  if (!field) return {};
  if (field->node().kind == policy::YamlNode::Kind::scalar) {
    auto text = field->text();
    return text ? std::vector<std::string>{*std::move(text)} : std::vector<std::string>{};
  }
  return field->texts();
}

/// "~/.ssh/*" for every home.
void add_pattern(std::vector<std::string>& out, const std::string& pattern) {
  if (pattern == "~" || pattern.starts_with("~/")) {
    out.push_back("/root" + pattern.substr(1));
    out.push_back("/home/*" + pattern.substr(1));
    out.push_back("/Users/*" + pattern.substr(1));
  } else {
    out.push_back(pattern);
  }
}

std::vector<std::string> path_list(const Spot& spot, std::string_view key, const std::vector<PathClass>& classes) {
  std::vector<std::string> out;
  for (const std::string& item : text_list(spot, key)) {
    if (!item.starts_with('@')) {
      add_pattern(out, item);
      continue;
    }
    const auto found = std::find_if(classes.begin(), classes.end(), [&](const PathClass& c) { return c.name == item.substr(1); });
    if (found == classes.end()) {
      if (const auto field = spot.field(key)) field->complain("there is no list of paths called `" + item + "`");
      continue;
    }
    out.insert(out.end(), found->patterns.begin(), found->patterns.end());
  }
  return out;
}

std::string regular_expression(const Spot& spot, std::string_view key) {
  const auto field = spot.field(key);
  if (!field) return {};
  auto text = field->text();
  if (!text) return {};
  if (const std::string problem = pattern_problem(*text); !problem.empty()) {
    field->complain("the pattern `" + text->substr(0, 100) + "` is not a regular expression (RE2): " + problem);
  }
  return *std::move(text);
}

bool flag_of(const Spot& spot, std::string_view key) {
  const auto field = spot.field(key);
  return field ? field->flag().value_or(false) : false;
}

}  // namespace

PackRule read_rule(const Spot& spot, std::string_view prefix, const std::vector<PathClass>& classes) {
  PackRule out;
  if (!spot.is_map_of({"id", "verdict", "reason", "remedy", "programs", "flags", "without", "words", "pattern", "unless", "reads", "writes", "deletes", "changes", "edits", "except",
                       "env", "env_value", "remote_operand", "remote_host", "no_operands", "tests"})) {
    return out;
  }
  Rule& rule = out.rule;
  const auto id = spot.field("id");
  const std::string name = id ? id->text().value_or("") : std::string();
  if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos) {
    (id ? *id : spot).complain("a rule needs an `id` of small letters, digits and dashes");
  }
  rule.id = std::string(prefix) + "/" + name;
  if (const auto verdict = spot.field("verdict")) {
    const auto text = verdict->text();
    const auto value = text ? parse_verdict(*text) : std::nullopt;
    if (value) rule.verdict = *value;
    else if (text) verdict->complain("unknown verdict `" + text->substr(0, 64) + "`; there are: allow, alert, confirm, approve, deny, kill");
  }
  if (const auto reason = spot.field("reason")) rule.reason = reason->text().value_or("");
  if (rule.reason.empty()) spot.complain("a rule needs a `reason`: one sentence for the person whose command is stopped");
  if (const auto remedy = spot.field("remedy")) rule.remedy = remedy->text().value_or("");
  rule.programs = text_list(spot, "programs");
  rule.flags = text_list(spot, "flags");
  rule.without = text_list(spot, "without");
  rule.words = text_list(spot, "words");
  rule.pattern = regular_expression(spot, "pattern");
  rule.unless = regular_expression(spot, "unless");
  rule.reads = path_list(spot, "reads", classes);
  rule.writes = path_list(spot, "writes", classes);
  rule.deletes = path_list(spot, "deletes", classes);
  rule.changes = path_list(spot, "changes", classes);
  rule.edits = path_list(spot, "edits", classes);
  rule.except = path_list(spot, "except", classes);
  rule.env = text_list(spot, "env");
  rule.env_value = regular_expression(spot, "env_value");
  rule.remote_operand = flag_of(spot, "remote_operand");
  rule.remote_host = flag_of(spot, "remote_host");
  rule.no_operands = flag_of(spot, "no_operands");
  const bool says_something = !rule.programs.empty() || !rule.pattern.empty() || !rule.reads.empty() || !rule.writes.empty() || !rule.deletes.empty() || !rule.changes.empty() || !rule.edits.empty() || !rule.env.empty();
  if (!says_something) spot.complain("this rule would hold for every command: give `programs`, `pattern`, paths or `env`");
  if (const auto tests = spot.field("tests")) {
    tests->each([&](const Spot& item) {
      if (!item.is_map_of({"command", "expect"})) return;
      RuleTest test;
      test.line = item.node().line;
      test.column = item.node().column;
      const auto command = item.field("command");
      const auto expect = item.field("expect");
      test.command = command ? command->text().value_or("") : std::string();
      if (test.command.empty()) item.complain("a test needs a `command`");
      const std::string expected = expect ? expect->text().value_or("") : std::string();
      if (expected == "quiet") {
        test.fires = false;
      } else if (expected != name_of(rule.verdict)) {
        item.complain("`expect` is `" + std::string(name_of(rule.verdict)) + "` (the rule's verdict) or `quiet`");
      }
      out.tests.push_back(std::move(test));
    });
  }
  return out;
}

Pack read_pack(const std::string& file, std::string_view text, const std::vector<PathClass>& shared, std::vector<policy::Diagnostic>& problems) {
  Pack pack;
  const auto tree = policy::parse_yaml(file, text, problems);
  if (!tree) return pack;
  const policy::FileContext context{std::make_shared<const std::string>(file), &problems};
  const Spot top(context, *tree, "");
  if (!top.is_map_of({"pack", "version", "about", "paths", "rules"})) return pack;
  if (const auto name = top.field("pack")) pack.name = name->text().value_or("");
  if (const auto version = top.field("version")) pack.version = static_cast<std::uint32_t>(version->number(1, 1'000'000).value_or(0));
  if (const auto about = top.field("about")) pack.about = about->text().value_or("");
  if (pack.name.empty() || pack.version == 0) top.complain("a pack needs `pack` (its name) and `version`");
  std::vector<PathClass> classes = shared;
  if (const auto paths = top.field("paths")) {
    paths->each_entry([&](const std::string& key, const Spot&, const Spot& value) {
      PathClass made;
      made.name = key;
      for (const std::string& pattern : value.texts()) {
        if (pattern.starts_with('@')) {
          const auto found = std::find_if(classes.begin(), classes.end(), [&](const PathClass& c) { return c.name == pattern.substr(1); });
          if (found == classes.end()) value.complain("there is no list of paths called `" + pattern + "`");
          else made.patterns.insert(made.patterns.end(), found->patterns.begin(), found->patterns.end());
        } else {
          add_pattern(made.patterns, pattern);
        }
      }
      pack.paths.push_back(made);
      classes.push_back(std::move(made));
    });
  }
  if (const auto rules = top.field("rules")) {
    rules->each([&](const Spot& item) {
      PackRule rule = read_rule(item, pack.name, classes);
      const bool again = std::any_of(pack.rules.begin(), pack.rules.end(), [&](const PackRule& other) { return other.rule.id == rule.rule.id; });
      if (again) item.complain("the rule `" + rule.rule.id + "` stands in this pack twice");
      pack.rules.push_back(std::move(rule));
    });
  }
  return pack;
}

const std::vector<Pack>& shipped_packs() {
  static const std::vector<Pack> k_packs = [] {
    std::vector<Pack> packs;
    std::vector<policy::Diagnostic> problems;
    std::vector<PathClass> shared;
    for (const EmbeddedPack& one : embedded_packs()) {
      Pack pack = read_pack(std::string(one.file), one.text, shared, problems);
      if (pack.name == "paths") shared = pack.paths;
      packs.push_back(std::move(pack));
    }
    return packs;
  }();
  return k_packs;
}

const std::vector<PathClass>& shipped_paths() {
  const Pack* pack = find_pack("paths");
  static const std::vector<PathClass> k_nothing;
  return pack != nullptr ? pack->paths : k_nothing;
}

const Pack* find_pack(std::string_view name) {
  const std::vector<Pack>& packs = shipped_packs();
  const auto found = std::find_if(packs.begin(), packs.end(), [&](const Pack& p) { return p.name == name; });
  return found == packs.end() ? nullptr : &*found;
}

std::array<Verdict, k_opaque_kinds> default_opaque() {
  std::array<Verdict, k_opaque_kinds> verdicts{};
  const auto set = [&](Opaque kind, Verdict verdict) { verdicts[static_cast<std::size_t>(kind)] = verdict; };
  set(Opaque::hidden_command, Verdict::deny);
  set(Opaque::unseen_input, Verdict::deny);
  set(Opaque::unseen_code, Verdict::deny);
  set(Opaque::unseen_file, Verdict::allow);
  set(Opaque::nested_shell, Verdict::alert);
  set(Opaque::history, Verdict::confirm);
  set(Opaque::unreadable, Verdict::deny);
  return verdicts;
}

RuleDocument full_document() {
  RuleDocument document;
  document.opaque = default_opaque();
  for (const Pack& pack : shipped_packs()) {
    for (const PackRule& rule : pack.rules) document.rules.push_back(rule.rule);
  }
  return document;
}

std::vector<TestFailure> run_tests(const std::vector<PackRule>& rules) {
  std::vector<TestFailure> failures;
  for (const PackRule& one : rules) {
    if (one.tests.empty()) continue;
    RuleDocument alone;
    alone.rules.push_back(one.rule);
    if (alone.rules[0].verdict == Verdict::allow) alone.rules[0].verdict = Verdict::alert;  // so that it can be seen
    const auto set = RuleSet::from_bytes(encode(alone));
    if (!set) {
      failures.push_back(TestFailure{one.rule.id, set.error().detail, 0, 0});
      continue;
    }
    const Guard guard(*set);
    for (const RuleTest& test : one.tests) {
      const Judgement judged = guard.judge(test.command, Dialect::shell, Origin::script);
      if ((judged.verdict != Verdict::allow) == test.fires) continue;
      failures.push_back(TestFailure{one.rule.id, "the rule `" + one.rule.id + "` " + (test.fires ? "does not fire" : "fires") + " on: " + test.command, test.line, test.column});
    }
  }
  return failures;
}

}  // namespace sallyport::guard
