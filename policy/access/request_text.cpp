#include "policy/access/request_text.h"

#include <algorithm>
#include <charconv>

#include "platform/model/json_text.h"

namespace sallyport::policy {
namespace {

class Out {
 public:
  Out& text(std::string_view key, std::string_view value) {
    if (value.empty()) return *this;
    begin(key);
    out_ += json_quote(value);
    return *this;
  }
  Out& number(std::string_view key, std::int64_t value) {
    if (value == 0) return *this;
    begin(key);
    out_ += std::to_string(value);
    return *this;
  }
  [[nodiscard]] std::string take() { return out_ + "}"; }

 private:
  void begin(std::string_view key) {
    if (out_.size() > 1) out_ += ',';
    out_ += '"';
    out_ += key;
    out_ += "\":";
  }
  std::string out_ = "{";
};

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> items;
  while (!list.empty()) {
    const auto comma = list.find(',');
    items.emplace_back(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  }
  return items;
}

}  // namespace

std::string encode_factors(const std::vector<ProvenFactor>& factors) {
  std::string text;
  for (const ProvenFactor& factor : factors) {
    if (!text.empty()) text += ',';
    text += name_of(factor.kind);
    text += ':' + std::to_string(factor.proven.time_since_epoch().count());
    if (factor.hardware) text += 'h';
    if (factor.user_verified) text += 'v';
  }
  return text;
}

std::vector<ProvenFactor> decode_factors(std::string_view text) {
  std::vector<ProvenFactor> factors;
  while (!text.empty()) {
    const auto comma = text.find(',');
    std::string_view one = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    ProvenFactor factor;
    if (!one.empty() && one.back() == 'v') {
      factor.user_verified = true;
      one.remove_suffix(1);
    }
    if (!one.empty() && one.back() == 'h') {
      factor.hardware = true;
      one.remove_suffix(1);
    }
    const auto colon = one.find(':');
    const auto kind = parse_factor_kind(one.substr(0, colon));
    if (!kind || colon == std::string_view::npos) continue;
    std::int64_t us = 0;
    const std::string_view digits = one.substr(colon + 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), us);
    factor.kind = *kind;
    factor.proven = WallTime(std::chrono::microseconds(us));
    factors.push_back(factor);
  }
  return factors;
}

std::string encode_certificate(const std::optional<CertificateLimits>& limits) {
  if (!limits) return {};
  std::string text;
  text += limits->permit_pty ? 'p' : '-';
  text += limits->permit_port_forwarding ? 'f' : '-';
  text += limits->permit_agent_forwarding ? 'a' : '-';
  text += limits->permit_x11_forwarding ? 'x' : '-';
  return text + ':' + limits->force_command;
}

std::optional<CertificateLimits> decode_certificate(std::string_view text) {
  if (text.size() < 5) return std::nullopt;
  CertificateLimits limits;
  limits.permit_pty = text[0] == 'p';
  limits.permit_port_forwarding = text[1] == 'f';
  limits.permit_agent_forwarding = text[2] == 'a';
  limits.permit_x11_forwarding = text[3] == 'x';
  limits.force_command = text.substr(5);
  return limits;
}

namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

/// envelope;microseconds;alone or with;targets;accounts -- names hold neither ; nor ,
std::string encode_glass(const GlassGrant& glass) {
  return glass.envelope + ';' + std::to_string(glass.until.time_since_epoch().count()) + (glass.alone ? ";alone;" : ";with;") + joined(glass.targets) + ';' + joined(glass.accounts);
}

std::shared_ptr<const GlassGrant> decode_glass(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t end = std::min(text.find(';', from), text.size());
    parts.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  if (parts.size() != 5) return nullptr;
  auto glass = std::make_shared<GlassGrant>();
  std::int64_t us = 0;
  std::from_chars(parts[1].data(), parts[1].data() + parts[1].size(), us);
  glass->envelope = parts[0];
  glass->until = WallTime(std::chrono::microseconds(us));
  glass->alone = parts[2] == "alone";
  glass->targets = split(parts[3]);
  glass->accounts = split(parts[4]);
  return glass;
}

}  // namespace

std::string encode_request(const AccessRequest& r) {
  Out out;
  out.text("principal", r.principal.view()).text("target", r.target.view()).text("account", r.account.view()).text("kind", name_of(r.kind));
  out.text("source", r.source.str()).text("factors", encode_factors(r.factors)).text("certificate", encode_certificate(r.certificate));
  out.text("direction", r.up ? (r.down ? "both" : "up") : r.down ? "down" : "").text("command", r.command).text("host", r.host).number("port", r.port).text("path", r.path);
  out.number("now", r.now.time_since_epoch().count());
  if (r.opened) out.number("opened", r.opened->time_since_epoch().count());
  out.number("age", r.session_age.count()).number("parallel", r.parallel_sessions);
  std::string approvals;
  for (const std::string& role : r.approvals) approvals += (approvals.empty() ? "" : ",") + role;
  std::string groups;
  for (const std::string& group : r.groups) groups += (groups.empty() ? "" : ",") + group;
  std::string moderated;
  for (const std::string& role : r.moderated) moderated += (moderated.empty() ? "" : ",") + role;
  return out.text("approvals", approvals).text("moderated", moderated).text("groups", groups).text("glass", r.glass ? encode_glass(*r.glass) : std::string()).take();
}

std::optional<AccessRequest> decode_request(std::string_view json) {
  const auto fields = JsonFields::parse(json);
  if (!fields) return std::nullopt;
  const auto kind = parse_channel_kind(fields->get("kind"));
  const auto source = IpAddress::parse(fields->get("source"));
  const auto now = fields->number("now");
  if (!kind || !now) return std::nullopt;
  AccessRequest r;
  r.principal = PrincipalId(std::string(fields->get("principal")));
  r.target = TargetId(std::string(fields->get("target")));
  r.account = AccountName(std::string(fields->get("account")));
  r.kind = *kind;
  if (source) r.source = *source;
  r.factors = decode_factors(fields->get("factors"));
  r.certificate = decode_certificate(fields->get("certificate"));
  const std::string_view direction = fields->get("direction");
  r.up = direction == "up" || direction == "both";
  r.down = direction == "down" || direction == "both";
  r.command = fields->get("command");
  r.host = fields->get("host");
  r.port = static_cast<std::uint16_t>(fields->number("port").value_or(0));
  r.path = fields->get("path");
  r.now = WallTime(std::chrono::microseconds(*now));
  if (const auto opened = fields->number("opened")) r.opened = WallTime(std::chrono::microseconds(*opened));
  r.session_age = std::chrono::seconds(fields->number("age").value_or(0));
  r.parallel_sessions = static_cast<std::uint32_t>(fields->number("parallel").value_or(0));
  r.approvals = split(fields->get("approvals"));
  r.moderated = split(fields->get("moderated"));
  r.groups = split(fields->get("groups"));
  if (const std::string_view glass = fields->get("glass"); !glass.empty()) r.glass = decode_glass(glass);
  return r;
}

}  // namespace sallyport::policy
