#include "policy/identity/envelope.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <set>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/ulid.h"
#include "policy/access/fields.h"
#include "policy/identity/login.h"

namespace sallyport::policy {
namespace {

constexpr std::string_view k_first_line = "sallyport-break-glass 1";
constexpr std::size_t k_most_of_a_kind = 64;
constexpr std::size_t k_most_signatures = 64;
constexpr std::size_t k_max_line = 4096;
constexpr std::size_t k_hash_text = 64;
constexpr unsigned k_code_groups = 5;
constexpr std::string_view k_code_letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";  // Crockford: no I, L, O, U

std::string utc(WallTime when) {
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(when.time_since_epoch()).count();
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

bool is_reason(std::string_view text) {
  return text.size() <= 1024 && std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

template <class T>
bool read_number(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

bool add_name(std::vector<std::string>& names, std::string_view value, bool fits) {
  if (!fits || names.size() >= k_most_of_a_kind || std::find(names.begin(), names.end(), value) != names.end()) return false;
  names.emplace_back(value);
  return true;
}

bool read_moment(std::string_view value, WallTime& out) {
  const auto moment = parse_moment(value);
  if (!moment || utc(*moment) != value) return false;  // one text for each moment
  out = *moment;
  return true;
}

bool read_approver(Envelope& envelope, std::string_view value) {
  const auto space = value.find(' ');
  if (space == std::string_view::npos || envelope.approvers.size() >= k_most_of_a_kind) return false;
  const std::string_view name = value.substr(0, space);
  const std::string_view hash = value.substr(space + 1);
  const bool is_hex = hash.size() == k_hash_text && std::all_of(hash.begin(), hash.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (!is_name(name) || !is_hex) return false;
  if (std::any_of(envelope.approvers.begin(), envelope.approvers.end(), [&](const auto& one) { return one.name == name; })) return false;
  envelope.approvers.push_back({std::string(name), std::string(hash)});
  return true;
}

bool read_field(Envelope& envelope, std::string_view key, std::string_view value) {
  if (key == "id") return crypto::is_ulid(value) && (envelope.id = value, true);
  if (key == "principal") return is_name(value) && (envelope.principal = value, true);
  if (key == "target") return add_name(envelope.targets, value, is_name(value));
  if (key == "account") return add_name(envelope.accounts, value, is_account_name(value));
  if (key == "not-before") return read_moment(value, envelope.not_before);
  if (key == "not-after") return read_moment(value, envelope.not_after);
  if (key == "needed") return read_number(value, envelope.needed) && envelope.needed > 0;
  if (key == "approver") return read_approver(envelope, value);
  if (key == "drill") return value == "yes" && (envelope.drill = true);
  if (key == "reason") return !value.empty() && is_reason(value) && (envelope.reason = value, true);
  if (key == "key") {
    const auto parsed = crypto::SshPublicKey::parse_line(value);
    return parsed && parsed->line() == value && add_name(envelope.keys, text_of(parsed->blob()), true);
  }
  if (key == "lasts") {
    std::int64_t seconds = 0;
    if (!read_number(value, seconds) || seconds < 1 || seconds > 366LL * 24 * 3600) return false;
    envelope.lasts = std::chrono::seconds(seconds);
    return true;
  }
  return false;
}

Result<void> whole(const Envelope& e) {
  const char* missing = e.id.empty() ? "id" : e.principal.empty() ? "principal" : e.keys.empty() ? "key" : e.targets.empty() ? "target" : e.accounts.empty() ? "account"
                        : e.not_before == WallTime{} ? "not-before" : e.not_after == WallTime{} ? "not-after" : e.lasts.count() == 0 ? "lasts" : nullptr;
  if (missing != nullptr) return fail(Errc::invalid, std::string("the envelope has no `") + missing + "`");
  if (e.not_after <= e.not_before) return fail(Errc::invalid, "the envelope ends before it begins");
  if (e.approvers.size() < e.needed) return fail(Errc::invalid, "the envelope needs " + std::to_string(e.needed) + " approvers and lists " + std::to_string(e.approvers.size()));
  return {};
}

tl::unexpected<Error> no(std::string_view code, const std::string& why) { return fail(Errc::denied, std::string(code) + " " + why); }

std::string letters_of(std::string_view code) {
  std::string letters;
  for (const char c : code)
    if (c != '-' && c != ' ') letters += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return letters;
}

}  // namespace

std::string Envelope::text() const {
  std::string out(k_first_line);
  out += '\n';
  const auto line = [&](std::string_view key, std::string_view value) { out.append(key).append(": ").append(value).append("\n"); };
  line("id", id);
  line("principal", principal);
  for (const std::string& blob : keys)
    if (const auto key = crypto::SshPublicKey::parse_blob(bytes_of(blob))) line("key", key->line());
  for (const std::string& target : targets) line("target", target);
  for (const std::string& account : accounts) line("account", account);
  line("not-before", utc(not_before));
  line("not-after", utc(not_after));
  line("lasts", std::to_string(lasts.count()));
  line("needed", std::to_string(needed));
  for (const Approver& approver : approvers) line("approver", approver.name + " " + approver.code_hash);
  if (drill) line("drill", "yes");
  if (!reason.empty()) line("reason", reason);
  return out;
}

Result<SignedEnvelope> parse_envelope(std::string_view file) {
  if (file.size() > k_max_envelope) return fail(Errc::invalid, "an envelope of more than 64 KiB");
  SignedEnvelope sealed;
  std::string_view rest = file;
  const auto first_signature = rest.find(crypto::k_ssh_signature_begin);
  sealed.text = rest.substr(0, first_signature);
  rest = first_signature == std::string_view::npos ? std::string_view{} : rest.substr(first_signature);

  std::string_view lines = sealed.text;
  static const std::set<std::string_view> k_once{"id", "principal", "not-before", "not-after", "lasts", "needed", "drill", "reason"};
  std::set<std::string_view> seen;
  for (unsigned number = 1; !lines.empty(); ++number) {
    const std::string place = "line " + std::to_string(number) + ": ";
    const auto end = lines.find('\n');
    if (end == std::string_view::npos) return fail(Errc::invalid, place + "the line does not end");
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end + 1);
    if (line.size() > k_max_line) return fail(Errc::invalid, place + "too long");
    if (number == 1) {
      if (line != k_first_line) return fail(Errc::invalid, place + "an envelope begins with `" + std::string(k_first_line) + "`");
      continue;
    }
    const auto colon = line.find(": ");
    const std::string_view key = line.substr(0, colon);
    if (colon == std::string_view::npos || (k_once.contains(key) && !seen.insert(key).second) || !read_field(sealed.envelope, key, line.substr(colon + 2)))
      return fail(Errc::invalid, place + "not understood, or there twice");
  }
  if (auto right = whole(sealed.envelope); !right) return tl::unexpected(right.error());

  while (!rest.empty()) {
    const auto end = rest.find(crypto::k_ssh_signature_end);
    const std::size_t size = end == std::string_view::npos ? rest.size() : end + crypto::k_ssh_signature_end.size();
    auto signature = crypto::SshFileSignature::parse(rest.substr(0, size));
    if (!signature) return tl::unexpected(signature.error());
    if (sealed.signatures.size() >= k_most_signatures) return fail(Errc::invalid, "more than " + std::to_string(k_most_signatures) + " signatures");
    sealed.signatures.push_back(std::move(*signature));
    rest.remove_prefix(size);
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r\n"), rest.size()));
  }
  return sealed;
}

Result<std::vector<std::string>> check_signatures(const SignedEnvelope& sealed, const Snapshot& policy, WallTime now) {
  const auto& rules = policy.break_glass();
  if (!rules) return no("SP-9902", "the policy has no `break_glass`: no signature counts");
  const Principal* principal = policy.find_principal(sealed.envelope.principal);
  std::set<std::string> names;
  std::string first_problem;
  const auto complain = [&](const std::string& problem) {
    if (first_problem.empty()) first_problem = problem;
  };
  for (const crypto::SshFileSignature& signature : sealed.signatures) {
    const std::string blob(text_of(signature.key().blob()));
    const auto is_it = [&](const LoginKey& key) { return key.blob == blob && (!key.expires || *key.expires > now); };
    const auto approver = std::find_if(rules->approvers.begin(), rules->approvers.end(), [&](const auto& one) { return std::any_of(one.keys.begin(), one.keys.end(), is_it); });
    const bool is_own = std::find(sealed.envelope.keys.begin(), sealed.envelope.keys.end(), blob) != sealed.envelope.keys.end() ||
                        (principal != nullptr && std::any_of(principal->keys.begin(), principal->keys.end(), is_it));
    const auto facts = signature.verify(k_envelope_namespace, sealed.text);
    if (!facts) return no("SP-9902", "a signature by " + signature.key().fingerprint() + ": " + facts.error().detail);
    if (approver == rules->approvers.end()) {
      complain("the key " + signature.key().fingerprint() + " is no approver's in the policy");
    } else if (is_own || approver->name == sealed.envelope.principal) {
      complain("the signature of " + sealed.envelope.principal + ", who is to open it, does not count");
    } else if (const auto& key = *std::find_if(approver->keys.begin(), approver->keys.end(), is_it); key.verify_required && !facts->user_verified) {
      complain("the signature of " + approver->name + " was made without PIN or finger, which the policy asks for");
    } else if (std::none_of(sealed.envelope.approvers.begin(), sealed.envelope.approvers.end(), [&](const auto& one) { return one.name == approver->name; })) {
      complain(approver->name + " has signed and is not among the envelope's approvers");
    } else if (!names.insert(approver->name).second) {
      complain(approver->name + " has signed twice, and counts once");
    }
  }
  const std::size_t needed = std::max(sealed.envelope.needed, rules->needed);
  if (names.size() < needed)
    return no("SP-9902", std::to_string(names.size()) + " of " + std::to_string(needed) + " signatures count" + (first_problem.empty() ? "" : ": " + first_problem));
  return std::vector<std::string>(names.begin(), names.end());
}

Result<void> check_envelope(const Envelope& e, const Snapshot& policy, WallTime now) {
  const auto& rules = policy.break_glass();
  if (!rules) return no("SP-9902", "the policy has no `break_glass`");
  if (e.needed < rules->needed) return no("SP-9902", "it asks for " + std::to_string(e.needed) + " codes, and the policy for " + std::to_string(rules->needed));
  if (e.not_after - e.not_before > rules->max_validity) return no("SP-9902", "it is good for longer than the policy's max_validity");
  if (e.lasts > rules->max_lasts) return no("SP-9902", "it would last longer than the policy's max_lasts");
  if (now >= e.not_after) return no("SP-9903", "it was good until " + utc(e.not_after));
  if (now < e.not_before) return no("SP-9903", "it is good from " + utc(e.not_before));
  const Principal* principal = policy.find_principal(e.principal);
  if (principal == nullptr) return no("SP-9902", "the policy has no principal `" + e.principal + "`");
  if (principal->type == PrincipalType::machine) return no("SP-9902", "`" + e.principal + "` is a machine, and no machine opens an envelope");
  for (const std::string& name : e.targets) {
    const Target* target = policy.find_target(name);
    if (target == nullptr) return no("SP-9902", "the policy has no target `" + name + "`");
    if (std::none_of(e.accounts.begin(), e.accounts.end(), [&](const std::string& account) { return target->find_account(account) != nullptr; }))
      return no("SP-9902", "the target `" + name + "` has none of its accounts");
  }
  return {};
}

Secret make_code(crypto::Random& random) {
  const Secret bytes = crypto::random_secret(random, k_code_groups * 4);
  std::string text;
  text.reserve(k_code_groups * 5);
  for (std::size_t i = 0; i < bytes.reveal().size(); ++i) {
    if (i != 0 && i % 4 == 0) text += '-';
    text += k_code_letters[std::to_integer<std::size_t>(bytes.reveal()[i]) % k_code_letters.size()];
  }
  Secret code{std::string_view(text)};
  std::fill(text.begin(), text.end(), '\0');
  return code;
}

std::string hash_code(std::string_view envelope, std::string_view approver, const Secret& code) {
  crypto::Sha256 hash;
  hash.update("sallyport break-glass code\n").update(envelope).update("\n").update(approver).update("\n").update(letters_of(text_of(code.reveal())));
  return crypto::to_hex(hash.finish());
}

std::vector<std::string> codes_of(const Envelope& envelope, std::span<const Secret> codes) {
  std::set<std::string> names;
  for (const Secret& code : codes) {
    for (const Envelope::Approver& approver : envelope.approvers) {
      const std::string hash = hash_code(envelope.id, approver.name, code);
      if (crypto::equal_constant_time(bytes_of(hash), bytes_of(approver.code_hash)) && approver.name != envelope.principal) names.insert(approver.name);
    }
  }
  return {names.begin(), names.end()};
}

}  // namespace sallyport::policy
