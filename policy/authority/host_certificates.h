// policy/authority/host_certificates.h -- our host keys under the name of a target, for inner sessions of a jump.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "policy/authority/vault_client.h"

namespace sallyport::authority {

/// The client of `ssh -J gateway recs-1` expects a host key for recs-1. Our host CA certifies our own host keys for that
/// name, so that one `@cert-authority` line serves. Certificates are kept for an hour and used by all sessions.
class HostCertificates {
 public:
  HostCertificates(VaultClient& vault, const Clock& clock) : vault_(vault), clock_(clock) {}

  using Use = std::function<void(std::vector<std::string>)>;
  /// Gives certificates that name all of `names`; none when the vault cannot sign (the client then sees a plain host key).
  void with(std::vector<std::string> names, Use use);
  void forget() { kept_.clear(); }

 private:
  struct Kept {
    std::vector<std::string> certificates;
    BootTime until{};
  };
  void sign(const control::PublicKeySet& keys, std::vector<std::string> names, Use use);

  VaultClient& vault_;
  const Clock& clock_;
  std::map<std::vector<std::string>, Kept> kept_;
};

}  // namespace sallyport::authority
