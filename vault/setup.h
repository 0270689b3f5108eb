// vault/setup.h -- making a vault, and showing its public half as files.
#pragma once

#include <string>
#include <vector>

#include "vault/vault.h"

namespace sallyport::vault {

struct SetupRequest {
  VaultSettings settings;
  std::vector<std::string> host_names;  ///< besides those in the settings; they go into the host certificate
};

/// What operators hand out; lines without a newline at their end.
struct PublicLines {
  std::vector<std::string> host_keys;  ///< "ssh-ed25519 AAAA..."
  std::string host_certificate;        ///< "ssh-ed25519-cert-v01@openssh.com AAAA..."; empty without host names
  std::string user_ca;                 ///< for TrustedUserCAKeys of targets
  std::string host_ca;                 ///< for @cert-authority in known_hosts
  std::string checkpoint_key;          ///< C2SP vkey, for offline verification
  std::string recipient_pem;           ///< who recordings are encrypted to
};
[[nodiscard]] PublicLines public_lines_of(const Vault& vault);

/// Used by `sallyport init` and `sallyport demo`: makes the vault (see initialise()), signs a host certificate for the names, and writes
/// the public files. `passphrase` is for a passphrase source alone. Errc::conflict when there is a vault already.
[[nodiscard]] Result<PublicLines> init(SetupRequest request, const Secret* passphrase = nullptr, const Clock& clock = system_clock(),
                                       crypto::Random& random = crypto::system_random());

/// STATE_DIR/public: host_ed25519.pub, host_rsa.pub, host_ed25519-cert.pub, user_ca.pub, host_ca.pub, checkpoint.vkey, recipient.pem.
[[nodiscard]] Result<void> write_public_files(const Vault& vault);

}  // namespace sallyport::vault
