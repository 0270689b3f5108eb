#include "policy/access/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "policy/access/canonical.h"
#include "policy/access/compiled.h"

namespace sallyport::policy {
namespace {

using Verb = PlanChange::Verb;

struct Definition {
  CanonicalFields fields;
  Place place;
};
using Definitions = std::map<std::string, Definition>;

template <class Items, class NameOf>
Definitions definitions_of(const Items& items, NameOf&& name_of_item) {
  Definitions result;
  for (const auto& item : items) result[name_of_item(item)] = Definition{canonical(item), item.place};
  return result;
}

/// A binding has no name: it is known by what it binds.
std::string name_of_binding(const Binding& binding) {
  std::string name = binding.role + " ->";
  for (const auto& group : binding.groups) name += " group:" + group;
  for (const auto& principal : binding.principals) name += " " + principal.str();
  return name;
}

void compare(std::string_view kind, const Definitions& before, const Definitions& after, std::vector<PlanChange>& out) {
  for (const auto& [name, definition] : before) {
    if (!after.contains(name)) out.push_back(PlanChange{Verb::removed, std::string(kind), name, {}, definition.place});
  }
  for (const auto& [name, definition] : after) {
    const auto old = before.find(name);
    if (old == before.end()) {
      out.push_back(PlanChange{Verb::added, std::string(kind), name, {}, definition.place});
      continue;
    }
    PlanChange change{Verb::changed, std::string(kind), name, {}, definition.place};
    // Not everything has every field: a role without an approval has none to compare.
    const auto& was = old->second.fields;
    for (const auto& field : definition.fields)
      if (std::find(was.begin(), was.end(), field) == was.end()) change.fields.emplace_back(field.first);
    for (const auto& field : was) {
      const auto same_name = [&](const auto& one) { return one.first == field.first; };
      if (std::none_of(definition.fields.begin(), definition.fields.end(), same_name)) change.fields.emplace_back(field.first);
    }
    if (!change.fields.empty()) out.push_back(std::move(change));
  }
}

/// What one principal may do at one account of one target, as far as it does not depend on the moment.
struct Standing {
  KindSet channels;
  std::string conditions;  ///< everything else that the applicable rules say
};

/// The rules a principal has, as one text: principals with equal texts have the same standing everywhere.
class Side {
 public:
  Side(const Snapshot& snapshot, WallTime now) : snapshot_(snapshot), compiled_(snapshot.compiled()), now_(now) {
    for (const Role& role : snapshot.roles()) {
      std::string text;
      for (const auto& [field, value] : canonical(role)) text += std::string(field) + "\n" + value + "\n";
      role_texts_.push_back(std::move(text));
      std::vector<std::string> allow;
      std::vector<std::string> deny;
      for (const Rule& rule : role.allow) allow.push_back(canonical(rule));
      for (const Rule& rule : role.deny) deny.push_back(canonical(rule));
      allow_texts_.push_back(std::move(allow));
      deny_texts_.push_back(std::move(deny));
    }
  }

  [[nodiscard]] std::optional<std::uint32_t> id_of(std::string_view principal) const {
    const auto found = compiled_.principal_ids.find(principal);
    if (found == compiled_.principal_ids.end()) return std::nullopt;
    return found->second;
  }

  [[nodiscard]] std::vector<Grant> grants_of(std::optional<std::uint32_t> principal) const {
    std::vector<Grant> live;
    if (!principal) return live;
    const Principal& p = compiled_.documents.principals[*principal];
    if (p.expires && *p.expires <= now_) return live;
    for (const Grant& grant : compiled_.grants[*principal]) {
      if (!grant.expires || *grant.expires > now_) live.push_back(grant);
    }
    return live;
  }

  /// Who has the same text gains and loses the same.
  [[nodiscard]] std::string signature_of(std::optional<std::uint32_t> principal) const {
    std::string text;
    for (const Grant& grant : grants_of(principal)) {
      text += std::to_string(grant.role) + ":" + (grant.expires ? std::to_string(grant.expires->time_since_epoch().count()) : "-") + ";";
    }
    if (principal && compiled_.documents.principals[*principal].type == PrincipalType::machine) text += "machine";
    return text;
  }

  [[nodiscard]] bool same_roles(const Side& other, const std::vector<Grant>& mine, const std::vector<Grant>& theirs) const {
    return std::equal(mine.begin(), mine.end(), theirs.begin(), theirs.end(), [&](const Grant& a, const Grant& b) {
      return a.expires == b.expires && snapshot_.roles()[a.role].name == other.snapshot_.roles()[b.role].name && role_texts_[a.role] == other.role_texts_[b.role];
    });
  }

  [[nodiscard]] Standing standing(const std::vector<Grant>& grants, bool is_machine, std::string_view target, std::string_view account) const {
    Standing result;
    const auto target_id = compiled_.target_ids.find(target);
    if (target_id == compiled_.target_ids.end()) return result;
    const Target& defined = compiled_.documents.targets[target_id->second];
    if (defined.find_account(account) == nullptr) return result;
    const std::uint32_t account_id = compiled_.account_ids.at(account);
    std::set<std::string> conditions;
    KindSet denied;
    for (const Grant& grant : grants) {
      const CompiledRole& role = compiled_.roles[grant.role];
      for (const CompiledRule& rule : role.deny) {
        if (!rule.targets.has(target_id->second) || !rule.accounts.has(account_id)) continue;
        const Rule& r = *rule.rule;
        // A deny that holds only at times, from somewhere or for some paths is a condition; any other takes the channel.
        if (r.networks.empty() && r.hours.empty() && !r.has_files && !r.has_tunnels && r.up && r.down) denied.add(rule.channels);
        conditions.insert("deny " + deny_texts_[grant.role][rule.index]);
      }
      for (const CompiledRule& rule : role.allow) {
        if (!rule.targets.has(target_id->second) || !rule.accounts.has(account_id)) continue;
        result.channels.add(rule.channels);
        const auto& approval = snapshot_.roles()[grant.role].approval;
        const std::string on_request =
            approval ? "approval " + approval->approvers + " " + std::to_string(approval->count) + " " + std::to_string(approval->lasts.count()) + " " : std::string();
        const auto& moderation = snapshot_.roles()[grant.role].moderation;
        const std::string in_presence = moderation ? "moderation " + moderation->moderators + " " + (moderation->take_over ? "take_over " : "") : std::string();
        conditions.insert("allow " + on_request + in_presence + allow_texts_[grant.role][rule.index] + (grant.expires ? std::to_string(grant.expires->time_since_epoch().count()) : ""));
      }
    }
    if (is_machine) {
      KindSet never;
      for (const ChannelKind kind : {ChannelKind::shell, ChannelKind::pty, ChannelKind::agent, ChannelKind::x11}) never.add(kind);
      denied.add(never);
    }
    result.channels.remove(denied);
    if (result.channels.empty()) return result;
    for (const std::string& condition : conditions) result.conditions += condition + "\n";
    return result;
  }

  [[nodiscard]] bool is_machine(std::optional<std::uint32_t> principal) const {
    return principal && compiled_.documents.principals[*principal].type == PrincipalType::machine;
  }

  [[nodiscard]] std::set<AdminRight> admin_rights(const std::vector<Grant>& grants, bool machine) const {
    std::set<AdminRight> rights;
    if (machine) return rights;
    for (const Grant& grant : grants) {
      const auto& admin = snapshot_.roles()[grant.role].admin;
      rights.insert(admin.begin(), admin.end());
    }
    return rights;
  }

 private:
  const Snapshot& snapshot_;
  const Compiled& compiled_;
  WallTime now_;
  std::vector<std::string> role_texts_;
  std::vector<std::vector<std::string>> allow_texts_;
  std::vector<std::vector<std::string>> deny_texts_;
};

/// target and account names of both policies.
using Places = std::map<std::string, std::set<std::string>>;

struct Row {
  std::string target;
  std::string account;
  KindSet gains;
  KindSet loses;
  bool conditions_changed = false;
};

std::vector<Row> compare_standing(const Side& before, const Side& after, const std::vector<Grant>& old_grants, const std::vector<Grant>& new_grants,
                                  bool was_machine, bool is_machine, const Places& places) {
  std::vector<Row> rows;
  for (const auto& [target, accounts] : places) {
    for (const std::string& account : accounts) {
      const Standing old = before.standing(old_grants, was_machine, target, account);
      const Standing now = after.standing(new_grants, is_machine, target, account);
      Row row{target, account, now.channels, old.channels, false};
      row.gains.remove(old.channels);
      row.loses.remove(now.channels);
      row.conditions_changed = old.conditions != now.conditions && !old.channels.empty() && !now.channels.empty();
      if (!row.gains.empty() || !row.loses.empty() || row.conditions_changed) rows.push_back(std::move(row));
    }
  }
  return rows;
}

void compare_access(const Snapshot& before, const Snapshot& after, WallTime now, Plan& plan) {
  const Side old_side(before, now);
  const Side new_side(after, now);
  Places places;
  Places changed_places;
  std::map<std::string, std::string> old_targets;
  // Address, keys and the like do not change who may do what; labels and accounts do.
  const auto shape_of = [](const Target& target) {
    std::string shape;
    for (const auto& [key, value] : target.labels) shape += key + "=" + value + "\n";
    std::set<std::string> accounts;
    for (const Account& account : target.accounts) accounts.insert(account.name.str());
    for (const std::string& account : accounts) shape += "\naccount " + account;
    return shape;
  };
  for (const Target& target : before.targets()) {
    old_targets[target.name.str()] = shape_of(target);
    for (const Account& account : target.accounts) places[target.name.str()].insert(account.name.str());
  }
  for (const Target& target : after.targets()) {
    for (const Account& account : target.accounts) places[target.name.str()].insert(account.name.str());
    const auto old = old_targets.find(target.name.str());
    if (old == old_targets.end() || old->second != shape_of(target)) changed_places[target.name.str()] = {};
    if (old != old_targets.end()) old_targets.erase(old);
  }
  for (const auto& [name, shape] : old_targets) {
    if (after.find_target(name) == nullptr) changed_places[name] = {};
  }
  for (auto& [name, accounts] : changed_places) accounts = places[name];

  std::set<std::string> names;
  for (const auto* snapshot : {&before, &after}) {
    for (const Principal& principal : snapshot->principals()) names.insert(principal.name.str());
  }
  std::map<std::string, std::vector<Row>> known;  // by both signatures
  for (const std::string& name : names) {
    const auto old_id = old_side.id_of(name);
    const auto new_id = new_side.id_of(name);
    const bool was_machine = old_side.is_machine(old_id);
    const bool is_machine = new_side.is_machine(new_id);
    const auto old_grants = old_side.grants_of(old_id);
    const auto new_grants = new_side.grants_of(new_id);

    AdminChange admin{PrincipalId(name), {}, {}};
    const auto old_rights = old_side.admin_rights(old_grants, was_machine);
    const auto new_rights = new_side.admin_rights(new_grants, is_machine);
    std::set_difference(new_rights.begin(), new_rights.end(), old_rights.begin(), old_rights.end(), std::back_inserter(admin.gains));
    std::set_difference(old_rights.begin(), old_rights.end(), new_rights.begin(), new_rights.end(), std::back_inserter(admin.loses));
    if (!admin.gains.empty() || !admin.loses.empty()) plan.admin.push_back(std::move(admin));

    const bool same_rules = was_machine == is_machine && old_side.same_roles(new_side, old_grants, new_grants);
    if (same_rules && changed_places.empty()) continue;
    const std::string key = old_side.signature_of(old_id) + "|" + new_side.signature_of(new_id);
    auto found = known.find(key);
    if (found == known.end()) {
      found = known.emplace(key, compare_standing(old_side, new_side, old_grants, new_grants, was_machine, is_machine, same_rules ? changed_places : places)).first;
    }
    for (const Row& row : found->second) {
      ++plan.access_in_all;
      if (plan.access.size() >= k_max_plan_rows) continue;
      plan.access.push_back(AccessChange{PrincipalId(name), TargetId(row.target), AccountName(row.account), row.gains, row.loses, row.conditions_changed});
    }
  }
}

std::string_view sign_of(Verb verb) {
  switch (verb) {
    case Verb::added: return "+";
    case Verb::removed: return "-";
    case Verb::changed: return "~";
  }
  return "~";
}

}  // namespace

Plan make_plan(const Snapshot& before, const Snapshot& after, const Locks& locks, std::span<const LiveUse> live, WallTime now) {
  Plan plan;
  plan.no_changes = before.digest() == after.digest();
  for (const LiveUse& use : live) {
    AccessRequest request = use.request;
    request.now = now;
    if (!request.opened) request.opened = now;
    if (!decide(before, locks, request).allowed()) continue;  // ends anyhow
    Decision decision = decide(after, locks, request);
    if (!decision.allowed()) plan.ending.push_back(SessionEffect{use.session, request.principal, request.target, request.account, std::move(decision)});
  }
  plan.idle = find_idle_rules(after);
  plan.tests = after.tests().size();
  plan.coverage = coverage_of(after, after.tests());
  if (plan.no_changes) return plan;

  const auto by_id = [](const auto& item) { return item.name.str(); };
  const auto by_name = [](const auto& item) { return item.name; };
  compare("principal", definitions_of(before.principals(), by_id), definitions_of(after.principals(), by_id), plan.changes);
  compare("group", definitions_of(before.groups(), by_name), definitions_of(after.groups(), by_name), plan.changes);
  compare("trusted_user_ca", definitions_of(before.user_cas(), by_name), definitions_of(after.user_cas(), by_name), plan.changes);
  compare("target", definitions_of(before.targets(), by_id), definitions_of(after.targets(), by_id), plan.changes);
  compare("role", definitions_of(before.roles(), by_name), definitions_of(after.roles(), by_name), plan.changes);
  compare("binding", definitions_of(before.bindings(), name_of_binding), definitions_of(after.bindings(), name_of_binding), plan.changes);
  compare_access(before, after, now, plan);
  return plan;
}

namespace {

std::string advice(const Plan& plan) {
  std::string out;
  if (!plan.idle.empty()) out += "Rules that do nothing:\n";
  for (const IdleRule& rule : plan.idle) out += "  " + rule.rule.str() + ": " + rule.why + "\n";
  if (plan.tests > 0) {
    out += "Tests: " + std::to_string(plan.tests) + " hold; they reach " + std::to_string(plan.coverage.covered) + " of " + std::to_string(plan.coverage.rules) + " rules.\n";
    for (const RuleReference& rule : plan.coverage.uncovered) out += "  no test reaches " + rule.str() + "\n";
  }
  return out;
}

}  // namespace

std::string Plan::text() const {
  if (no_changes) return "No changes.\n" + advice(*this);
  std::string out;
  for (const PlanChange& change : changes) {
    out += std::string(sign_of(change.verb)) + " " + change.kind + " " + change.name;
    for (std::size_t i = 0; i < change.fields.size(); ++i) out += (i == 0 ? ": " : ", ") + change.fields[i];
    if (change.place.file) out += " (" + change.place.str() + ")";
    out += '\n';
  }
  if (!access.empty()) out += "Who gains or loses what:\n";
  for (const AccessChange& row : access) {
    out += "  " + row.principal.str() + " on " + row.target.str() + " as " + row.account.str() + ":";
    if (!row.gains.empty()) out += " gains " + row.gains.str();
    if (!row.loses.empty()) out += std::string(row.gains.empty() ? "" : ";") + " loses " + row.loses.str();
    if (row.conditions_changed) out += std::string(row.gains.empty() && row.loses.empty() ? "" : ";") + " other conditions";
    out += '\n';
  }
  if (access_in_all > access.size()) out += "  ... and " + std::to_string(access_in_all - access.size()) + " more\n";
  for (const AdminChange& row : admin) {
    out += "  " + row.principal.str() + " on the admin side:";
    for (const AdminRight right : row.gains) out += " +" + std::string(name_of(right));
    for (const AdminRight right : row.loses) out += " -" + std::string(name_of(right));
    out += '\n';
  }
  if (!ending.empty()) out += "Live sessions that would end:\n";
  for (const SessionEffect& effect : ending) {
    out += "  " + effect.session + " " + effect.principal.str() + " on " + effect.target.str() + " as " + effect.account.str() + ": " + effect.decision.code + " " +
           effect.decision.why + '\n';
  }
  if (out.empty()) out = "Nobody gains or loses anything.\n";
  return out + advice(*this);
}

}  // namespace sallyport::policy
