#include "policy/access/matching.h"

#include <algorithm>

namespace sallyport::policy {
namespace {

bool tunnel_matches(const Rule& rule, const Question& q, bool is_deny, bool& hop_listed) {
  if (!rule.has_tunnels) return is_deny;  // a deny without a list denies every destination, an allow grants none
  bool any = false;
  for (const TunnelPattern& pattern : rule.tunnels) {
    if (q.kind == ChannelKind::tunnel_unix) {
      any = any || pattern.matches_socket(q.socket_path);
      continue;
    }
    // A remote forward may ask for any port (0): only `*` grants that.
    if (q.request.port == 0) {
      any = any || (q.kind == ChannelKind::tunnel_remote && pattern.matches(q.host, 1) && pattern.matches(q.host, 65535));
      continue;
    }
    if (!pattern.matches(q.host, q.request.port)) continue;
    const bool onward = q.request.port == 22 && q.kind != ChannelKind::tunnel_remote;
    if (onward && !is_deny && !pattern.is_hop()) continue;
    if (onward) hop_listed = true;
    any = true;
  }
  return any;
}

std::string destination_of(const Question& q) {
  if (q.kind == ChannelKind::tunnel_unix) return q.request.path;
  return q.request.host + ":" + std::to_string(q.request.port);
}

}  // namespace

bool is_tunnel(ChannelKind kind) {
  return kind == ChannelKind::tunnel_local || kind == ChannelKind::tunnel_remote || kind == ChannelKind::tunnel_dynamic ||
         kind == ChannelKind::tunnel_unix;
}
bool is_file_channel(ChannelKind kind) {
  return kind == ChannelKind::sftp || kind == ChannelKind::scp || kind == ChannelKind::rsync;
}

Match match(const CompiledRule& compiled, const Grant& grant, const Question& q) {
  const Rule& rule = *compiled.rule;
  Match result;
  const auto stop = [&](Stage stage) {
    result.stage = stage;
    return result;
  };
  if (!compiled.targets.has(q.target_id)) return stop(Stage::target);
  if (!compiled.accounts.has(q.account_id)) return stop(Stage::account);
  if (compiled.is_deny) {
    // A deny of some channels, paths, directions or destinations does not stop the session as such, nor its terminal.
    const bool is_whole = rule.every_channel && !rule.has_files && !rule.has_tunnels && rule.up && rule.down;
    if ((q.kind == ChannelKind::connect || q.kind == ChannelKind::pty) ? !is_whole : !compiled.channels.has(q.kind)) return stop(Stage::channel);
    if (is_file_channel(q.kind)) {
      // With `files`, or when the direction is not known yet (sftp), the file rules carry the refusal.
      if (rule.has_files) return stop(Stage::channel);
      if (!(rule.up && rule.down)) {
        const bool direction_hit = (q.request.up && rule.up) || (q.request.down && rule.down);
        if (!direction_hit) return stop(Stage::direction);
      }
    } else if (!(rule.up && rule.down) || (rule.has_files && !is_file_channel(q.kind))) {
      return stop(Stage::direction);
    }
    if (is_tunnel(q.kind) ? !tunnel_matches(rule, q, true, result.onward_hop_listed) : rule.has_tunnels) return stop(Stage::tunnel);
  } else {
    if (!compiled.channels.has(q.kind)) return stop(Stage::channel);
    if (is_file_channel(q.kind)) {
      const bool is_open = q.request.up || q.request.down ? (!q.request.up || rule.up) && (!q.request.down || rule.down) : rule.up || rule.down;
      if (!is_open) return stop(Stage::direction);
    }
    if (is_tunnel(q.kind) && !tunnel_matches(rule, q, false, result.onward_hop_listed)) return stop(Stage::tunnel);
  }
  if (grant.expires && *grant.expires <= q.request.now) return stop(Stage::expired);
  if (!rule.networks.empty() &&
      std::none_of(rule.networks.begin(), rule.networks.end(), [&](const Network& n) { return n.contains(q.request.source); })) {
    return stop(Stage::network);
  }
  if (!rule.hours.empty() && std::none_of(rule.hours.begin(), rule.hours.end(), [&](const Hours& h) { return h.covers(q.request.now); })) {
    return stop(Stage::hours);
  }
  if (rule.mfa_within) {
    const bool is_fresh = q.second_factor && *q.second_factor <= q.factor_reference + std::chrono::seconds(2) &&
                          q.factor_reference - *q.second_factor <= *rule.mfa_within;
    if (!is_fresh) return stop(Stage::factor);
  }
  if (rule.security_key && !q.has_security_key) return stop(Stage::security_key);
  if (rule.max_sessions && !q.request.opened && q.request.parallel_sessions >= *rule.max_sessions) return stop(Stage::sessions);
  return stop(Stage::matched);
}

bool strips_files(const CompiledRule& compiled, const Grant& grant, const Question& q) {
  const Rule& rule = *compiled.rule;
  if (!is_file_channel(q.kind) || !compiled.channels.has(q.kind) || rule.has_tunnels) return false;
  if (!rule.has_files && rule.up && rule.down) return false;
  if (!compiled.targets.has(q.target_id) || !compiled.accounts.has(q.account_id)) return false;
  if (grant.expires && *grant.expires <= q.request.now) return false;
  if (!rule.networks.empty() &&
      std::none_of(rule.networks.begin(), rule.networks.end(), [&](const Network& n) { return n.contains(q.request.source); })) {
    return false;
  }
  return rule.hours.empty() || std::any_of(rule.hours.begin(), rule.hours.end(), [&](const Hours& h) { return h.covers(q.request.now); });
}

Decision refuse(std::string code, std::string why) {
  Decision decision;
  decision.outcome = Outcome::deny;
  decision.code = std::move(code);
  decision.why = std::move(why);
  return decision;
}

RuleReference reference_of(const Question& q, const CompiledRule& rule) {
  return RuleReference{q.snapshot.roles()[rule.role].name, rule.is_deny, rule.index, rule.rule->place};
}

Decision refuse_at(Stage stage, const Question& q) {
  const std::string target = q.request.target.str();
  switch (stage) {
    case Stage::target:
    case Stage::account: return refuse("SP-2020", "no role of yours reaches `" + target + "`" +
                                       (q.request.account.empty() ? "" : " as `" + q.request.account.str() + "`"));
    case Stage::channel:
      if (q.kind == ChannelKind::agent) return refuse("SP-2018", "no role of yours allows agent forwarding to `" + target + "`");
      if (q.kind == ChannelKind::x11) return refuse("SP-2019", "no role of yours allows X11 from `" + target + "`");
      return refuse("SP-2009", "no role of yours allows " + std::string(name_of(q.kind)) + " on `" + target + "` as `" + q.request.account.str() + "`");
    case Stage::direction: return refuse("SP-2010", "no role of yours allows this direction of " + std::string(name_of(q.kind)) + " on `" + target + "`");
    case Stage::tunnel:
      if (q.kind != ChannelKind::tunnel_unix && q.kind != ChannelKind::tunnel_remote && q.request.port == 22) {
        return refuse("SP-6005", "port 22 is an onward hop and " + destination_of(q) + " is not listed as one");
      }
      return refuse("SP-2011", "no role of yours lists the destination " + destination_of(q));
    case Stage::expired: return refuse("SP-2026", "the binding that gave you the role has ended");
    case Stage::network: return refuse("SP-2008", "the role is not for " + q.request.source.str());
    case Stage::hours: return refuse("SP-2007", "it is outside the hours of the role");
    case Stage::factor: {
      Decision decision = refuse("SP-2006", q.second_factor ? "your second factor is too old" : "you gave one factor only");
      decision.second_factor_would_help = true;
      return decision;
    }
    case Stage::security_key: return refuse("SP-9310", "the key of this login is not on a hardware token");
    case Stage::sessions: return refuse("SP-2012", "you have " + std::to_string(q.request.parallel_sessions) + " there already");
    case Stage::matched: break;
  }
  return refuse("SP-2001", "");
}

std::string why_not(Stage stage, const CompiledRule& compiled, const Grant& grant, const Question& q) {
  const Rule& rule = *compiled.rule;
  const auto join = [](const auto& items, auto&& text_of_item) {
    std::string text;
    for (const auto& item : items) text += (text.empty() ? "" : ", ") + text_of_item(item);
    return text;
  };
  const auto same = [](const std::string& s) { return s; };
  switch (stage) {
    case Stage::target: {
      std::string wanted = join(rule.target_names, same);
      for (const auto& [key, values] : rule.target_labels) wanted += (wanted.empty() ? "" : ", ") + key + " in [" + join(values, same) + "]";
      std::string has;
      for (const auto& [key, value] : q.target->labels) has += (has.empty() ? "" : ", ") + key + "=" + value;
      return "target " + q.target->name.str() + " (" + has + ") is not among: " + wanted;
    }
    case Stage::account: return "account " + q.request.account.str() + " is not among: " + join(rule.accounts, same);
    case Stage::channel:
      if (compiled.is_deny && (q.kind == ChannelKind::connect || q.kind == ChannelKind::pty)) return "it denies channels, not the session as such";
      if (compiled.is_deny && rule.has_files && compiled.channels.has(q.kind)) return "it takes rights on paths, see the file rules";
      return "channel " + std::string(name_of(q.kind)) + " is not among: " + compiled.channels.str();
    case Stage::direction: return std::string("direction ") + (q.request.up ? "up" : "down") + " is not the one it names";
    case Stage::tunnel:
      if (q.kind != ChannelKind::tunnel_unix && q.request.port == 22) return "port 22 must be listed as host:22 by itself; it lists: " + join(rule.tunnels, [](const TunnelPattern& t) { return t.text(); });
      return "destination " + destination_of(q) + " is not among: " + join(rule.tunnels, [](const TunnelPattern& t) { return t.text(); });
    case Stage::expired: return "the binding at " + q.snapshot.bindings()[grant.binding].place.str() + " has expired";
    case Stage::network: return "source " + q.request.source.str() + " is not in " + join(rule.networks, [](const Network& n) { return n.str(); });
    case Stage::hours: return "the time is outside its hours (zone " + rule.hours.front().zone_name + ")";
    case Stage::factor:
      return "it needs a second factor within " + std::to_string(rule.mfa_within->count()) + " s; " +
             (q.second_factor ? "the last is " + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(q.factor_reference - *q.second_factor).count()) + " s old" : std::string("none was given"));
    case Stage::security_key: return "it needs a security key (sk-ssh-ed25519, sk-ecdsa); the login was by another";
    case Stage::sessions: return std::to_string(q.request.parallel_sessions) + " sessions are open; it allows " + std::to_string(*rule.max_sessions);
    case Stage::matched: return {};
  }
  return {};
}

}  // namespace sallyport::policy
