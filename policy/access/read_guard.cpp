// A role's `guard:` out of a policy file.
#include <algorithm>

#include "policy/access/guard_block.h"
#include "policy/access/read_documents.h"
#include "policy/access/suggest.h"
#include "policy/guard/packs/packs.h"
#include "policy/guard/wildcard.h"

namespace sallyport::policy {
namespace {

std::optional<guard::Verdict> read_verdict(const Spot& spot) {
  const auto text = spot.text();
  if (!text) return std::nullopt;
  if (const auto verdict = guard::parse_verdict(*text)) return verdict;
  spot.complain("unknown verdict `" + text->substr(0, 64) + "`; there are: allow, alert, confirm, approve, deny, kill");
  return std::nullopt;
}

void read_packs(const Spot& spot, guard::RuleDocument& document) {
  spot.each([&](const Spot& item) {
    const auto name = item.text();
    if (!name) return;
    bool found = false;
    Suggestion suggestion(*name);
    for (const guard::Pack& pack : guard::shipped_packs()) {
      if (pack.rules.empty()) continue;
      suggestion.consider(pack.name);
      if (*name != "all" && *name != pack.name) continue;
      found = true;
      for (const guard::PackRule& rule : pack.rules) {
        const bool again = std::any_of(document.rules.begin(), document.rules.end(), [&](const guard::Rule& r) { return r.id == rule.rule.id; });
        if (!again) document.rules.push_back(rule.rule);
      }
    }
    if (!found) item.complain("there is no pack `" + name->substr(0, 64) + "`" + (suggestion.text().empty() ? "; see: sallyport guard packs" : suggestion.text()));
  });
}

void read_opaque(const Spot& spot, guard::RuleDocument& document) {
  if (spot.node().kind == YamlNode::Kind::scalar) {
    if (const auto verdict = read_verdict(spot)) {
      // One verdict for all that hides something; a file or a shell that is plainly named stays what it is by default.
      for (const guard::Opaque kind : {guard::Opaque::hidden_command, guard::Opaque::unseen_input, guard::Opaque::unseen_code, guard::Opaque::history, guard::Opaque::unreadable}) {
        document.opaque[static_cast<std::size_t>(kind)] = *verdict;
      }
    }
    return;
  }
  spot.each_entry([&](const std::string& key, const Spot& key_spot, const Spot& value) {
    const auto kind = guard::parse_opaque(key);
    if (!kind || *kind == guard::Opaque::none) {
      key_spot.complain("unknown kind `" + key.substr(0, 64) + "`; there are: hidden-command, unseen-input, unseen-code, unseen-file, nested-shell, history, unreadable");
      return;
    }
    if (const auto verdict = read_verdict(value)) document.opaque[static_cast<std::size_t>(*kind)] = *verdict;
  });
}

void read_features(const Spot& spot, guard::RuleDocument& document) {
  spot.each([&](const Spot& item) {
    const auto name = item.text();
    if (!name) return;
    for (std::size_t i = 0; i < guard::k_features; ++i) {
      if (guard::name_of(static_cast<guard::Feature>(i)) != *name) continue;
      document.features = static_cast<std::uint8_t>(document.features | (1U << i));
      return;
    }
    item.complain("unknown feature `" + name->substr(0, 64) + "`; there are: list, pipe, redirect, expansion, compound");
  });
}

void read_rules(const Spot& spot, const std::string& role, guard::RuleDocument& document) {
  std::vector<guard::PackRule> own;
  spot.each([&](const Spot& item) {
    guard::PackRule rule = guard::read_rule(item, role, guard::shipped_paths());
    const bool again = std::any_of(own.begin(), own.end(), [&](const guard::PackRule& r) { return r.rule.id == rule.rule.id; });
    if (again) item.complain("the rule `" + rule.rule.id + "` stands here twice");
    for (const guard::TestFailure& failure : guard::run_tests({rule})) item.complain(failure.message);
    own.push_back(std::move(rule));
  });
  for (guard::PackRule& rule : own) document.rules.push_back(std::move(rule.rule));
}

/// "privilege/sudo-shell: alert", "hops/*: confirm"
void read_overrides(const Spot& spot, guard::RuleDocument& document) {
  spot.each_entry([&](const std::string& key, const Spot& key_spot, const Spot& value) {
    const auto verdict = read_verdict(value);
    bool found = false;
    for (guard::Rule& rule : document.rules) {
      if (!guard::wildcard_match(key, rule.id, true)) continue;
      found = true;
      if (verdict) rule.verdict = *verdict;
    }
    if (!found) key_spot.complain("no rule of the packs named here is called `" + key.substr(0, 64) + "`; see: sallyport guard packs PACK");
  });
}

}  // namespace

void read_guard(ReadState& state, const Spot& spot, Role& role) {
  spot.each([&](const Spot& item) {
    if (!item.is_map_of({"targets", "accounts", "hours", "packs", "opaque", "verdicts", "allow_only", "features", "deny", "rules", "marks"})) return;
    GuardBlock block;
    block.where.place = item.place();
    if (const auto targets = item.field("targets")) read_rule_targets(state, *targets, block.where);
    if (const auto accounts = item.field("accounts")) {
      for (const std::string& name : accounts->texts()) {
        if (name != "*") block.where.accounts.push_back(name);
      }
    }
    if (const auto hours = item.field("hours")) read_rule_hours(*hours, block.where);
    guard::RuleDocument& document = block.document;
    document.opaque = guard::default_opaque();
    if (const auto packs = item.field("packs")) read_packs(*packs, document);
    if (const auto opaque = item.field("opaque")) read_opaque(*opaque, document);
    if (const auto rules = item.field("rules")) read_rules(*rules, role.name, document);
    if (const auto verdicts = item.field("verdicts")) read_overrides(*verdicts, document);
    if (const auto allowed = item.field("allow_only")) {
      document.allow_list_only = true;
      document.allowed = allowed->texts();
      if (document.allowed.empty()) allowed->complain("this lists no command: nothing at all could be run");
    }
    if (const auto features = item.field("features")) {
      if (!document.allow_list_only) features->complain("`features` belongs to `allow_only`");
      read_features(*features, document);
    }
    if (const auto marks = item.field("marks")) document.marks = marks->flag().value_or(false);
    if (const auto denied = item.field("deny")) document.denied = denied->texts();
    if (document.rules.empty() && !document.allow_list_only && document.denied.empty() && !item.field("opaque")) {
      item.complain("this guards nothing: give `packs`, `rules`, `deny`, `allow_only` or `opaque`");
    }
    std::erase_if(document.rules, [](const guard::Rule& rule) { return rule.verdict == guard::Verdict::allow; });
    block.bytes = std::make_shared<const std::vector<std::byte>>(guard::encode(document));
    role.guard.push_back(std::make_shared<const GuardBlock>(std::move(block)));
  });
}

}  // namespace sallyport::policy
