#include "platform/crypto/ssh_certificate.h"

#include <algorithm>
#include <array>

#include "platform/crypto/base64.h"
#include "platform/crypto/random.h"

namespace sallyport::crypto {
namespace {

constexpr std::size_t k_max_entries = 256;
constexpr std::size_t k_max_certificate = 64 * 1024;
constexpr std::size_t k_nonce_size = 32;

using Options = std::vector<std::pair<std::string, std::string>>;

struct CertificateName {
  SshKeyType type;
  std::string_view name;
};
constexpr std::array k_names{
    CertificateName{SshKeyType::ed25519, "ssh-ed25519-cert-v01@openssh.com"},
    CertificateName{SshKeyType::rsa, "ssh-rsa-cert-v01@openssh.com"},
    CertificateName{SshKeyType::rsa, "rsa-sha2-256-cert-v01@openssh.com"},
    CertificateName{SshKeyType::rsa, "rsa-sha2-512-cert-v01@openssh.com"},
    CertificateName{SshKeyType::ecdsa_p256, "ecdsa-sha2-nistp256-cert-v01@openssh.com"},
    CertificateName{SshKeyType::ecdsa_p384, "ecdsa-sha2-nistp384-cert-v01@openssh.com"},
    CertificateName{SshKeyType::ecdsa_p521, "ecdsa-sha2-nistp521-cert-v01@openssh.com"},
    CertificateName{SshKeyType::sk_ed25519, "sk-ssh-ed25519-cert-v01@openssh.com"},
    CertificateName{SshKeyType::sk_ecdsa_p256, "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com"},
};

/// Number of wire values that follow the nonce and make up the public key of this type.
int key_field_count(SshKeyType type) {
  switch (type) {
    case SshKeyType::ed25519: return 1;        // point
    case SshKeyType::rsa: return 2;            // e, n
    case SshKeyType::ecdsa_p256:
    case SshKeyType::ecdsa_p384:
    case SshKeyType::ecdsa_p521: return 2;     // curve, point
    case SshKeyType::sk_ed25519: return 2;     // point, application
    case SshKeyType::sk_ecdsa_p256: return 3;  // curve, point, application
  }
  return 0;
}

bool needs_text(std::string_view option) { return option == "force-command" || option == "source-address"; }

/// Flags have no data, the options we know one inner string; what is unknown to us is kept as it is.
Result<Options> read_options(std::span<const std::byte> bytes) {
  SshReader reader(bytes);
  Options options;
  while (reader.ok() && !reader.at_end()) {
    std::string name(reader.text());
    const auto data = reader.string();
    if (!reader.ok() || name.empty() || options.size() == k_max_entries) return fail(Errc::invalid, "certificate options are broken or too many");
    for (const auto& [earlier, value] : options)
      if (earlier == name) return fail(Errc::invalid, "certificate option " + name + " stands twice");
    SshReader inner(data);
    std::string value(data.empty() ? std::string_view() : inner.text());
    if (!inner.finished()) {
      value.assign(text_of(data));
      if (needs_text(name)) return fail(Errc::invalid, "certificate option " + name + " is broken");
    } else if (data.empty() && needs_text(name)) {
      return fail(Errc::invalid, "certificate option " + name + " has no value");
    }
    options.emplace_back(std::move(name), std::move(value));
  }
  if (!reader.ok()) return fail(Errc::invalid, "certificate options are cut short");
  return options;
}

void write_options(SshWriter& writer, Options options) {
  std::sort(options.begin(), options.end());
  SshWriter list;
  for (const auto& [name, value] : options) {
    list.string(name);
    if (value.empty()) {
      list.string("");
    } else {
      list.string(SshWriter().string(value).view());
    }
  }
  writer.string(list);
}

const std::pair<std::string, std::string>* find_option(const Options& options, std::string_view name) {
  for (const auto& option : options)
    if (option.first == name) return &option;
  return nullptr;
}

}  // namespace

Result<SshCertificate> SshCertificate::parse_blob(std::span<const std::byte> blob) {
  if (blob.size() > k_max_certificate) return fail(Errc::invalid, "certificate above 64 KiB");
  SshReader reader(blob);
  const std::string_view name = reader.text();
  const auto known = std::find_if(k_names.begin(), k_names.end(), [&](const CertificateName& entry) { return entry.name == name; });
  if (known == k_names.end()) return fail(Errc::invalid, "not a certificate of a known type");
  reader.string();  // nonce
  SshWriter plain;
  plain.string(name_of(known->type));
  for (int i = key_field_count(known->type); i > 0; --i) plain.string(reader.string());

  SshCertificateFields fields;
  fields.serial = reader.u64();
  const std::uint32_t type = reader.u32();
  fields.key_id = std::string(reader.text());
  SshReader principals(reader.string());
  fields.valid_after = reader.u64();
  fields.valid_before = reader.u64();
  const auto critical = reader.string();
  const auto extensions = reader.string();
  reader.string();  // reserved
  const auto ca_blob = reader.string();
  const std::size_t signed_size = blob.size() - reader.rest().size();
  const auto signature = reader.string();
  if (!reader.finished()) return fail(Errc::invalid, "certificate is cut short or has bytes left over");
  if (type != 1 && type != 2) return fail(Errc::invalid, "certificate is neither for a user nor for a host");
  fields.type = static_cast<SshCertificateType>(type);
  while (principals.ok() && !principals.at_end()) {
    if (fields.principals.size() == k_max_entries) return fail(Errc::invalid, "certificate names more than 256 principals");
    fields.principals.emplace_back(principals.text());
  }
  if (!principals.ok()) return fail(Errc::invalid, "certificate principals are cut short");
  auto key = SshPublicKey::parse_blob(plain.view());
  if (!key) return fail_in("certified key", key.error());
  auto ca = SshPublicKey::parse_blob(ca_blob);
  if (!ca) return fail_in("key of the certificate authority", ca.error());
  auto critical_options = read_options(critical);
  if (!critical_options) return tl::unexpected(critical_options.error());
  auto extension_list = read_options(extensions);
  if (!extension_list) return tl::unexpected(extension_list.error());
  fields.critical_options = std::move(*critical_options);
  fields.extensions = std::move(*extension_list);

  SshCertificate certificate(std::move(*key), std::move(*ca));
  certificate.name_ = std::string(name);
  certificate.fields_ = std::move(fields);
  certificate.blob_.assign(blob.begin(), blob.end());
  certificate.signed_size_ = signed_size;
  certificate.signature_.assign(signature.begin(), signature.end());
  return certificate;
}

Result<SshCertificate> SshCertificate::parse_line(std::string_view line) {
  auto parsed = parse_authorized_key(line);
  if (!parsed) return tl::unexpected(parsed.error());
  if (!parsed->options.empty()) return fail(Errc::invalid, "options stand in front of a certificate");
  return parse_blob(parsed->blob);
}

std::optional<std::string_view> SshCertificate::critical_option(std::string_view name) const {
  const auto* option = find_option(fields_.critical_options, name);
  return option == nullptr ? std::nullopt : std::optional<std::string_view>(option->second);
}

bool SshCertificate::has_extension(std::string_view name) const { return find_option(fields_.extensions, name) != nullptr; }

Result<void> SshCertificate::verify_signature() const {
  auto facts = ca_.verify(signature_, std::span(blob_).first(signed_size_));
  if (!facts) return fail_in("certificate", facts.error());
  return {};
}

Result<void> SshCertificate::check(const SshCertificateUse& use) const {
  if (fields_.type != use.type)
    return fail(Errc::denied, use.type == SshCertificateType::user ? "a host certificate cannot log in" : "a user certificate cannot name a host");
  if (use.now < 0 || static_cast<std::uint64_t>(use.now) < fields_.valid_after) return fail(Errc::denied, "certificate is not valid yet");
  if (static_cast<std::uint64_t>(use.now) >= fields_.valid_before) return fail(Errc::denied, "certificate has expired");
  if (fields_.principals.empty()) return fail(Errc::denied, "certificate names no principal");
  if (std::find(fields_.principals.begin(), fields_.principals.end(), use.principal) == fields_.principals.end())
    return fail(Errc::denied, "certificate does not name this principal");
  for (const auto& [name, value] : fields_.critical_options) {
    const bool user_option = name == "force-command" || name == "source-address" || name == "verify-required";
    if (use.type != SshCertificateType::user || !user_option) return fail(Errc::denied, "certificate has the unknown critical option " + name);
    if (name == "verify-required" && !value.empty()) return fail(Errc::denied, "certificate option verify-required has a value");
    if (name != "source-address") continue;
    if (!use.source) return fail(Errc::denied, "certificate is bound to a source address, and there is none");
    const auto inside = address_in_cidr_list(value, *use.source);
    if (!inside || !*inside) return fail(Errc::denied, "certificate is not valid from this address");
  }
  return verify_signature();
}

Result<Bytes> build_ssh_certificate(const SshPublicKey& key, SshCertificateFields fields, const SshPublicKey& ca, const SshSigner& signer) {
  if (fields.principals.size() > k_max_entries || fields.critical_options.size() > k_max_entries || fields.extensions.size() > k_max_entries)
    return fail(Errc::invalid, "more than 256 principals or options in a certificate");
  if (fields.valid_before <= fields.valid_after) return fail(Errc::invalid, "a certificate that is never valid");
  const auto name = std::find_if(k_names.begin(), k_names.end(), [&](const CertificateName& entry) { return entry.type == key.type(); });
  SshWriter writer(1024);
  writer.string(name->name).string(random_bytes(system_random(), k_nonce_size));
  SshReader key_fields(key.blob());
  key_fields.string();
  writer.raw(key_fields.rest());
  writer.u64(fields.serial).u32(static_cast<std::uint32_t>(fields.type)).string(fields.key_id);
  SshWriter principals;
  for (const std::string& principal : fields.principals) principals.string(principal);
  writer.string(principals).u64(fields.valid_after).u64(fields.valid_before);
  write_options(writer, std::move(fields.critical_options));
  write_options(writer, std::move(fields.extensions));
  writer.string("").string(ca.blob());
  auto signature = signer(writer.view());
  if (!signature) return tl::unexpected(signature.error());
  writer.string(*signature);
  return writer.take();
}

}  // namespace sallyport::crypto
