// What several matching rules mean together.
#include <algorithm>

#include "policy/access/matching.h"

namespace sallyport::policy {

void merge_files(const std::vector<const Rule*>& allows, const std::vector<const Rule*>& strips, Obligations& obligations) {
  const auto granted = [](const Rule& rule, std::string_view prefix) {
    FileRule flags{std::string(prefix), true, true, true};
    flags.hold_up = flags.hold_change = rule.hold.has_value();
    if (rule.has_files) {
      const auto found = std::find_if(rule.files.begin(), rule.files.end(), [&](const FileRule& f) {
        return f.prefix.empty() || path_is_under(prefix, f.prefix);
      });
      if (found == rule.files.end()) {
        flags.up = flags.down = flags.change = false;
      } else {
        flags.up = found->up;
        flags.down = found->down;
        flags.change = found->change;
        flags.hold_up = found->hold_up;
        flags.hold_change = found->hold_change;
      }
    }
    flags.up = flags.up && rule.up;
    flags.down = flags.down && rule.down;
    flags.change = flags.change && rule.up;
    return flags;
  };
  std::vector<std::string> prefixes{""};
  for (const auto* rules : {&allows, &strips}) {
    for (const Rule* rule : *rules) {
      for (const FileRule& file : rule->files) prefixes.push_back(file.prefix == "/" ? std::string() : file.prefix);
    }
  }
  std::sort(prefixes.begin(), prefixes.end(), [](const std::string& a, const std::string& b) { return a.size() != b.size() ? a.size() > b.size() : a < b; });
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  for (const std::string& prefix : prefixes) {
    const std::string_view place = prefix.empty() ? std::string_view("/") : std::string_view(prefix);
    FileRule sum{prefix, false, false, false};
    bool up_at_once = false;  // what one rule gives without asking is not held by another
    bool change_at_once = false;
    for (const Rule* rule : allows) {
      const FileRule flags = granted(*rule, place);
      sum.up = sum.up || flags.up;
      sum.down = sum.down || flags.down;
      sum.change = sum.change || flags.change;
      up_at_once = up_at_once || (flags.up && !flags.hold_up);
      change_at_once = change_at_once || (flags.change && !flags.hold_change);
    }
    for (const Rule* rule : strips) {
      if (!rule->has_files) {  // a deny of one direction, for every path
        sum.up = sum.up && !rule->up;
        sum.change = sum.change && !rule->up;
        sum.down = sum.down && !rule->down;
        continue;
      }
      for (const FileRule& file : rule->files) {
        if (!file.prefix.empty() && !path_is_under(place, file.prefix)) continue;
        sum.up = sum.up && !file.up;
        sum.down = sum.down && !file.down;
        sum.change = sum.change && !file.change;
      }
    }
    sum.hold_up = sum.up && !up_at_once;
    sum.hold_change = sum.change && !change_at_once;
    obligations.file_rules.push_back(std::move(sum));
  }
  const FileRule everything{"", true, true, true};
  obligations.file_rules_apply = !(obligations.file_rules.size() == 1 && obligations.file_rules.front() == everything);
  if (!obligations.file_rules_apply) obligations.file_rules.clear();
}

void merge_limits(const Rule& rule, Obligations& obligations) {
  const auto shorter = [](std::optional<std::chrono::seconds>& slot, const std::optional<std::chrono::seconds>& value) {
    if (value && (!slot || *value < *slot)) slot = value;
  };
  shorter(obligations.max_duration, rule.max_duration);
  shorter(obligations.idle_timeout, rule.idle_timeout);
  const auto weight = [](Bulk bulk) { return bulk == Bulk::end ? 2 : bulk == Bulk::full ? 1 : 0; };
  if (rule.bulk && weight(*rule.bulk) > weight(obligations.bulk)) obligations.bulk = *rule.bulk;
  if (rule.hold && !obligations.hold) obligations.hold = rule.hold;
  // A rule without the word does not soften what another says; `deny` wins over `approve`, and that over `alert`.
  const auto onward_weight = [](Onward onward) { return onward == Onward::deny ? 2 : onward == Onward::approve ? 1 : 0; };
  if (rule.onward && (!obligations.onward_said || onward_weight(*rule.onward) > onward_weight(obligations.onward))) {
    obligations.onward = *rule.onward;
    obligations.onward_said = true;
  }
  for (const std::string& pattern : rule.env) {
    if (std::find(obligations.env.begin(), obligations.env.end(), pattern) == obligations.env.end()) obligations.env.push_back(pattern);
  }
}

}  // namespace sallyport::policy
