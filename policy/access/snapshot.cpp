#include "policy/access/snapshot.h"

#include <algorithm>
#include <map>
#include <set>

#include "policy/access/canonical.h"
#include "policy/access/compiled.h"
#include "policy/access/suggest.h"
#include "policy/identity/password.h"

namespace sallyport::policy {
namespace {

constexpr std::size_t k_short_list = 64;

std::string_view word_of(Reference::Kind kind) {
  switch (kind) {
    case Reference::Kind::principal: return "principal";
    case Reference::Kind::group: return "group";
    case Reference::Kind::target: return "target";
    case Reference::Kind::account: return "account";
    case Reference::Kind::role: return "role";
  }
  return "name";
}

/// Checks Documents, then fills the indexes of a Compiled.
class Compiler {
 public:
  Compiler(Documents documents, std::vector<Diagnostic>& problems) : problems_(problems) {
    compiled_->documents = std::move(documents);
  }

  std::unique_ptr<Compiled> run() {
    const std::size_t before = problems_.size();
    index_names();
    check_references();
    check_principals();
    check_targets();
    if (problems_.size() != before) return nullptr;
    resolve_groups();
    compile_rules();
    compile_grants();
    choose_dummy_hash();
    compiled_->documents.references.clear();
    compiled_->digest = digest_of(compiled_->documents);
    return std::move(compiled_);
  }

 private:
  Documents& documents() { return compiled_->documents; }

  void complain(const Place& place, std::string message, std::string pointer = {}) {
    if (problems_.size() >= 1000) return;
    problems_.push_back(Diagnostic{place.file ? *place.file : std::string(), place.line, place.column, std::move(pointer), std::move(message)});
  }

  template <class Items, class NameOf>
  void index(std::string_view word, const Items& items, std::unordered_map<std::string_view, std::uint32_t>& ids, NameOf name_of_item) {
    ids.reserve(items.size());
    for (std::uint32_t i = 0; i < items.size(); ++i) {
      const std::string_view name = name_of_item(items[i]);
      const auto [found, fresh] = ids.emplace(name, i);
      if (!fresh) {
        complain(items[i].place, "the " + std::string(word) + " `" + std::string(name) + "` is defined twice; first at " +
                                     items[found->second].place.str());
      }
    }
  }

  void index_names() {
    Documents& d = documents();
    // In the order of the names: menus, plans and digests do not depend on how the files are laid out.
    std::stable_sort(d.principals.begin(), d.principals.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    std::stable_sort(d.targets.begin(), d.targets.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    std::stable_sort(d.roles.begin(), d.roles.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    std::stable_sort(d.groups.begin(), d.groups.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    index("principal", d.principals, compiled_->principal_ids, [](const Principal& p) { return p.name.view(); });
    index("target", d.targets, compiled_->target_ids, [](const Target& t) { return t.name.view(); });
    index("role", d.roles, compiled_->role_ids, [](const Role& r) { return std::string_view(r.name); });
    index("group", d.groups, compiled_->group_ids, [](const Group& g) { return std::string_view(g.name); });
    index("CA key", d.trusted_user_cas, compiled_->ca_ids, [](const TrustedCa& c) { return std::string_view(c.blob); });
    std::set<std::string_view> ca_names;
    for (const TrustedCa& ca : d.trusted_user_cas) {
      if (!ca_names.insert(ca.name).second) complain(ca.place, "the CA `" + ca.name + "` is defined twice");
    }
    for (const Target& target : d.targets) {
      for (const Account& account : target.accounts) {
        compiled_->account_ids.emplace(account.name.view(), static_cast<std::uint32_t>(compiled_->account_ids.size()));
      }
    }
  }

  void collect_references() {
    Documents& d = documents();
    const auto add = [&](Reference::Kind kind, std::string_view name, const Place& place) {
      d.references.push_back(Reference{kind, std::string(name), place, {}});
    };
    for (const auto& p : d.principals) {
      for (const auto& g : p.groups) add(Reference::Kind::group, g, p.place);
    }
    for (const auto& g : d.groups) {
      for (const auto& m : g.members) add(Reference::Kind::principal, m.view(), g.place);
    }
    for (const auto& r : d.roles) {
      if (r.approval && !r.approval->approvers.empty()) add(Reference::Kind::group, r.approval->approvers, r.place);
      if (r.moderation) add(Reference::Kind::group, r.moderation->moderators, r.place);
      for (const auto* rules : {&r.allow, &r.deny}) {
        for (const auto& rule : *rules) {
          if (rule.hold && !rule.hold->approvers.empty()) add(Reference::Kind::group, rule.hold->approvers, rule.place);
          for (const auto& t : rule.target_names) add(Reference::Kind::target, t, rule.place);
          for (const auto& a : rule.accounts) add(Reference::Kind::account, a, rule.place);
        }
      }
    }
    for (const auto& b : d.bindings) {
      add(Reference::Kind::role, b.role, b.place);
      for (const auto& g : b.groups) add(Reference::Kind::group, g, b.place);
      for (const auto& p : b.principals) add(Reference::Kind::principal, p.view(), b.place);
    }
  }

  const std::unordered_map<std::string_view, std::uint32_t>& ids_of(Reference::Kind kind) {
    switch (kind) {
      case Reference::Kind::principal: return compiled_->principal_ids;
      case Reference::Kind::group: return compiled_->group_ids;
      case Reference::Kind::target: return compiled_->target_ids;
      case Reference::Kind::account: return compiled_->account_ids;
      case Reference::Kind::role: return compiled_->role_ids;
    }
    return compiled_->role_ids;
  }

  void check_references() {
    if (documents().references.empty()) collect_references();
    for (const Reference& reference : documents().references) {
      const auto& ids = ids_of(reference.kind);
      if (ids.contains(reference.name)) continue;
      Suggestion suggestion(reference.name);
      // A suggestion for each of thousands of wrong names would cost more than it helps.
      if (problems_.size() < 20) {
        for (const auto& [name, id] : ids) suggestion.consider(name);
      }
      const std::string word(word_of(reference.kind));
      const std::string what = reference.kind == Reference::Kind::account ? "no target has an account `" : "there is no " + word + " `";
      complain(reference.place, what + reference.name + "`" + suggestion.text(), reference.pointer);
    }
  }

  void check_principals() {
    const Documents& d = documents();
    for (std::uint32_t i = 0; i < d.principals.size(); ++i) {
      const Principal& p = d.principals[i];
      const std::string who = "principal `" + p.name.str() + "`";
      const bool has_password = !p.password_hash.empty() || asks_directory(p, "password");
      if (has_password || !p.totp_secret.empty()) compiled_->offers_passwords = true;
      for (const LoginKey& key : p.keys) {
        const auto [owner, fresh] = compiled_->key_owners.emplace(key.blob, i);
        if (fresh) continue;
        complain(key.place, owner->second == i ? who + " lists the key " + key.fingerprint + " twice"
                                               : who + " lists the key " + key.fingerprint + ", which belongs to `" +
                                                     d.principals[owner->second].name.str() + "`");
      }
      if (p.type == PrincipalType::machine) {
        if (!p.enrol.empty()) complain(p.place, who + " is a machine: `enrol` is for people");
        if (!p.directory.empty()) complain(p.place, who + " is a machine: `directory` is for people");
        if (has_password || !p.totp_secret.empty()) complain(p.place, who + " is a machine: it logs in by key or certificate only");
        if (p.networks.empty()) complain(p.place, who + " is a machine: it needs `networks`");
        if (p.factors > 1) complain(p.place, who + " is a machine: it has one factor");
      } else {
        if (!p.commands.empty()) complain(p.place, who + " is a person: `commands` are for machines");
        const auto enrols = [&](std::string_view kind) { return std::find(p.enrol.begin(), p.enrol.end(), kind) != p.enrol.end(); };
        const bool may_have_key = !p.keys.empty() || !d.trusted_user_cas.empty() || enrols("keys");
        const bool may_have_code = !p.totp_secret.empty() || enrols("totp");
        const unsigned possible = (may_have_key ? 1U : 0U) + (has_password ? 1U : 0U) + (may_have_code ? 1U : 0U);
        if (p.factors > 1 && p.factors > possible) complain(p.place, who + " needs " + std::to_string(p.factors) + " factors but has " + std::to_string(possible));
        if (!p.totp_secret.empty() && !may_have_key && !has_password) {
          complain(p.place, who + " has a one-time code only: it is a second factor and needs a key or a password beside it");
        }
      }
    }
  }

  /// A stranger's password must cost what a known one costs.
  void choose_dummy_hash() {
    std::map<std::string_view, std::size_t> costs;
    for (const Principal& p : documents().principals) {
      if (!p.password_hash.empty()) ++costs[password_cost(p.password_hash)];
    }
    const auto most = std::max_element(costs.begin(), costs.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    compiled_->dummy_hash = make_dummy_password_hash(most == costs.end() ? std::string_view() : most->first);
  }

  void check_targets() {
    const Documents& d = documents();
    for (std::uint32_t i = 0; i < d.targets.size(); ++i) {
      const Target& t = d.targets[i];
      const std::string which = "target `" + t.name.str() + "`";
      if (t.host_keys.empty() && t.host_cas.empty()) {
        complain(t.place, which + " has neither `host_keys` nor `host_cas`: it could not be told from an impostor");
      }
      if (t.accounts.empty()) complain(t.place, which + " has no accounts");
      std::set<std::string_view> seen;
      for (const Account& account : t.accounts) {
        if (!seen.insert(account.name.view()).second) complain(account.place, which + " has the account `" + account.name.str() + "` twice");
        if (account.credentials.empty()) complain(account.place, which + ", account `" + account.name.str() + "` has no credentials");
      }
      if (t.instance.empty()) continue;
      const auto [other, fresh] = compiled_->instance_ids.emplace(t.instance, i);
      if (!fresh) {
        complain(t.place, which + " has the instance id `" + t.instance + "` of target `" + d.targets[other->second].name.str() + "`");
      }
      const auto same_name = compiled_->target_ids.find(t.instance);
      if (same_name != compiled_->target_ids.end() && same_name->second != i) {
        complain(t.place, which + " has an instance id that is the name of another target");
      }
    }
  }

  void resolve_groups() {
    Documents& d = documents();
    for (Group& group : d.groups) {
      for (const PrincipalId& member : group.members) {
        d.principals[compiled_->principal_ids.at(member.view())].groups.push_back(group.name);
      }
      group.members.clear();
    }
    for (Principal& principal : d.principals) {
      std::sort(principal.groups.begin(), principal.groups.end());
      principal.groups.erase(std::unique(principal.groups.begin(), principal.groups.end()), principal.groups.end());
      for (const std::string& group : principal.groups) d.groups[compiled_->group_ids.at(group)].members.push_back(principal.name);
    }
  }

  IndexSet targets_of(const Rule& rule, const std::map<std::pair<std::string_view, std::string_view>, std::vector<std::uint32_t>>& by_label) {
    if (rule.every_target) return IndexSet::all();
    std::set<std::uint32_t> chosen;
    for (const std::string& name : rule.target_names) chosen.insert(compiled_->target_ids.at(name));
    if (!rule.target_labels.empty()) {
      std::vector<std::uint32_t> matching;
      bool first = true;
      for (const auto& [key, values] : rule.target_labels) {
        std::vector<std::uint32_t> any;
        for (const std::string& value : values) {
          const auto found = by_label.find({key, value});
          if (found == by_label.end()) continue;
          std::vector<std::uint32_t> both;
          std::set_union(any.begin(), any.end(), found->second.begin(), found->second.end(), std::back_inserter(both));
          any.swap(both);
        }
        if (first) {
          matching.swap(any);
        } else {
          std::vector<std::uint32_t> both;
          std::set_intersection(matching.begin(), matching.end(), any.begin(), any.end(), std::back_inserter(both));
          matching.swap(both);
        }
        first = false;
      }
      chosen.insert(matching.begin(), matching.end());
    }
    return IndexSet::of({chosen.begin(), chosen.end()}, documents().targets.size());
  }

  void compile_rules() {
    Documents& d = documents();
    std::map<std::pair<std::string_view, std::string_view>, std::vector<std::uint32_t>> by_label;
    for (std::uint32_t i = 0; i < d.targets.size(); ++i) {
      for (const auto& [key, value] : d.targets[i].labels) by_label[{key, value}].push_back(i);
    }
    compiled_->roles.resize(d.roles.size());
    for (std::uint32_t r = 0; r < d.roles.size(); ++r) {
      const auto compile_list = [&](std::vector<Rule>& rules, std::vector<CompiledRule>& out, bool is_deny) {
        for (std::uint32_t i = 0; i < rules.size(); ++i) {
          Rule& rule = rules[i];
          prepare(rule, is_deny);
          CompiledRule compiled;
          compiled.rule = &rule;
          compiled.channels = rule.channels;
          compiled.targets = targets_of(rule, by_label);
          compiled.accounts = IndexSet::all();
          if (!rule.accounts.empty()) {
            std::set<std::uint32_t> ids;
            for (const std::string& account : rule.accounts) ids.insert(compiled_->account_ids.at(account));
            compiled.accounts = IndexSet::of({ids.begin(), ids.end()}, compiled_->account_ids.size());
          }
          compiled.role = r;
          compiled.index = i;
          compiled.is_deny = is_deny;
          out.push_back(std::move(compiled));
        }
      };
      compile_list(d.roles[r].allow, compiled_->roles[r].allow, false);
      compile_list(d.roles[r].deny, compiled_->roles[r].deny, true);
    }
  }

  /// Makes the set of channels say what the engine asks for.
  static void prepare(Rule& rule, bool is_deny) {
    const auto longest_first = [](const FileRule& a, const FileRule& b) {
      return a.prefix.size() != b.prefix.size() ? a.prefix.size() > b.prefix.size() : a.prefix < b.prefix;
    };
    std::stable_sort(rule.files.begin(), rule.files.end(), longest_first);
    // A dynamic forward opens the same channels as a local one: what holds for one word holds for the other.
    if (rule.channels.has(ChannelKind::tunnel_local)) rule.channels.add(ChannelKind::tunnel_dynamic);
    if (rule.channels.has(ChannelKind::tunnel_dynamic)) rule.channels.add(ChannelKind::tunnel_local);
    if (!is_deny) {
      // Whoever may open any channel may open the session that carries it; a terminal belongs to shell and exec.
      if (rule.channels.has(ChannelKind::shell) || rule.channels.has(ChannelKind::exec)) rule.channels.add(ChannelKind::pty);
      rule.channels.add(ChannelKind::connect);
    }
    for (const Hours& hours : rule.hours) (void)hours.covers(WallTime{});  // loads the zone's data now, not in a decision
  }

  void compile_grants() {
    const Documents& d = documents();
    compiled_->grants.resize(d.principals.size());
    compiled_->group_grants.resize(d.groups.size());
    std::vector<std::map<std::uint32_t, Grant>> by_role(d.principals.size());
    for (std::uint32_t b = 0; b < d.bindings.size(); ++b) {
      const Binding& binding = d.bindings[b];
      const std::uint32_t role = compiled_->role_ids.at(binding.role);
      const auto give = [&](std::uint32_t principal) {
        const Grant grant{role, b, binding.expires};
        const auto [found, fresh] = by_role[principal].emplace(role, grant);
        if (fresh || !found->second.expires) return;
        if (!grant.expires || *grant.expires > *found->second.expires) found->second = grant;
      };
      for (const PrincipalId& name : binding.principals) give(compiled_->principal_ids.at(name.view()));
      for (const std::string& group : binding.groups) {
        const std::uint32_t id = compiled_->group_ids.at(group);
        compiled_->group_grants[id].push_back(Grant{role, b, binding.expires});
        for (const PrincipalId& member : d.groups[id].members) give(compiled_->principal_ids.at(member.view()));
      }
    }
    for (std::size_t p = 0; p < by_role.size(); ++p) {
      for (const auto& [role, grant] : by_role[p]) compiled_->grants[p].push_back(grant);
    }
  }

  std::unique_ptr<Compiled> compiled_ = std::make_unique<Compiled>();
  std::vector<Diagnostic>& problems_;
};

template <class Item>
const Item* find_in(const std::unordered_map<std::string_view, std::uint32_t>& ids, const std::vector<Item>& items, std::string_view name) {
  const auto found = ids.find(name);
  return found == ids.end() ? nullptr : &items[found->second];
}

}  // namespace

IndexSet IndexSet::of(std::vector<std::uint32_t> members, std::size_t universe) {
  IndexSet set;
  if (universe <= 64) {
    set.is_word_ = true;
    for (const std::uint32_t member : members) set.word_ |= std::uint64_t{1} << member;
    return set;
  }
  if (members.size() <= k_short_list) {
    set.list_ = std::move(members);
    return set;
  }
  set.bits_.assign((universe + 63) / 64, 0);
  for (const std::uint32_t member : members) set.bits_[member / 64] |= std::uint64_t{1} << (member % 64);
  return set;
}

bool IndexSet::has_slow(std::uint32_t index) const {
  if (!bits_.empty()) return index / 64 < bits_.size() && ((bits_[index / 64] >> (index % 64)) & 1U) != 0;
  return std::binary_search(list_.begin(), list_.end(), index);
}

std::string Diagnostic::str() const {
  std::string text = file.empty() ? std::string("policy") : file;
  if (line != 0) text += ":" + std::to_string(line) + ":" + std::to_string(column);
  return text + ": " + message;
}

std::shared_ptr<const Snapshot> Snapshot::compile(Documents documents, std::vector<Diagnostic>& problems) {
  auto compiled = Compiler(std::move(documents), problems).run();
  if (!compiled) return nullptr;
  return std::shared_ptr<const Snapshot>(new Snapshot(std::move(compiled)));
}

std::shared_ptr<const Snapshot> Snapshot::make_empty() {
  std::vector<Diagnostic> none;
  return compile(Documents{}, none);
}

Snapshot::Snapshot(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
Snapshot::~Snapshot() = default;

const Principal* Snapshot::find_principal(std::string_view name) const {
  return find_in(compiled_->principal_ids, compiled_->documents.principals, name);
}
const Target* Snapshot::find_target(std::string_view name) const {
  return find_in(compiled_->target_ids, compiled_->documents.targets, name);
}
const Target* Snapshot::find_jump_target(std::string_view host, std::uint32_t port) const {
  const Target* target = find_target(host);
  if (target == nullptr) target = find_in(compiled_->instance_ids, compiled_->documents.targets, host);
  return target != nullptr && (port == 22 || port == target->port) ? target : nullptr;
}
const Principal* Snapshot::find_key_owner(std::string_view key_blob) const {
  return find_in(compiled_->key_owners, compiled_->documents.principals, key_blob);
}
const TrustedCa* Snapshot::find_user_ca(std::string_view key_blob) const {
  return find_in(compiled_->ca_ids, compiled_->documents.trusted_user_cas, key_blob);
}

std::span<const Principal> Snapshot::principals() const { return compiled_->documents.principals; }
std::span<const Group> Snapshot::groups() const { return compiled_->documents.groups; }
std::span<const Target> Snapshot::targets() const { return compiled_->documents.targets; }
const std::vector<PolicyTest>& Snapshot::tests() const { return compiled_->documents.tests; }
const std::optional<BreakGlass>& Snapshot::break_glass() const { return compiled_->documents.break_glass; }
std::span<const Role> Snapshot::roles() const { return compiled_->documents.roles; }
std::span<const Binding> Snapshot::bindings() const { return compiled_->documents.bindings; }
std::span<const TrustedCa> Snapshot::user_cas() const { return compiled_->documents.trusted_user_cas; }
bool Snapshot::offers_passwords() const { return compiled_->offers_passwords; }
const std::string& Snapshot::dummy_password_hash() const { return compiled_->dummy_hash; }
const std::string& Snapshot::digest() const { return compiled_->digest; }

}  // namespace sallyport::policy
