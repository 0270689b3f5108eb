#include "vault/signing_rules.h"

#include <algorithm>
#include <array>

#include "platform/crypto/ulid.h"

namespace sallyport::vault {
namespace {

constexpr std::size_t k_most_user_principals = 16;
constexpr std::size_t k_most_host_principals = 256;
constexpr std::size_t k_most_source_addresses = 32;
constexpr std::array<std::string_view, 4> k_extensions{"permit-X11-forwarding", "permit-agent-forwarding", "permit-port-forwarding", "permit-pty"};

bool is_principal(std::string_view name) {
  return !name.empty() && name.size() <= 255 && std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f && c != ','; });
}

Result<crypto::SshCertificateFields> common_fields(const CertificateRequest& request, std::int64_t now, std::chrono::seconds longest, std::size_t most) {
  if (request.principals.empty()) return fail(Errc::denied, "a certificate without principals is never signed");
  if (request.principals.size() > most || !std::all_of(request.principals.begin(), request.principals.end(), is_principal))
    return fail(Errc::invalid, "principals of a certificate are too many or not plain names");
  if (request.valid_after < now - k_clock_slack.count() || request.valid_after > now)
    return fail(Errc::denied, "a certificate begins now, or at most five minutes ago");
  if (request.valid_before <= now || request.valid_before > now + longest.count())
    return fail(Errc::denied, "the certificate would be valid too long, or not at all");
  crypto::SshCertificateFields fields;
  fields.serial = request.serial;
  fields.key_id = request.session;
  fields.principals = request.principals;
  fields.valid_after = static_cast<std::uint64_t>(request.valid_after);
  fields.valid_before = static_cast<std::uint64_t>(request.valid_before);
  return fields;
}

}  // namespace

namespace {

Result<crypto::SshCertificateFields> user_fields(const CertificateRequest& request, std::int64_t now, std::chrono::seconds longest, std::size_t most) {
  auto fields = common_fields(request, now, longest, most);
  if (!fields) return fields;
  if (request.serial == 0) return fail(Errc::invalid, "a user certificate needs a serial number, else it could not be revoked");
  fields->type = crypto::SshCertificateType::user;
  for (const std::string& extension : request.extensions) {
    if (std::find(k_extensions.begin(), k_extensions.end(), extension) == k_extensions.end())
      return fail(Errc::denied, "certificate extension that is never signed");
    fields->extensions.emplace_back(extension, "");
  }
  std::sort(fields->extensions.begin(), fields->extensions.end());
  fields->extensions.erase(std::unique(fields->extensions.begin(), fields->extensions.end()), fields->extensions.end());
  if (request.source_addresses.size() > k_most_source_addresses) return fail(Errc::invalid, "too many source addresses");
  std::string list;
  for (const std::string& address : request.source_addresses) list += (list.empty() ? "" : ",") + address;
  if (!list.empty()) {
    // The address asked about does not matter: a list that cannot be read is an error for every address.
    if (auto readable = crypto::address_in_cidr_list(list, "0.0.0.0"); !readable) return tl::unexpected(readable.error());
    fields->critical_options.emplace_back("source-address", list);
  }
  return fields;
}

}  // namespace

Result<crypto::SshCertificateFields> user_certificate_fields(const CertificateRequest& request, std::int64_t now) {
  if (!crypto::is_ulid(request.session)) return fail(Errc::invalid, "a user certificate belongs to a session");
  return user_fields(request, now, k_longest_user_certificate, k_most_user_principals);
}

Result<crypto::SshCertificateFields> login_certificate_fields(const CertificateRequest& request, std::int64_t now) {
  if (request.session.empty() || request.session.size() > 255) return fail(Errc::invalid, "a login certificate needs a key id");
  return user_fields(request, now, k_longest_login_certificate, 1);
}

Result<crypto::SshCertificateFields> host_certificate_fields(const CertificateRequest& request, std::int64_t now) {
  if (!request.source_addresses.empty() || !request.extensions.empty()) return fail(Errc::invalid, "a host certificate has no options");
  auto fields = common_fields(request, now, k_longest_host_certificate, k_most_host_principals);
  if (fields) fields->type = crypto::SshCertificateType::host;
  return fields;
}

Result<crypto::Checkpoint> check_checkpoint(std::string_view body, std::string_view origin, const std::optional<CheckpointSeen>& seen) {
  auto checkpoint = crypto::parse_checkpoint(body);
  if (!checkpoint) return checkpoint;
  if (checkpoint->origin != origin) return fail(Errc::denied, "a checkpoint of another log");
  if (crypto::checkpoint_body(*checkpoint) != body || !checkpoint->extensions.empty()) return fail(Errc::invalid, "a checkpoint with more than origin, size and root");
  if (seen && checkpoint->size < seen->size) return fail(Errc::conflict, "the log has shrunk since the last checkpoint");
  if (seen && checkpoint->size == seen->size && checkpoint->root != seen->root) return fail(Errc::conflict, "another root for the same size of the log");
  return checkpoint;
}

bool is_secret_name(std::string_view name) noexcept {
  constexpr std::size_t k_most = 128;
  const auto letter_or_digit = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (name.empty() || name.size() > k_most || name.starts_with("sallyport/")) return false;
  bool begins = true;
  for (const char c : name) {
    if (begins && !letter_or_digit(c)) return false;
    if (!letter_or_digit(c) && c != '_' && c != '.' && c != '-' && c != '/') return false;
    begins = c == '/';
  }
  return !begins;
}

}  // namespace sallyport::vault
