// An Explanation as text for a terminal.
#include "policy/access/engine.h"

namespace sallyport::policy {

std::string Explanation::text() const {
  std::string text = decision.allowed() ? "allow" : decision.outcome == Outcome::ask ? "ask" : "deny " + decision.code;
  if (!decision.why.empty()) text += ": " + decision.why;
  if (const std::string rule = decision.rule.str(); !rule.empty()) text += "\n  by " + rule;
  text += '\n';
  for (const std::string& fact : facts) text += "  " + fact + '\n';
  for (const TraceStep& step : steps) {
    text += step.matched ? "  + " : "  - ";
    text += step.rule.str();
    if (step.binding.file) text += ", bound at " + step.binding.str();
    if (!step.why_not.empty()) text += ": " + step.why_not;
    text += '\n';
  }
  const Obligations& o = decision.obligations;
  if (!decision.allowed()) return text;
  const auto line = [&](const std::string& what) { text += "  then: " + what + '\n'; };
  if (o.max_duration) line("at most " + std::to_string(o.max_duration->count()) + " s");
  if (o.idle_timeout) line("ends after " + std::to_string(o.idle_timeout->count()) + " s without activity");
  if (o.bulk != Bulk::hash) line(o.bulk == Bulk::full ? "bulk output is recorded in full" : "ends when output becomes bulk");
  if (!o.replaced_command.empty()) line("runs `" + o.replaced_command + "` instead");
  if (o.hold) {
    const std::string who = std::to_string(o.hold->count) + (o.hold->approvers.empty() ? " with the right to approve" : " of `" + o.hold->approvers + "`");
    line(std::string(o.hold_tunnel ? "held until " : "what is held waits until ") + who + " agreed");
  }
  for (const FileRule& file : o.file_rules) {
    std::string flags;
    for (const auto& [on, name] : std::initializer_list<std::pair<bool, const char*>>{{file.up, "up"}, {file.down, "down"}, {file.change, "change"}}) {
      if (on) flags += (flags.empty() ? "" : ", ") + std::string(name);
    }
    if (file.hold_up || file.hold_change) flags += std::string(" (") + (file.hold_up ? "writing" : "") + (file.hold_up && file.hold_change ? " and " : "") + (file.hold_change ? "changes" : "") + " held until others agree)";
    line((file.prefix.empty() ? "any other path" : file.prefix) + ": " + (flags.empty() ? "nothing" : flags));
  }
  return text;
}

}  // namespace sallyport::policy
