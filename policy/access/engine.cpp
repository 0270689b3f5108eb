#include "policy/access/engine.h"

#include <algorithm>

#include "policy/access/compiled.h"
#include "policy/access/guard_block.h"
#include "policy/access/matching.h"
#include "policy/access/suggest.h"

namespace sallyport::policy {
namespace {

struct NoTrace {
  static constexpr bool k_on = false;
  void fact(const char*) {}
  void step(const Question&, const CompiledRule&, const Grant&, Stage) {}
};

/// Notes only whether some rule lacks nothing but the second factor.
struct FactorTrace {
  static constexpr bool k_on = true;
  bool& seen;
  void fact(const std::string&) {}
  void step(const Question&, const CompiledRule& rule, const Grant&, Stage stage) { seen = seen || (stage == Stage::factor && !rule.is_deny); }
};

/// For an administrator's explanation only: who is refused learns no names.
std::string nearest_target(const Question& q) {
  Suggestion meant(q.request.target.view());
  for (const Target& target : q.snapshot.targets()) meant.consider(target.name.view());
  return meant.text();
}

struct FullTrace {
  static constexpr bool k_on = true;
  Explanation& out;
  void fact(std::string text) { out.facts.push_back(std::move(text)); }
  void step(const Question& q, const CompiledRule& rule, const Grant& grant, Stage stage) {
    out.steps.push_back(TraceStep{reference_of(q, rule), q.snapshot.bindings()[grant.binding].place, stage == Stage::matched, why_not(stage, rule, grant, q)});
  }
};

/// Locks, expiry, networks: what concerns the principal before any target. Fills q.principal.
std::optional<Decision> judge_principal(Question& q, const Locks& locks) {
  const Compiled& compiled = q.snapshot.compiled();
  const AccessRequest& r = q.request;
  const auto found = compiled.principal_ids.find(r.principal.view());
  if (found == compiled.principal_ids.end()) {
    return refuse(r.opened ? "SP-2015" : "SP-2001", "there is no principal `" + r.principal.str() + "` in the policy");
  }
  q.principal_id = found->second;
  q.principal = &compiled.documents.principals[found->second];
  if (const Lock* lock = locks.find(r.principal.view(), r.target.view(), r.account.view(), r.now)) {
    const char* code = !lock->account.empty() ? "SP-2005" : !lock->target.empty() ? "SP-2004" : "SP-2003";
    return refuse(code, lock->reason.empty() ? std::string("an administrator has set a lock") : lock->reason);
  }
  if (q.principal->expires && *q.principal->expires <= r.now) return refuse("SP-1009", "`" + r.principal.str() + "` has expired");
  if (!q.principal->networks.empty() && std::none_of(q.principal->networks.begin(), q.principal->networks.end(),
                                                     [&](const Network& n) { return n.contains(r.source); })) {
    return refuse("SP-1010", "`" + r.principal.str() + "` may not come from " + r.source.str());
  }
  return std::nullopt;
}

std::optional<Decision> judge_certificate(Question& q) {
  const auto& certificate = q.request.certificate;
  if (!certificate) return std::nullopt;
  const auto missing = [](const char* what) { return refuse("SP-2022", std::string("it does not carry permit-") + what); };
  if (q.kind == ChannelKind::pty && !certificate->permit_pty) return missing("pty");
  if (q.kind == ChannelKind::agent && !certificate->permit_agent_forwarding) return missing("agent-forwarding");
  if (q.kind == ChannelKind::x11 && !certificate->permit_x11_forwarding) return missing("X11-forwarding");
  if ((is_tunnel(q.kind) || q.kind == ChannelKind::jump) && !certificate->permit_port_forwarding) return missing("port-forwarding");
  if (certificate->force_command.empty()) return std::nullopt;
  const bool runs_something = q.kind == ChannelKind::shell || q.kind == ChannelKind::exec || q.kind == ChannelKind::subsystem || is_file_channel(q.kind);
  if (!runs_something) return std::nullopt;
  if (certificate->force_command == "internal-sftp") {
    if (q.kind != ChannelKind::sftp) return refuse("SP-2022", "its force-command permits sftp only");
    return std::nullopt;
  }
  q.kind = ChannelKind::exec;
  q.replaced_command = certificate->force_command;
  q.command = q.replaced_command;
  return std::nullopt;
}

std::optional<Decision> judge_machine(const Question& q) {
  if (q.principal->type != PrincipalType::machine) return std::nullopt;
  std::string command;
  switch (q.kind) {
    case ChannelKind::connect:
    case ChannelKind::jump:
    case ChannelKind::tunnel_local:
    case ChannelKind::tunnel_remote:
    case ChannelKind::tunnel_dynamic:
    case ChannelKind::tunnel_unix: return std::nullopt;
    case ChannelKind::shell: return refuse("SP-2017", "a machine has no shell");
    case ChannelKind::pty: return refuse("SP-2017", "a machine has no terminal");
    case ChannelKind::agent: return refuse("SP-2018", "a machine forwards no agent");
    case ChannelKind::x11: return refuse("SP-2019", "a machine has no display");
    case ChannelKind::sftp: command = "subsystem sftp"; break;
    case ChannelKind::subsystem: command = "subsystem " + std::string(q.command); break;
    case ChannelKind::exec:
    case ChannelKind::scp:
    case ChannelKind::rsync: command = std::string(q.command); break;
  }
  const auto& allowed = q.principal->commands;
  if (std::any_of(allowed.begin(), allowed.end(), [&](const CommandTemplate& t) { return t.matches(command); })) return std::nullopt;
  return refuse("SP-2017", "it is not one of the commands of `" + q.principal->name.str() + "`");
}

/// Everything that needs a target; `q.principal` is known.
std::optional<Decision> find_target(Question& q) {
  const Compiled& compiled = q.snapshot.compiled();
  const auto found = compiled.target_ids.find(q.request.target.view());
  if (found == compiled.target_ids.end()) return refuse_at(Stage::target, q);
  q.target_id = found->second;
  q.target = &compiled.documents.targets[found->second];
  const Account* account = q.target->find_account(q.request.account.view());
  if (account == nullptr) return refuse_at(Stage::account, q);
  q.account_id = compiled.account_ids.at(account->name.view());
  return std::nullopt;
}

std::optional<Decision> judge_destination(Question& q) {
  if (q.kind == ChannelKind::tunnel_unix) {
    q.socket_path = normalise_path(q.request.path);
    if (q.socket_path.empty() || q.socket_path != q.request.path) return refuse("SP-2011", "the socket's path is not absolute and plain");
  } else if (is_tunnel(q.kind)) {
    const bool every_interface = q.kind == ChannelKind::tunnel_remote && (q.request.host.empty() || q.request.host == "*");
    q.host = every_interface ? "0.0.0.0" : canonical_host(q.request.host);
    if (q.host.empty()) return refuse("SP-2011", "the destination is neither a host name nor an address");
  }
  return std::nullopt;
}

/// What the command guard has something to say about.
bool runs_commands(ChannelKind kind) {
  return kind == ChannelKind::shell || kind == ChannelKind::exec || kind == ChannelKind::scp || kind == ChannelKind::rsync || kind == ChannelKind::subsystem || kind == ChannelKind::pty;
}

/// As with approvals.
bool needs_moderator(const Question& q, const CompiledRule& rule) {
  const Role& role = q.snapshot.roles()[rule.role];
  if (!role.moderation || q.request.kind == ChannelKind::jump) return false;
  return std::find(q.request.moderated.begin(), q.request.moderated.end(), role.name) == q.request.moderated.end();
}

/// A jump is only the way to a session of its own, and that one asks.
bool needs_approval(const Question& q, const CompiledRule& rule) {
  const Role& role = q.snapshot.roles()[rule.role];
  if (!role.approval || q.request.kind == ChannelKind::jump) return false;
  const auto& standing = q.request.approvals;
  return std::find(standing.begin(), standing.end(), role.name) == standing.end();
}

template <class Trace>
Decision evaluate_rules(Question& q, Trace& trace) {
  const Compiled& compiled = q.snapshot.compiled();
  std::vector<Grant> room;
  const std::span<const Grant> grants = grants_of(compiled, q.principal_id, q.request.groups, room);

  const CompiledRule* denied_by = nullptr;
  std::vector<const Rule*> strips;
  for (const Grant& grant : grants) {
    for (const CompiledRule& rule : compiled.roles[grant.role].deny) {
      const Stage stage = match(rule, grant, q).stage;
      if constexpr (Trace::k_on) trace.step(q, rule, grant, stage);
      if (stage == Stage::matched) {
        if (denied_by == nullptr) denied_by = &rule;
        if constexpr (!Trace::k_on) break;
      } else if (strips_files(rule, grant, q)) {
        strips.push_back(rule.rule);
      }
    }
    if constexpr (!Trace::k_on) {
      if (denied_by != nullptr) break;
    }
  }
  if (denied_by != nullptr && !Trace::k_on) {
    Decision decision = refuse("SP-2002", "the role `" + q.snapshot.roles()[denied_by->role].name + "` denies it");
    decision.rule = reference_of(q, *denied_by);
    return decision;
  }

  std::vector<const Rule*> allows;
  std::vector<const GuardBlock*> guards;
  const CompiledRule* allowed_by = nullptr;
  const CompiledRule* asked_by = nullptr;
  const CompiledRule* moderated_by = nullptr;
  const CompiledRule* nearest = nullptr;
  Stage furthest = Stage::target;
  bool hop_listed = false;
  for (const Grant& grant : grants) {
    for (const CompiledRule& rule : compiled.roles[grant.role].allow) {
      const Match result = match(rule, grant, q);
      if constexpr (Trace::k_on) trace.step(q, rule, grant, result.stage);
      if (result.stage == Stage::matched && needs_approval(q, rule)) {
        if (asked_by == nullptr) asked_by = &rule;
      } else if (result.stage == Stage::matched && needs_moderator(q, rule)) {
        if (moderated_by == nullptr) moderated_by = &rule;
      } else if (result.stage == Stage::matched) {
        if (allowed_by == nullptr) allowed_by = &rule;
        hop_listed = hop_listed || result.onward_hop_listed;
        allows.push_back(rule.rule);
        for (const auto& block : q.snapshot.roles()[rule.role].guard) {
          if (std::find(guards.begin(), guards.end(), block.get()) == guards.end() && holds(*block, *q.target, q.request.account.view(), q.request.now)) guards.push_back(block.get());
        }
      } else if (result.stage > furthest) {
        furthest = result.stage;
        nearest = &rule;
      }
    }
  }
  if (denied_by != nullptr) {
    Decision decision = refuse("SP-2002", "the role `" + q.snapshot.roles()[denied_by->role].name + "` denies it");
    decision.rule = reference_of(q, *denied_by);
    return decision;
  }
  if (allowed_by == nullptr && asked_by != nullptr) {
    const Role& role = q.snapshot.roles()[asked_by->role];
    Decision decision = refuse("SP-9201", "the role `" + role.name + "` needs the approval of " + std::to_string(role.approval->count) +
                                              (role.approval->approvers.empty() ? " with the right to approve" : " of `" + role.approval->approvers + "`"));
    decision.outcome = Outcome::ask;
    decision.rule = reference_of(q, *asked_by);
    decision.approval = *role.approval;
    return decision;
  }
  if (allowed_by == nullptr && moderated_by != nullptr) {
    const Role& role = q.snapshot.roles()[moderated_by->role];
    Decision decision = refuse("SP-9801", "the role `" + role.name + "` needs the presence of a member of `" + role.moderation->moderators + "`");
    decision.outcome = Outcome::ask;
    decision.rule = reference_of(q, *moderated_by);
    decision.moderation = role.moderation;
    return decision;
  }
  if (allowed_by == nullptr) {
    Decision decision = refuse_at(furthest, q);
    if (nearest != nullptr && furthest > Stage::channel) decision.rule = reference_of(q, *nearest);
    return decision;
  }

  Decision decision;
  decision.outcome = Outcome::allow;
  decision.rule = reference_of(q, *allowed_by);
  for (const Rule* rule : allows) merge_limits(*rule, decision.obligations);
  decision.obligations.sniff_onward_hop = !hop_listed;
  decision.obligations.hold_tunnel = is_tunnel(q.kind) && std::all_of(allows.begin(), allows.end(), [](const Rule* rule) { return rule->hold.has_value(); });
  if (runs_commands(q.kind)) decision.obligations.guard_rules = combined(guards);
  decision.obligations.replaced_command = q.replaced_command;
  if (is_file_channel(q.kind)) {
    merge_files(allows, strips, decision.obligations);
    const auto& files = decision.obligations;
    const auto still_open = [&](const FileRule& f) { return (q.request.up && f.up) || (q.request.down && f.down) || (!q.request.up && !q.request.down && (f.up || f.down || f.change)); };
    if (files.file_rules_apply && std::none_of(files.file_rules.begin(), files.file_rules.end(), still_open)) {
      Decision stripped = refuse("SP-6001", "no path is left that you may transfer this way");
      stripped.rule = decision.rule;
      return stripped;
    }
  }
  if (decision.obligations.max_duration && q.request.session_age >= *decision.obligations.max_duration) {
    Decision over = refuse("SP-2013", "it may last " + std::to_string(decision.obligations.max_duration->count()) + " seconds");
    over.rule = decision.rule;
    return over;
  }
  return decision;
}

/// What an opened envelope is for: to work on the machine. It opens no way past it.
bool glass_opens(ChannelKind kind) {
  switch (kind) {
    case ChannelKind::connect:
    case ChannelKind::jump:
    case ChannelKind::shell:
    case ChannelKind::pty:
    case ChannelKind::exec:
    case ChannelKind::sftp:
    case ChannelKind::scp:
    case ChannelKind::rsync:
    case ChannelKind::subsystem: return true;
    case ChannelKind::agent:
    case ChannelKind::x11:
    case ChannelKind::tunnel_local:
    case ChannelKind::tunnel_remote:
    case ChannelKind::tunnel_dynamic:
    case ChannelKind::tunnel_unix: return false;
  }
  return false;
}

Decision judge_glass(const Question& q, Decision by_roles) {
  const GlassGrant& glass = *q.request.glass;
  if (by_roles.code == "SP-2002" || (by_roles.allowed() && !glass.alone)) return by_roles;
  const auto lists = [](const std::vector<std::string>& names, std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  const bool covers = q.request.now < glass.until && glass_opens(q.kind) && lists(glass.targets, q.request.target.view()) && lists(glass.accounts, q.request.account.view());
  if (!covers) return glass.alone ? refuse("SP-9907", glass.envelope.empty() ? "no envelope of yours is open" : "the envelope " + glass.envelope + " does not open this, or no longer") : by_roles;
  Decision decision;
  decision.outcome = Outcome::allow;
  decision.rule.envelope = glass.envelope;
  decision.obligations.bulk = Bulk::full;
  decision.obligations.onward_said = true;
  decision.obligations.replaced_command = std::string(q.replaced_command);
  decision.obligations.max_duration = q.request.session_age + std::chrono::ceil<std::chrono::seconds>(glass.until - q.request.now);
  return decision;
}

template <class Trace>
Decision evaluate(const Snapshot& snapshot, const Locks& locks, const AccessRequest& request, Trace trace) {
  Question q(snapshot, request);
  q.second_factor = second_factor_time(request.factors);
  q.has_security_key = std::any_of(request.factors.begin(), request.factors.end(), [](const ProvenFactor& f) { return f.hardware; });
  q.factor_reference = request.opened.value_or(request.now);

  if (auto refusal = judge_principal(q, locks)) {
    if constexpr (Trace::k_on) trace.fact(refusal->why);
    return *std::move(refusal);
  }
  if constexpr (Trace::k_on) {
    std::string groups;
    for (const std::string& group : q.principal->groups) groups += (groups.empty() ? "" : ", ") + group;
    trace.fact("principal " + request.principal.str() + " (" + q.principal->place.str() + "), groups: " + (groups.empty() ? "none" : groups));
    std::string added;
    for (const std::string& group : request.groups) added += (added.empty() ? "" : ", ") + group;
    if (!added.empty()) trace.fact("groups by a directory: " + added);
  }
  if (auto refusal = find_target(q)) {
    if constexpr (Trace::k_on) {
      trace.fact(q.target == nullptr ? "there is no target " + request.target.str() + nearest_target(q)
                                     : "target " + request.target.str() + " has no account " + request.account.str());
    }
    return *std::move(refusal);
  }
  if constexpr (Trace::k_on) trace.fact("target " + request.target.str() + " (" + q.target->place.str() + "), account " + request.account.str());
  for (const auto judge : {+[](Question& question) { return judge_certificate(question); }, +[](Question& question) { return judge_machine(question); },
                           +[](Question& question) { return judge_destination(question); }}) {
    if (auto refusal = judge(q)) {
      if constexpr (Trace::k_on) trace.fact(refusal->why);
      return *std::move(refusal);
    }
  }
  Decision decision = evaluate_rules(q, trace);
  if (!request.glass) return decision;
  decision = judge_glass(q, std::move(decision));
  if constexpr (Trace::k_on) trace.fact(decision.allowed() && !decision.rule.envelope.empty() ? "break-glass envelope " + decision.rule.envelope + " is open" : "a break-glass envelope does not change that");
  return decision;
}

/// A jump names no account: any account of the target will do.
template <class Evaluate>
Decision for_each_account(const Snapshot& snapshot, const AccessRequest& request, Evaluate&& evaluate_one) {
  const Target* target = snapshot.find_target(request.target.view());
  if (!request.account.empty() || request.kind != ChannelKind::jump || target == nullptr) return evaluate_one(request);
  std::optional<Decision> first;
  for (const Account& account : target->accounts) {
    AccessRequest with_account = request;
    with_account.account = account.name;
    Decision decision = evaluate_one(with_account);
    if (decision.allowed()) return decision;
    // The most telling refusal: anything that is not "no such target for you".
    if (!first || (first->code == "SP-2020" && decision.code != "SP-2020")) first = std::move(decision);
  }
  return first ? *std::move(first) : evaluate_one(request);
}

}  // namespace

std::span<const Grant> grants_of(const Compiled& compiled, std::uint32_t principal, const std::vector<std::string>& groups, std::vector<Grant>& room) {
  const std::vector<Grant>& own = compiled.grants[principal];
  // Machines are not people of a directory.
  if (groups.empty() || compiled.documents.principals[principal].type == PrincipalType::machine) return own;
  room = own;
  for (const std::string& group : groups) {
    const auto found = compiled.group_ids.find(group);
    if (found == compiled.group_ids.end()) continue;
    for (const Grant& grant : compiled.group_grants[found->second]) {
      const auto same = std::find_if(room.begin(), room.end(), [&](const Grant& one) { return one.role == grant.role; });
      if (same == room.end()) {
        room.push_back(grant);
      } else if (same->expires && (!grant.expires || *grant.expires > *same->expires)) {
        *same = grant;
      }
    }
  }
  return room;
}

Decision decide(const Snapshot& snapshot, const Locks& locks, const AccessRequest& request) {
  return for_each_account(snapshot, request, [&](const AccessRequest& r) { return evaluate(snapshot, locks, r, NoTrace{}); });
}

Explanation explain(const Snapshot& snapshot, const Locks& locks, const AccessRequest& request) {
  Explanation explanation;
  explanation.decision = for_each_account(snapshot, request, [&](const AccessRequest& r) { return evaluate(snapshot, locks, r, FullTrace{explanation}); });
  return explanation;
}

Decision decide_admin(const Snapshot& snapshot, const Locks& locks, const AdminRequest& request) {
  const Compiled& compiled = snapshot.compiled();
  const auto found = compiled.principal_ids.find(request.principal.view());
  if (found == compiled.principal_ids.end()) return refuse("SP-7003", "there is no principal `" + request.principal.str() + "`");
  const Principal& principal = compiled.documents.principals[found->second];
  if (const Lock* lock = locks.find(request.principal.view(), "", "", request.now)) return refuse("SP-2003", lock->reason);
  if (principal.expires && *principal.expires <= request.now) return refuse("SP-1009", "`" + request.principal.str() + "` has expired");
  const bool is_machine = principal.type == PrincipalType::machine;
  if (is_machine && (!request.by_token || request.right == AdminRight::approve)) return refuse("SP-7003", "a machine has no rights on the admin side");
  std::vector<Grant> room;
  for (const Grant& grant : grants_of(compiled, found->second, request.groups, room)) {
    if (grant.expires && *grant.expires <= request.now) continue;
    const Role& role = snapshot.roles()[grant.role];
    if (std::find(role.admin.begin(), role.admin.end(), request.right) == role.admin.end()) continue;
    Decision decision;
    decision.outcome = Outcome::allow;
    decision.rule = RuleReference{role.name, false, 0, role.place};
    return decision;
  }
  return refuse("SP-7003", "no role of yours has the right `" + std::string(name_of(request.right)) + "`");
}

bool wants_second_factor(const Snapshot& snapshot, const Locks& locks, const AccessRequest& request) {
  const Target* target = snapshot.find_target(request.target.view());
  if (target == nullptr) return false;
  AccessRequest one = request;
  one.kind = ChannelKind::connect;
  one.parallel_sessions = 0;
  return std::any_of(target->accounts.begin(), target->accounts.end(), [&](const Account& account) {
    if (!request.account.empty() && request.account != account.name) return false;
    one.account = account.name;
    bool seen = false;
    const Decision decision = evaluate(snapshot, locks, one, FactorTrace{seen});
    return seen && decision.code != "SP-2002";
  });
}

std::vector<Reachable> list_accounts(const Snapshot& snapshot, const Locks& locks, const AccessRequest& request) {
  std::vector<Reachable> rows;
  const Target* target = snapshot.find_target(request.target.view());
  if (target == nullptr) return rows;
  AccessRequest one = request;
  one.kind = ChannelKind::connect;
  one.parallel_sessions = 0;
  for (const Account& account : target->accounts) {
    one.account = account.name;
    const Decision decision = decide(snapshot, locks, one);
    const bool on_request = decision.outcome == Outcome::ask;
    if (decision.allowed() || decision.second_factor_would_help || on_request)
      rows.push_back(Reachable{target, &account, decision.second_factor_would_help, on_request});
  }
  return rows;
}

std::vector<Reachable> list_reachable(const Snapshot& snapshot, const Locks& locks, const AccessRequest& request, std::size_t limit) {
  std::vector<Reachable> rows;
  AccessRequest one = request;
  for (const Target& target : snapshot.targets()) {
    one.target = target.name;
    for (const Reachable& row : list_accounts(snapshot, locks, one)) {
      if (rows.size() == limit) return rows;
      rows.push_back(row);
    }
  }
  return rows;
}

}  // namespace sallyport::policy
