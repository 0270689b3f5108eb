#include "policy/access/canonical.h"

#include <algorithm>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/model/bytes.h"
#include "policy/access/guard_block.h"

namespace sallyport::policy {
namespace {

/// Every piece carries its length, so that no two lists give the same text.
class Text {
 public:
  Text& add(std::string_view piece) {
    text_ += std::to_string(piece.size());
    text_ += ':';
    text_ += piece;
    return *this;
  }
  Text& add(const char* piece) { return add(std::string_view(piece)); }
  Text& add(bool flag) { return add(flag ? std::string_view("y") : std::string_view("n")); }
  Text& number(std::int64_t value) { return add(std::to_string(value)); }
  Text& list(std::vector<std::string> items) {  // a set: order and repetition mean nothing
    std::sort(items.begin(), items.end());
    items.erase(std::unique(items.begin(), items.end()), items.end());
    Text inner;
    for (const auto& item : items) inner.add(item);
    return add(inner.text_);
  }
  template <class Range, class Function>
  Text& list_of(const Range& range, Function&& function) {
    std::vector<std::string> items;
    items.reserve(std::size(range));
    for (const auto& item : range) items.push_back(function(item));
    return list(std::move(items));
  }
  template <class Range, class Function>
  Text& sequence_of(const Range& range, Function&& function) {
    Text inner;
    for (const auto& item : range) inner.add(function(item));
    return add(inner.text_);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

const auto k_same = [](const std::string& s) { return s; };
const auto k_view = [](const auto& id) { return id.str(); };

std::string moment(const std::optional<WallTime>& time) {
  return time ? std::to_string(time->time_since_epoch().count()) : std::string("-");
}
std::string duration(const std::optional<std::chrono::seconds>& d) { return d ? std::to_string(d->count()) : std::string("-"); }

template <class Range, class Function>
std::string set_text(const Range& range, Function&& function) {
  Text text;
  text.list_of(range, std::forward<Function>(function));
  return text.take();
}
template <class Range, class Function>
std::string sequence_text(const Range& range, Function&& function) {
  Text text;
  text.sequence_of(range, std::forward<Function>(function));
  return text.take();
}

std::string key_text(const LoginKey& key) {
  return Text().add(key.blob).add(key.comment).add(key.from).add(moment(key.expires)).add(key.verify_required).take();
}

}  // namespace

CanonicalFields canonical(const Principal& p) {
  return {{"type", p.type == PrincipalType::person ? "person" : "machine"},
          {"display", p.display},
          {"keys", set_text(p.keys, key_text)},
          {"password", p.password_hash},
          {"totp", p.totp_secret},
          {"factors", std::to_string(p.factors)},
          {"networks", set_text(p.networks, [](const Network& n) { return n.str(); })},
          {"commands", set_text(p.commands, [](const CommandTemplate& c) { return c.text(); })},
          {"groups", set_text(p.groups, k_same)},
          {"enrol", set_text(p.enrol, k_same)},
          {"directory", set_text(p.directory, k_same)},
          {"expires", moment(p.expires)}};
}

CanonicalFields canonical(const TrustedCa& ca) {
  return {{"key", ca.blob}, {"krl", ca.krl_file + ":" + ca.krl_digest}};
}

CanonicalFields canonical(const Group& group) {
  return {{"members", set_text(group.members, k_view)}};
}

CanonicalFields canonical(const Target& t) {
  const auto host_key = [](const HostKey& key) { return key.blob; };
  const auto account = [](const Account& a) {
    Text text;
    text.add(a.name.view());
    text.sequence_of(a.credentials, [](const TargetCredential& c) { return std::to_string(static_cast<int>(c.kind)) + c.secret; });
    text.list_of(a.certificate_principals, k_same);
    return text.take();
  };
  Text labels;
  for (const auto& [key, value] : t.labels) labels.add(key).add(value);
  return {{"instance", t.instance},
          {"address", t.address},
          {"port", std::to_string(t.port)},
          {"labels", labels.take()},
          {"host_keys", set_text(t.host_keys, host_key)},
          {"host_cas", set_text(t.host_cas, host_key)},
          {"allow_networks", Text().add(t.allow_loopback).add(t.allow_link_local).add(t.allow_gateway).take()},
          {"durability", t.durability == Durability::written ? "written" : "synced"},
          {"accounts", set_text(t.accounts, account)}};
}

std::string canonical(const Rule& r) {
  Text text;
  text.number(r.channels.bits()).add(r.every_channel).add(r.every_target).list(r.target_names);
  Text labels;
  for (const auto& [key, values] : r.target_labels) {
    labels.add(key);
    labels.list(values);
  }
  text.add(labels.take()).list(r.accounts).add(r.up).add(r.down).add(r.has_files);
  text.list_of(r.files, [](const FileRule& f) { return Text().add(f.prefix).add(f.up).add(f.down).add(f.change).add(f.hold_up).add(f.hold_change).take(); });
  text.add(r.has_tunnels).list_of(r.tunnels, [](const TunnelPattern& t) { return t.text(); }).list(r.env);
  text.list_of(r.networks, [](const Network& n) { return n.str(); });
  text.list_of(r.hours, [](const Hours& h) {
    Text hours;
    for (const bool day : h.days) hours.add(day);
    return hours.number(h.from.count()).number(h.to.count()).add(h.zone_name).take();
  });
  text.add(duration(r.mfa_within)).add(r.security_key).add(duration(r.max_duration)).add(duration(r.idle_timeout));
  text.add(r.max_sessions ? std::to_string(*r.max_sessions) : std::string("-"));
  text.add(r.bulk ? std::to_string(static_cast<int>(*r.bulk)) : std::string("-"));
  text.add(r.onward ? std::to_string(static_cast<int>(*r.onward)) : std::string("-"));
  if (r.hold) text.add(r.hold->approvers).number(r.hold->count).number(r.hold->within.count());
  return text.take();
}

CanonicalFields canonical(const Role& role) {
  const auto rule = [](const Rule& r) { return canonical(r); };
  CanonicalFields fields{{"allow", set_text(role.allow, rule)},
                         {"deny", set_text(role.deny, rule)},
                         {"admin", set_text(role.admin, [](AdminRight right) { return std::string(name_of(right)); })}};
  if (role.approval)
    fields.emplace_back("approval", Text().add(role.approval->approvers).number(role.approval->count).number(role.approval->within.count()).number(role.approval->lasts.count()).take());
  if (role.moderation) {
    const Moderation& m = *role.moderation;
    fields.emplace_back("moderation", Text().add(m.moderators).number(m.within.count()).number(m.grace.count()).add(m.take_over).take());
  }
  if (!role.guard.empty())
    fields.emplace_back("guard", set_text(role.guard, [](const std::shared_ptr<const GuardBlock>& block) {
                          std::string text = canonical(block->where);
                          for (const std::byte b : *block->bytes) text.push_back(static_cast<char>(b));
                          return text;
                        }));
  return fields;
}

CanonicalFields canonical(const Binding& b) {
  CanonicalFields fields{{"role", b.role}, {"groups", set_text(b.groups, k_same)}, {"principals", set_text(b.principals, k_view)}, {"expires", moment(b.expires)}};
  if (!b.name.empty()) fields.emplace_back("name", b.name);
  return fields;
}

CanonicalFields canonical(const BreakGlass& glass) {
  return {{"needed", std::to_string(glass.needed)},
          {"max_validity", std::to_string(glass.max_validity.count())},
          {"max_lasts", std::to_string(glass.max_lasts.count())},
          {"approvers", set_text(glass.approvers, [](const BreakGlass::Approver& approver) {
             return Text().add(approver.name).add(set_text(approver.keys, [](const LoginKey& key) { return key.blob; })).take();
           })}};
}

std::string digest_of(const Documents& documents) {
  std::vector<std::string> all;
  const auto add = [&](std::string_view kind, std::string_view name, const CanonicalFields& fields) {
    Text text;
    text.add(kind).add(name);
    for (const auto& [field, value] : fields) text.add(field).add(value);
    all.push_back(text.take());
  };
  for (const auto& p : documents.principals) add("principal", p.name.view(), canonical(p));
  for (const auto& c : documents.trusted_user_cas) add("trusted_user_ca", c.name, canonical(c));
  for (const auto& g : documents.groups) add("group", g.name, canonical(g));
  for (const auto& t : documents.targets) add("target", t.name.view(), canonical(t));
  for (const auto& r : documents.roles) add("role", r.name, canonical(r));
  for (const auto& b : documents.bindings) add("binding", b.role, canonical(b));
  if (documents.break_glass) add("break_glass", "", canonical(*documents.break_glass));
  std::sort(all.begin(), all.end());
  return crypto::to_hex(crypto::sha256(bytes_of(sequence_text(all, k_same))));
}

}  // namespace sallyport::policy
