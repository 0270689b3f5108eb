#include "vault/setup.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "platform/crypto/base64.h"
#include "platform/crypto/cms.h"

namespace sallyport::vault {
namespace {

constexpr std::string_view k_ed25519 = "ssh-ed25519 ";
constexpr std::string_view k_rsa = "ssh-rsa ";

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

PublicLines public_lines_of(const Vault& vault) {
  PublicLines lines;
  const OwnKeys* own = vault.own_keys();
  if (own == nullptr) return lines;
  for (const auto& key : vault.offered_host_keys()) lines.host_keys.push_back(key.line());
  if (const auto certificate = crypto::SshCertificate::parse_blob(own->host_certificate))
    lines.host_certificate = std::string(certificate->name()) + " " + crypto::to_base64(certificate->blob());
  lines.user_ca = own->user_ca.public_key().line();
  lines.host_ca = own->host_ca.public_key().line();
  lines.checkpoint_key = vault.checkpoint_vkey();
  lines.recipient_pem = crypto::certificate_pem(own->recipient.certificate_der);
  return lines;
}

Result<PublicLines> init(SetupRequest request, const Secret* passphrase, const Clock& clock, crypto::Random& random) {
  std::vector<std::string>& names = request.settings.host_names;
  for (std::string& name : request.host_names)
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  auto vault = initialise(std::move(request.settings), passphrase, clock, random);
  if (!vault) return tl::unexpected(vault.error());
  if (auto certified = (*vault)->renew_host_certificate(); !certified) return tl::unexpected(certified.error());
  if (auto written = write_public_files(**vault); !written) return tl::unexpected(written.error());
  return public_lines_of(**vault);
}

Result<void> write_public_files(const Vault& vault) {
  const PublicLines lines = public_lines_of(vault);
  const std::filesystem::path folder = vault.state_dir() / "public";
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return fail(Errc::unavailable, folder.string() + ": " + failed.message());
  std::vector<std::pair<std::string, std::string>> files{{"user_ca.pub", lines.user_ca},
                                                         {"host_ca.pub", lines.host_ca},
                                                         {"checkpoint.vkey", lines.checkpoint_key},
                                                         {"recipient.pem", lines.recipient_pem}};
  for (const std::string& line : lines.host_keys) {
    if (line.starts_with(k_ed25519)) files.emplace_back("host_ed25519.pub", line);
    if (line.starts_with(k_rsa)) files.emplace_back("host_rsa.pub", line);
  }
  if (!lines.host_certificate.empty()) files.emplace_back("host_ed25519-cert.pub", lines.host_certificate);
  for (const auto& [name, text] : files) {
    const std::string content = text.ends_with('\n') ? text : text + "\n";
    if (content_of(folder / name) == content) continue;
    if (auto written = write_file_durably(folder / name, content); !written) return written;
  }
  return {};
}

}  // namespace sallyport::vault
