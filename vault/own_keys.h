// vault/own_keys.h -- the gateway's own keys, parsed once and held while the vault is unsealed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/cms.h"
#include "platform/crypto/ed25519.h"
#include "platform/crypto/ssh_private_key.h"
#include "vault/secret_store.h"

namespace sallyport::vault {

constexpr std::string_view k_own_prefix = "sallyport/";
constexpr std::string_view k_own_kind = "own";

/// Stored as secrets named "sallyport/...", of the kind "own", which no request can read, lend, replace or delete.
struct OwnKeys {
  std::vector<crypto::SshPrivateKey> host_keys;  ///< ed25519, rsa, and ecdsa when legacy clients are served
  crypto::SshPrivateKey user_ca;
  crypto::SshPrivateKey host_ca;
  crypto::SshPrivateKey login_ca;                  ///< certifies people to the gateway itself; no target trusts it
  crypto::Ed25519PrivateKey checkpoint;            ///< the present one; those before were destroyed when they handed over
  crypto::Ed25519PublicKey checkpoint_root{};      ///< the first one: what verifiers hold
  std::string handover;                            ///< the signed note in which the key before named this one; empty for the first
  std::int64_t checkpoint_since_us = 0;            ///< when the present one was made
  crypto::RecipientPair recipient;
  Bytes host_certificate;  ///< newest; empty before the first was signed
  std::uint32_t recipient_version = 1;
  std::vector<crypto::RecipientPair> former_recipients{};  ///< the newest first: they open what was not wrapped anew yet
  std::optional<Secret> search_root{};                     ///< once the recipient was rotated; before, the search key comes of its private key

  /// Makes what a new vault needs and stores it.
  [[nodiscard]] static Result<OwnKeys> create(SecretStore& store, std::string_view node, WallTime now);
  /// Errc::corrupt when one is missing: the database belongs to another vault.
  [[nodiscard]] static Result<OwnKeys> load(SecretStore& store);
  /// A vault that was made before there was one gets its login CA now.
  [[nodiscard]] static Result<void> add_login_ca(SecretStore& store, WallTime now);
  /// Adds the nistp256 host key if there is none yet.
  [[nodiscard]] Result<void> serve_legacy_clients(SecretStore& store, WallTime now);
  /// `next` takes the place of the checkpoint key, whose last act was to sign `note`. The old private half is destroyed.
  [[nodiscard]] Result<void> hand_over(SecretStore& store, crypto::Ed25519PrivateKey next, std::string note, WallTime now);
  /// Recordings are wrapped to a new pair from now on; the one before still opens what was wrapped to it.
  [[nodiscard]] Result<void> rotate_recipient(SecretStore& store, std::string_view node, WallTime now);
  /// The private halves of all recipients before the present one. What is still wrapped to them only, nobody here opens any more.
  [[nodiscard]] Result<void> destroy_former_recipients(SecretStore& store);
  /// Of the search index; it stays when the recipient is rotated.
  [[nodiscard]] Secret search_key() const;
  [[nodiscard]] Result<void> keep_host_certificate(SecretStore& store, Bytes certificate, WallTime now);

  /// The host key that signs with this algorithm; nullptr when there is none.
  [[nodiscard]] const crypto::SshPrivateKey* host_key_for(std::string_view algorithm) const;
};

}  // namespace sallyport::vault
