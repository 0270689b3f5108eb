// The rule under test of guard_replay: `rm` may not touch /data; everything unclear is only reported.
#include <cstdlib>
#include <iostream>
#include <memory>

#include "gateway/ssh/line_guard.h"
#include "policy/guard/rules.h"

sallyport::gateway::LineGuard::Hooks make_guard_hooks() {
  using namespace sallyport;
  guard::RuleDocument document;
  guard::Rule rule;
  rule.id = "replay/rm-data";
  rule.reason = "it removes the data";
  rule.programs = {"rm"};
  rule.pattern = "^rm .*/data( |$)";
  document.rules.push_back(rule);
  document.opaque.fill(guard::Verdict::alert);
  auto rules = guard::RuleSet::from_bytes(guard::encode(document));
  if (!rules) {
    std::cerr << rules.error().detail << "\n";
    std::exit(2);
  }
  auto guard = std::make_shared<guard::Guard>(*rules);
  gateway::LineGuard::Hooks hooks;
  hooks.judge = [guard](std::string_view text, guard::Dialect dialect) { return guard->judge(text, dialect, guard::Origin::line); };
  hooks.ran = [guard](std::string_view text, guard::Dialect dialect) { guard->ran(text, dialect); };
  hooks.opaque_verdict = [guard](guard::Opaque kind) { return guard->rules().opaque_verdict(kind); };
  return hooks;
}
