#include "policy/authority/session.h"

#include <charconv>

namespace sallyport::authority {

std::string encode_factors(const std::vector<policy::ProvenFactor>& factors) {
  std::string text;
  for (const policy::ProvenFactor& factor : factors) {
    if (!text.empty()) text += ',';
    text += policy::name_of(factor.kind);
    text += ':' + std::to_string(factor.proven.time_since_epoch().count());
    if (factor.user_verified) text += 'v';
  }
  return text;
}

std::vector<policy::ProvenFactor> decode_factors(std::string_view text) {
  std::vector<policy::ProvenFactor> factors;
  while (!text.empty()) {
    const auto comma = text.find(',');
    std::string_view one = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    policy::ProvenFactor factor;
    if (!one.empty() && one.back() == 'v') {
      factor.user_verified = true;
      one.remove_suffix(1);
    }
    const auto colon = one.find(':');
    const auto kind = policy::parse_factor_kind(one.substr(0, colon));
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

std::string encode_certificate(const std::optional<policy::CertificateLimits>& limits) {
  if (!limits) return {};
  std::string text;
  text += limits->permit_pty ? 'p' : '-';
  text += limits->permit_port_forwarding ? 'f' : '-';
  text += limits->permit_agent_forwarding ? 'a' : '-';
  text += limits->permit_x11_forwarding ? 'x' : '-';
  return text + ':' + limits->force_command;
}

std::optional<policy::CertificateLimits> decode_certificate(std::string_view text) {
  if (text.size() < 5) return std::nullopt;
  policy::CertificateLimits limits;
  limits.permit_pty = text[0] == 'p';
  limits.permit_port_forwarding = text[1] == 'f';
  limits.permit_agent_forwarding = text[2] == 'a';
  limits.permit_x11_forwarding = text[3] == 'x';
  limits.force_command = text.substr(5);
  return limits;
}

policy::LoginIdentity identity_of(const SessionRow& row) {
  policy::LoginIdentity identity;
  identity.principal = PrincipalId(row.principal);
  identity.display = row.display;
  identity.account = AccountName(row.account);
  identity.target = TargetId(row.target);
  identity.bare = row.bare;
  identity.factors = decode_factors(row.factors);
  identity.certificate = decode_certificate(row.certificate);
  identity.key_fingerprint = row.key_fingerprint;
  identity.problem_code = row.problem_code;
  identity.problem = row.problem;
  return identity;
}

void remember_identity(SessionRow& row, const policy::LoginIdentity& identity) {
  row.principal = identity.principal.str();
  row.display = identity.display;
  row.account = identity.account.str();
  row.target = identity.target.str();
  row.bare = identity.bare;
  row.factors = encode_factors(identity.factors);
  row.certificate = encode_certificate(identity.certificate);
  row.key_fingerprint = identity.key_fingerprint;
  row.problem_code = identity.problem_code;
  row.problem = identity.problem;
}

}  // namespace sallyport::authority
