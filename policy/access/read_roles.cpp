// Roles, rules and bindings out of a policy file.
#include <date/tz.h>

#include <algorithm>
#include <array>

#include "policy/access/read_documents.h"
#include "policy/access/suggest.h"

namespace sallyport::policy {
namespace {

constexpr std::array<std::string_view, 13> k_channel_words{"shell", "exec", "sftp", "scp", "rsync", "subsystem", "tunnel-local", "tunnel-remote",
                                                           "tunnel-dynamic", "tunnel-unix", "jump", "agent", "x11"};
constexpr std::array<std::string_view, 7> k_day_words{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

KindSet file_channels() {
  KindSet set;
  for (const ChannelKind kind : {ChannelKind::sftp, ChannelKind::scp, ChannelKind::rsync}) set.add(kind);
  return set;
}
KindSet tunnel_channels() {
  KindSet set;
  for (const ChannelKind kind : {ChannelKind::tunnel_local, ChannelKind::tunnel_remote, ChannelKind::tunnel_dynamic, ChannelKind::tunnel_unix}) set.add(kind);
  return set;
}

/// One of `words`, or a complaint with a suggestion; its index.
template <std::size_t N>
std::optional<std::size_t> read_word(const Spot& spot, const std::array<std::string_view, N>& words, std::string_view what) {
  const auto text = spot.text();
  if (!text) return std::nullopt;
  const auto found = std::find(words.begin(), words.end(), *text);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  Suggestion suggestion(*text);
  std::string all;
  for (const std::string_view word : words) {
    suggestion.consider(word);
    all += (all.empty() ? "" : ", ") + std::string(word);
  }
  spot.complain("unknown " + std::string(what) + " `" + text->substr(0, 64) + "`" + (suggestion.text().empty() ? "; there are: " + all : suggestion.text()));
  return std::nullopt;
}

void read_targets(ReadState& state, const Spot& spot, Rule& rule) {
  if (spot.node().kind == YamlNode::Kind::scalar && spot.node().text == "all") return;
  if (spot.node().kind == YamlNode::Kind::scalar) {
    spot.complain("`targets` is `all` or a map with `names` or `labels`");
    return;
  }
  if (!spot.is_map_of({"names", "labels"})) return;
  rule.every_target = false;
  if (const auto names = spot.field("names")) {
    names->each([&](const Spot& item) {
      const auto name = item.text();
      if (!name) return;
      state.refer(Reference::Kind::target, item, *name);
      rule.target_names.push_back(*name);
    });
  }
  if (const auto labels = spot.field("labels")) {
    labels->each_entry([&](const std::string& key, const Spot&, const Spot& value) {
      if (value.node().kind == YamlNode::Kind::list) {
        rule.target_labels[key] = value.texts();
      } else if (auto text = value.text()) {
        rule.target_labels[key] = {*std::move(text)};
      }
    });
  }
  if (rule.target_names.empty() && rule.target_labels.empty()) spot.complain("this names no target; `targets: all` names every one");
}

void read_files(const Spot& spot, Rule& rule, bool is_deny) {
  rule.has_files = true;
  const std::string_view key = is_deny ? "deny" : "allow";
  constexpr std::array<std::string_view, 3> k_operations{"up", "down", "change"};
  spot.each([&](const Spot& item) {
    if (is_deny ? !item.is_map_of({"path", key}) : !item.is_map_of({"path", key, "approve"})) return;
    FileRule file;
    const auto path = item.field("path");
    const std::string text = path ? path->text().value_or("") : std::string();
    file.prefix = normalise_path(text);
    if (file.prefix.empty() || (file.prefix != text && file.prefix + "/" != text)) {
      (path ? *path : item).complain("`path` is an absolute path without `.`, `..` or doubled slashes");
    }
    if (const auto operations = item.field(key)) {
      operations->each([&](const Spot& word) {
        const auto operation = read_word(word, k_operations, "file operation");
        if (!operation) return;
        (*operation == 0 ? file.up : *operation == 1 ? file.down : file.change) = true;
      });
    } else {
      item.complain("`" + std::string(key) + "` is missing; it lists up, down and change");
    }
    if (const auto hold = item.field("approve"); hold && hold->flag().value_or(false)) {
      file.hold_up = file.up;
      file.hold_change = file.change;
      if (!file.up && !file.change) hold->complain("what is held here is writing and changing, and `allow` lists neither up nor change");
    }
    const bool again = std::any_of(rule.files.begin(), rule.files.end(), [&](const FileRule& f) { return f.prefix == file.prefix; });
    if (again) item.complain("the path `" + file.prefix + "` stands in this rule twice");
    rule.files.push_back(std::move(file));
  });
}

/// `true`, or who agrees.
std::optional<Approval> read_approve(ReadState& state, const Spot& spot) {
  if (spot.node().kind == YamlNode::Kind::scalar) return spot.flag().value_or(false) ? std::optional(Approval{}) : std::nullopt;
  if (!spot.is_map_of({"approvers", "count", "within"})) return std::nullopt;
  Approval needed;
  if (const auto approvers = spot.field("approvers")) {
    if (const auto name = approvers->text()) {
      state.refer(Reference::Kind::group, *approvers, *name);
      needed.approvers = *name;
    }
  }
  if (const auto count = spot.field("count")) needed.count = static_cast<std::uint32_t>(count->number(1, 10).value_or(1));
  if (const auto within = spot.field("within")) needed.within = within->duration().value_or(needed.within);
  return needed;
}

/// With `approve` at single files only those are held, else all that the rule gives.
void read_hold(ReadState& state, const Spot& spot, Rule& rule, bool is_deny) {
  const auto approve = spot.field("approve");
  if (approve && is_deny) return approve->complain("`approve` has no meaning in a deny rule");
  const bool some = std::any_of(rule.files.begin(), rule.files.end(), [](const FileRule& f) { return f.hold_up || f.hold_change; });
  if (approve) rule.hold = read_approve(state, *approve);
  if (!rule.hold && some) rule.hold = Approval{};
  if (!rule.hold || some) return;
  for (FileRule& file : rule.files) {
    file.hold_up = file.up;
    file.hold_change = file.change;
  }
  KindSet others = rule.channels;
  others.remove(file_channels());
  others.remove(tunnel_channels());
  if (!others.empty()) approve->complain("`approve` holds files and tunnels; for " + others.str() + " write a rule of its own, and see `approval` of roles and the guard's verdict approve");
}

void read_moderation(ReadState& state, const Spot& spot, Role& role) {
  if (!spot.is_map_of({"moderators", "within", "grace", "take_over"})) return;
  Moderation needed;
  if (const auto moderators = spot.field("moderators")) {
    if (const auto name = moderators->text()) {
      state.refer(Reference::Kind::group, *moderators, *name);
      needed.moderators = *name;
    }
  } else {
    spot.complain("`moderators` is missing: the group whose members may be the second person");
  }
  if (const auto within = spot.field("within")) needed.within = within->duration().value_or(needed.within);
  if (const auto grace = spot.field("grace")) needed.grace = grace->duration().value_or(needed.grace);
  if (const auto take_over = spot.field("take_over")) needed.take_over = take_over->flag().value_or(false);
  if (needed.grace > std::chrono::hours(1)) spot.complain("`grace` is at most 1h");
  role.moderation = needed;
}

std::optional<Hours> read_window(const Spot& spot) {
  if (!spot.is_map_of({"days", "from", "to", "zone"})) return std::nullopt;
  Hours hours;
  if (const auto days = spot.field("days")) {
    hours.days.fill(false);
    days->each([&](const Spot& item) {
      if (const auto day = read_word(item, k_day_words, "day")) hours.days[*day] = true;
    });
  }
  const auto read_time = [&](std::string_view key, std::chrono::minutes& time) {
    const auto field = spot.field(key);
    if (!field) return;
    const auto text = field->text();
    const auto value = text ? parse_time_of_day(*text) : std::nullopt;
    if (value) {
      time = *value;
    } else if (text) {
      field->complain("a time of day is needed here, like \"08:00\"");
    }
  };
  read_time("from", hours.from);
  read_time("to", hours.to);
  if (hours.from == hours.to) spot.complain("`from` and `to` are the same: the window is empty (leave both out for whole days)");
  hours.zone_name = "UTC";
  if (const auto zone = spot.field("zone")) {
    hours.zone_name = zone->text().value_or("UTC");
    try {
      hours.zone = date::locate_zone(hours.zone_name);
    } catch (const std::exception&) {
      zone->complain("there is no time zone `" + hours.zone_name.substr(0, 64) + "`; write it like Europe/Berlin");
    }
  }
  return hours;
}

void read_limits(const Spot& spot, Rule& rule, bool is_deny) {
  for (const std::string_view key : {"mfa_within", "security_key", "max_duration", "idle_timeout", "max_sessions", "record", "env", "onward"}) {
    const auto field = spot.field(key);
    if (field && is_deny) field->complain("`" + std::string(key) + "` has no meaning in a deny rule");
  }
  if (const auto field = spot.field("mfa_within")) rule.mfa_within = field->duration();
  if (const auto field = spot.field("security_key")) rule.security_key = field->flag().value_or(false);
  if (const auto field = spot.field("max_duration")) rule.max_duration = field->duration();
  if (const auto field = spot.field("idle_timeout")) rule.idle_timeout = field->duration();
  if (const auto field = spot.field("max_sessions")) {
    if (const auto count = field->number(1, 100'000)) rule.max_sessions = static_cast<std::uint32_t>(*count);
  }
  if (const auto record = spot.field("record"); record && record->is_map_of({"bulk"})) {
    constexpr std::array<std::string_view, 3> k_bulk_words{"hash", "full", "end"};
    if (const auto bulk = record->field("bulk")) {
      if (const auto word = read_word(*bulk, k_bulk_words, "bulk mode")) rule.bulk = static_cast<Bulk>(*word);
    }
  }
  if (const auto onward = spot.field("onward")) {
    constexpr std::array<std::string_view, 3> k_onward_words{"deny", "alert", "approve"};
    if (const auto word = read_word(*onward, k_onward_words, "answer to onward connections")) rule.onward = static_cast<Onward>(*word);
  }
  if (const auto env = spot.field("env")) {
    env->each([&](const Spot& item) {
      const auto text = item.text();
      if (!text) return;
      std::string_view stem = *text;
      if (stem.ends_with('*')) stem.remove_suffix(1);
      const bool is_right = !stem.empty() && stem.size() <= 64 && std::all_of(stem.begin(), stem.end(), [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
      });
      if (is_right) {
        rule.env.push_back(*text);
      } else {
        item.complain("a variable's name, or its beginning with `*` at the end: LANG, LC_*");
      }
    });
  }
}

Rule read_rule(ReadState& state, const Spot& spot, bool is_deny) {
  Rule rule;
  rule.place = spot.place();
  if (!spot.is_map_of({"channels", "targets", "accounts", "directions", "files", "tunnels", "env", "networks", "hours", "mfa_within", "security_key", "max_duration",
                       "idle_timeout", "max_sessions", "record", "onward", "approve"})) {
    return rule;
  }
  const auto channels = spot.field("channels");
  const auto targets = spot.field("targets");
  const auto accounts = spot.field("accounts");
  const auto directions = spot.field("directions");
  const auto files = spot.field("files");
  const auto tunnels = spot.field("tunnels");

  // What an allow rule opens is always written down; a deny rule may be as wide as it likes.
  if (!is_deny) {
    for (const auto& [field, name] : {std::pair(&channels, "channels"), std::pair(&targets, "targets"), std::pair(&accounts, "accounts")}) {
      if (!*field) spot.complain("an allow rule needs `" + std::string(name) + "`" + (field == &channels ? "" : field == &targets ? " (`all` for every target)" : " (`[\"*\"]` for every account)"));
    }
  }
  if (channels) {
    channels->each([&](const Spot& item) {
      if (const auto word = read_word(item, k_channel_words, "channel")) rule.channels.add(*parse_channel_kind(k_channel_words[*word]));
    });
    if (channels->node().items.empty()) channels->complain("this lists no channel");
  } else if (is_deny) {
    if (files || directions) rule.channels.add(file_channels());
    if (tunnels) rule.channels.add(tunnel_channels());
    if (rule.channels.empty()) {
      rule.channels = KindSet::all();
      rule.every_channel = true;
    }
  }
  if (targets) read_targets(state, *targets, rule);
  if (accounts) {
    bool every = false;
    accounts->each([&](const Spot& item) {
      const auto name = item.text();
      if (!name) return;
      if (*name == "*") {
        every = true;
        return;
      }
      state.refer(Reference::Kind::account, item, *name);
      rule.accounts.push_back(*name);
    });
    if (!every && rule.accounts.empty()) accounts->complain("this lists no account; `[\"*\"]` means every one");
    if (every) rule.accounts.clear();
  }
  if (directions) {
    rule.up = rule.down = false;
    constexpr std::array<std::string_view, 2> k_directions{"up", "down"};
    directions->each([&](const Spot& item) {
      if (const auto word = read_word(item, k_directions, "direction")) (*word == 0 ? rule.up : rule.down) = true;
    });
    if (!rule.up && !rule.down) directions->complain("this lists no direction");
  }
  if (files) read_files(*files, rule, is_deny);
  if (tunnels) {
    rule.has_tunnels = true;
    tunnels->each([&](const Spot& item) {
      const auto text = item.text();
      if (!text) return;
      auto pattern = TunnelPattern::parse(*text);
      if (pattern) {
        rule.tunnels.push_back(*std::move(pattern));
      } else {
        item.complain(pattern.error().detail);
      }
    });
  }
  if (channels) {
    const bool has_tunnel_channel = rule.channels.intersects(tunnel_channels());
    if (!is_deny && has_tunnel_channel && rule.tunnels.empty()) channels->complain("a tunnel needs its destinations: list them under `tunnels`");
    if (tunnels && !has_tunnel_channel) tunnels->complain("`tunnels` is for tunnel channels, and `channels` lists none");
    if ((files || directions) && !rule.channels.intersects(file_channels())) {
      (files ? *files : *directions).complain("`files` and `directions` are for sftp, scp and rsync, and `channels` lists none of them");
    }
    // A deny narrowed to paths, directions or destinations must not look as if it denied a whole shell as well.
    KindSet others = rule.channels;
    if (files || directions) others.remove(file_channels());
    if (tunnels) others.remove(tunnel_channels());
    if (is_deny && (files || directions || tunnels) && !others.empty()) {
      channels->complain("a deny rule with `files`, `directions` or `tunnels` concerns those channels only; deny " + others.str() + " in a rule of its own");
    }
  }
  read_hold(state, spot, rule, is_deny);
  if (const auto networks = spot.field("networks")) rule.networks = read_networks(*networks);
  if (const auto hours = spot.field("hours")) read_rule_hours(*hours, rule);
  read_limits(spot, rule, is_deny);
  return rule;
}

}  // namespace

void read_rule_targets(ReadState& state, const Spot& spot, Rule& rule) { read_targets(state, spot, rule); }

void read_rule_hours(const Spot& spot, Rule& rule) {
  if (spot.node().kind == YamlNode::Kind::list) {
    spot.each([&](const Spot& item) {
      if (auto window = read_window(item)) rule.hours.push_back(*std::move(window));
    });
  } else if (auto window = read_window(spot)) {
    rule.hours.push_back(*std::move(window));
  }
}

void read_role(ReadState& state, const Spot& spot) {
  if (!spot.is_map_of({"name", "allow", "deny", "admin", "approval", "moderation", "guard"})) return;
  Role role;
  role.place = spot.place();
  role.name = read_name(spot, "role");
  if (const auto allow = spot.field("allow")) {
    allow->each([&](const Spot& item) { role.allow.push_back(read_rule(state, item, false)); });
  }
  if (const auto deny = spot.field("deny")) {
    deny->each([&](const Spot& item) { role.deny.push_back(read_rule(state, item, true)); });
  }
  if (const auto admin = spot.field("admin")) {
    constexpr std::array<std::string_view, 9> k_rights{"policy", "lock", "audit", "view", "secret", "approve", "input", "retention", "reveal"};
    admin->each([&](const Spot& item) {
      if (const auto right = read_word(item, k_rights, "admin right")) role.admin.push_back(*parse_admin_right(k_rights[*right]));
    });
  }
  if (const auto approval = spot.field("approval"); approval && approval->is_map_of({"approvers", "count", "within", "lasts"})) {
    Approval needed;
    if (const auto approvers = approval->field("approvers")) {
      if (const auto name = approvers->text()) {
        state.refer(Reference::Kind::group, *approvers, *name);
        needed.approvers = *name;
      }
    }
    if (const auto count = approval->field("count")) needed.count = static_cast<std::uint32_t>(count->number(1, 10).value_or(1));
    if (const auto within = approval->field("within")) needed.within = within->duration().value_or(needed.within);
    if (const auto lasts = approval->field("lasts")) needed.lasts = lasts->duration().value_or(needed.lasts);
    if (needed.within > std::chrono::hours(24 * 7)) approval->complain("`within` is at most 7d");
    role.approval = needed;
  }
  if (const auto moderation = spot.field("moderation")) read_moderation(state, *moderation, role);
  if (const auto guard = spot.field("guard")) read_guard(state, *guard, role);
  state.documents->roles.push_back(std::move(role));
}

void read_binding(ReadState& state, const Spot& spot) {
  if (!spot.is_map_of({"name", "role", "groups", "principals", "expires"})) return;
  Binding binding;
  binding.place = spot.place();
  if (spot.field("name")) binding.name = read_name(spot, "binding");
  if (const auto role = spot.field("role")) {
    if (const auto name = role->text()) {
      state.refer(Reference::Kind::role, *role, *name);
      binding.role = *name;
    }
  } else {
    spot.complain("this binding has no `role`");
  }
  if (const auto groups = spot.field("groups")) {
    groups->each([&](const Spot& item) {
      const auto name = item.text();
      if (!name) return;
      state.refer(Reference::Kind::group, item, *name);
      binding.groups.push_back(*name);
    });
  }
  if (const auto principals = spot.field("principals")) {
    principals->each([&](const Spot& item) {
      const auto name = item.text();
      if (!name) return;
      state.refer(Reference::Kind::principal, item, *name);
      binding.principals.emplace_back(*name);
    });
  }
  if (binding.groups.empty() && binding.principals.empty()) spot.complain("this binding gives the role to nobody: list `groups` or `principals`");
  if (const auto expires = spot.field("expires")) binding.expires = expires->moment();
  state.documents->bindings.push_back(std::move(binding));
}

}  // namespace sallyport::policy
