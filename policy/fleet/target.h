// policy/fleet/target.h -- what: protected hosts, how to know them again, and the accounts that exist on them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "policy/identity/principal.h"

namespace sallyport::policy {

/// How we prove ourselves to a target, in the order given.
struct TargetCredential {
  enum class Kind : std::uint8_t { certificate, key, password };
  Kind kind = Kind::certificate;
  std::string secret;  ///< name of the vault secret, for key and password
};

struct Account {
  AccountName name;
  std::vector<TargetCredential> credentials;
  /// Principals of the certificate, as templates over {account}, {target}, {instance}.
  std::vector<std::string> certificate_principals;
  Place place;
};

struct HostKey {
  std::string blob;  ///< SSH wire encoding
  std::string algorithm;
  std::string fingerprint;
};

enum class Durability : std::uint8_t { written, synced };

struct Target {
  TargetId name;
  std::string instance;
  std::string address;  ///< host name or IP; where it is now
  std::uint16_t port = 22;
  std::map<std::string, std::string> labels;
  std::vector<HostKey> host_keys;
  std::vector<HostKey> host_cas;
  bool allow_loopback = false;    ///< allow_networks: loopback
  bool allow_link_local = false;  ///< allow_networks: link-local
  bool allow_gateway = false;     ///< allow_networks: gateway
  Durability durability = Durability::written;
  std::vector<Account> accounts;
  Place place;

  [[nodiscard]] const Account* find_account(std::string_view account) const;
  /// The certificate principals of `account` with the template filled in.
  [[nodiscard]] std::vector<std::string> certificate_principals(const Account& account) const;
  /// Names that a host certificate may carry for this target: name, address, instance.
  [[nodiscard]] std::vector<std::string> host_names() const;
};

}  // namespace sallyport::policy
