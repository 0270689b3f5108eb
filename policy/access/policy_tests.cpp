#include "policy/access/policy_tests.h"

#include <algorithm>
#include <set>

#include "policy/access/compiled.h"
#include "policy/access/history.h"

namespace sallyport::policy {
namespace {

RuleReference reference_of(const Snapshot& snapshot, const CompiledRule& rule) {
  return RuleReference{snapshot.roles()[rule.role].name, rule.is_deny, rule.index, rule.rule->place};
}

/// Every target (account) of `inner` is one of `outer`.
bool covers(const IndexSet& outer, const IndexSet& inner, std::size_t universe) {
  if (outer.is_all()) return true;
  for (std::uint32_t i = 0; i < universe; ++i)
    if (inner.has(i) && !outer.has(i)) return false;
  return true;
}

bool is_plain(const Rule& rule) {
  return rule.up && rule.down && !rule.has_files && rule.networks.empty() && rule.hours.empty() && !rule.mfa_within && !rule.security_key && !rule.max_sessions;
}

/// Limits of a matching allow rule bind even where another allows the same (the strictest holds), so only a rule without any is idle.
bool limits_nothing(const Rule& rule) { return !rule.max_duration && !rule.idle_timeout && !rule.bulk && rule.env.empty(); }

bool is_shadowed_by(const CompiledRule& rule, const CompiledRule& other, const Compiled& compiled) {
  if (!is_plain(*other.rule) || other.rule->has_tunnels != rule.rule->has_tunnels) return false;
  if (rule.rule->has_tunnels && !std::all_of(rule.rule->tunnels.begin(), rule.rule->tunnels.end(), [&](const TunnelPattern& mine) {
        return std::any_of(other.rule->tunnels.begin(), other.rule->tunnels.end(), [&](const TunnelPattern& theirs) { return theirs.text() == mine.text(); });
      }))
    return false;
  if (!rule.is_deny && (!limits_nothing(*rule.rule) || rule.rule->has_tunnels != other.rule->has_tunnels)) return false;
  if (rule.is_deny && rule.rule->every_channel && !other.rule->every_channel) return false;
  KindSet left = rule.channels;
  left.remove(other.channels);
  return left.empty() && covers(other.targets, rule.targets, compiled.documents.targets.size()) && covers(other.accounts, rule.accounts, compiled.account_ids.size());
}

bool same_words(const CompiledRule& a, const CompiledRule& b, const Compiled& compiled) { return is_shadowed_by(a, b, compiled) && is_shadowed_by(b, a, compiled); }

}  // namespace

std::vector<Diagnostic> run_tests(const Snapshot& snapshot, const std::vector<PolicyTest>& tests) {
  std::vector<Diagnostic> problems;
  const Locks none;
  for (const PolicyTest& test : tests) {
    const Decision decision = decide(snapshot, none, test.request);
    const std::string_view verdict = verdict_of(decision);
    if (verdict == test.expect && (test.code.empty() || test.code == decision.code)) continue;
    std::string what = "the test `" + test.name + "` expects " + test.expect + (test.code.empty() ? "" : " " + test.code) + ", the policy says " + std::string(verdict);
    if (!decision.allowed()) what += " " + decision.code + ": " + decision.why;
    if (!decision.rule.role.empty()) what += " (" + decision.rule.str() + ")";
    problems.push_back(Diagnostic{test.place.file ? *test.place.file : std::string(), test.place.line, test.place.column, test.pointer, std::move(what)});
  }
  return problems;
}

Coverage coverage_of(const Snapshot& snapshot, const std::vector<PolicyTest>& tests) {
  std::set<std::tuple<std::string, bool, std::uint32_t>> seen;
  const Locks none;
  for (const PolicyTest& test : tests) {
    for (const TraceStep& step : explain(snapshot, none, test.request).steps)
      if (step.matched) seen.insert({step.rule.role, step.rule.is_deny, step.rule.index});
  }
  Coverage coverage;
  for (const CompiledRole& role : snapshot.compiled().roles) {
    for (const auto* rules : {&role.allow, &role.deny}) {
      for (const CompiledRule& rule : *rules) {
        ++coverage.rules;
        RuleReference reference = reference_of(snapshot, rule);
        if (seen.contains({reference.role, reference.is_deny, reference.index})) ++coverage.covered;
        else coverage.uncovered.push_back(std::move(reference));
      }
    }
  }
  return coverage;
}

std::vector<IdleRule> find_idle_rules(const Snapshot& snapshot) {
  std::vector<IdleRule> idle;
  const Compiled& compiled = snapshot.compiled();
  std::set<std::uint32_t> bound;
  for (const auto& grants : compiled.grants)
    for (const Grant& grant : grants) bound.insert(grant.role);
  const std::size_t targets = compiled.documents.targets.size();
  for (std::uint32_t r = 0; r < compiled.roles.size(); ++r) {
    for (const auto* rules : {&compiled.roles[r].allow, &compiled.roles[r].deny}) {
      for (std::size_t i = 0; i < rules->size(); ++i) {
        const CompiledRule& rule = (*rules)[i];
        const auto add = [&](std::string why) { idle.push_back(IdleRule{reference_of(snapshot, rule), std::move(why)}); };
        if (!bound.contains(r)) {
          add("dead: nobody has the role");
          continue;
        }
        bool reaches = false;
        for (std::uint32_t t = 0; t < targets && !reaches; ++t) {
          if (!rule.targets.has(t)) continue;
          const auto& accounts = compiled.documents.targets[t].accounts;
          reaches = std::any_of(accounts.begin(), accounts.end(), [&](const Account& account) { return rule.accounts.has(compiled.account_ids.at(account.name.view())); });
        }
        if (!reaches) {
          add("dead: it reaches no account of any target");
          continue;
        }
        for (std::size_t k = 0; k < rules->size(); ++k) {
          if (k == i || !is_shadowed_by(rule, (*rules)[k], compiled)) continue;
          if (same_words(rule, (*rules)[k], compiled) && k > i) continue;  // of two that say the same the later one is idle
          add("shadowed by " + reference_of(snapshot, (*rules)[k]).str());
          break;
        }
        if (rule.is_deny || (!idle.empty() && idle.back().rule.place.line == rule.rule->place.line && idle.back().rule.role == snapshot.roles()[r].name)) continue;
        for (const CompiledRule& deny : compiled.roles[r].deny) {
          if (!is_plain(*deny.rule) || deny.rule->has_tunnels) continue;
          KindSet left = rule.channels;
          left.remove(deny.channels);
          if (!left.empty() || !covers(deny.targets, rule.targets, targets) || !covers(deny.accounts, rule.accounts, compiled.account_ids.size())) continue;
          add("shadowed by " + reference_of(snapshot, deny).str() + ", which denies all of it");
          break;
        }
      }
    }
  }
  return idle;
}

}  // namespace sallyport::policy
