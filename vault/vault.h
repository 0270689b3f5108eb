// vault/vault.h -- the vault itself, without its sockets: what it keeps, what it signs, when it refuses.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/cms.h"
#include "platform/model/clock.h"
#include "platform/model/settings.h"
#include "vault/own_keys.h"
#include "vault/secret_store.h"
#include "vault/signing_rules.h"

namespace sallyport::vault {

struct VaultSettings {
  std::filesystem::path state_dir;  ///< of the vault alone, mode 0700: seal.header, vault.db
  SealChoice seal;
  std::vector<std::string> host_names;  ///< names by which clients know this gateway: node, host of public_address
  std::string node;            ///< origin of our checkpoints and name of their key
  bool online_replay = true;   ///< false: session keys are wrapped to the other recipients only, and nobody here can open a recording
  bool keeps_keys = false;     ///< wrapped session keys are kept here, the recording names them only: then one can be erased
  std::chrono::milliseconds checkpoint_key_every{3'600'000};
  bool legacy_clients = false; ///< have a nistp256 host key as well
};
/// Reads state_dir, seal_*, node, public_address and compat. Errc::invalid.
[[nodiscard]] Result<VaultSettings> vault_settings_of(const Settings& settings, std::string_view credentials_directory);

struct RecordingKeyMade {
  Secret key;          ///< 32 bytes
  Bytes wrapped;       ///< CMS to every recipient
  std::string recipients;
};

/// Kinds of secrets that operators keep here.
namespace kind {
constexpr std::string_view password = "password";              ///< lent for one login
constexpr std::string_view ssh_key = "ssh-key";                ///< signs, never leaves
constexpr std::string_view totp = "totp";                      ///< checked, never leaves
constexpr std::string_view recipient = "recording-recipient";  ///< an X.509 certificate (PEM): may read all recordings made from now on
}  // namespace kind

/// One thread. Everything but the seal's own functions is Errc::sealed while sealed.
class Vault {
 public:
  /// Reads the seal header and opens the database; sealed. Errc::not_found: never initialised.
  [[nodiscard]] static Result<std::unique_ptr<Vault>> open(VaultSettings settings, const Clock& clock, crypto::Random& random);
  Vault(const Vault&) = delete;

  /// Asks the seal source (`typed` for a passphrase), opens the barrier, loads our own keys. Errc::denied: a wrong master key.
  Result<void> unseal(const Secret* typed);
  void seal() noexcept;
  [[nodiscard]] bool is_sealed() const noexcept { return barrier_.is_sealed(); }
  [[nodiscard]] SealKind seal_kind() const noexcept { return barrier_.kind(); }
  /// Takes what may change while running: seal source, node, legacy clients.
  Result<void> reconfigure(VaultSettings settings);

  /// The exchange hash of an SSH key exchange, 32, 48 or 64 bytes. Errc::denied for any other size, Errc::not_found for an algorithm
  /// that we have no host key for.
  [[nodiscard]] Result<Bytes> sign_exchange_hash(std::string_view algorithm, ByteView hash) const;
  /// With settings.keeps_keys the CMS stays here and `wrapped` only says so (docs/format/journal.md section 3).
  [[nodiscard]] Result<RecordingKeyMade> make_recording_key(std::string_view session);
  [[nodiscard]] Result<RecordingKeyMade> make_recording_key() { return make_recording_key({}); }
  [[nodiscard]] Result<Secret> unwrap_recording_key(ByteView wrapped) const;
  /// Of the texts of audit events (platform/seal/sealed_text.h), wrapped to the same recipients; never kept here. It does not open as
  /// a recording's key, nor such a one as this.
  [[nodiscard]] Result<RecordingKeyMade> make_text_key();
  [[nodiscard]] Result<Secret> unwrap_text_key(ByteView wrapped) const;
  /// The CMS of that session: the one kept here (it was wrapped anew, or never stood anywhere else), else `wrapped` itself.
  /// Errc::not_found: it was erased.
  [[nodiscard]] Result<Bytes> wrapped_key_of(std::string_view session, ByteView wrapped);
  /// Wraps the session's key to the present recipients and keeps that here. Names them.
  [[nodiscard]] Result<std::string> rewrap_recording_key(std::string_view session, ByteView wrapped);
  /// Errc::conflict: the wrapped key stands in the recording itself, where nothing can be erased.
  [[nodiscard]] Result<void> may_erase_recording_key(std::string_view session, ByteView wrapped);
  [[nodiscard]] Result<void> erase_recording_key(std::string_view session);
  /// Of the search index: its words and its lines. Who can read every recording could make it, too, nobody else.
  [[nodiscard]] Result<Secret> search_key() const;
  [[nodiscard]] Result<Bytes> sign_user_certificate(const CertificateRequest& request) const;
  /// For one of our own host keys, under other names than the gateway's own (a jump's target); not kept.
  [[nodiscard]] Result<Bytes> sign_host_certificate(CertificateRequest request) const;
  /// For a person's own key of any modern kind, by the CA that only this gateway trusts.
  [[nodiscard]] Result<Bytes> sign_login_certificate(const CertificateRequest& request) const;
  struct SignedCheckpoint {
    std::string line;      ///< newline included
    std::string body;      ///< what was signed, when it names the next key; else empty
    std::string handover;  ///< the note by which the present key came, when `newest` shows that the journal lacks it
  };
  /// Signs a checkpoint of our log; remembered durably before it is signed. When the key is older than settings.checkpoint_key_every and
  /// `may_rotate`, the checkpoint also names the next key ("next-key VKEY"), and the old private half is destroyed before this returns.
  [[nodiscard]] Result<SignedCheckpoint> sign_checkpoint(std::string_view body, bool may_rotate, std::string_view newest);
  /// The signature line alone, under the present key.
  [[nodiscard]] Result<std::string> sign_checkpoint(std::string_view body);

  [[nodiscard]] const OwnKeys* own_keys() const noexcept { return own_ ? &*own_ : nullptr; }
  /// Signs and keeps a host certificate for the gateway's own names when there is none, when it lacks one of the names in the settings,
  /// or when it ends within 30 days. Does nothing while sealed or without names.
  Result<void> renew_host_certificate();

  [[nodiscard]] std::string checkpoint_vkey() const;  ///< empty while sealed
  /// Host keys to offer: the nistp256 one only when legacy clients are served.
  [[nodiscard]] std::vector<crypto::SshPublicKey> offered_host_keys() const;
  [[nodiscard]] const std::vector<Bytes>& recipients() const noexcept { return recipients_; }

  /// By this name the vault's own recording recipient is rotated (put_secret with `generate`), and its former private halves are
  /// destroyed (remove_secret).
  static constexpr std::string_view k_own_recipient = "recipients/own";

  /// Checks `value` by its kind and stores it as the next version; an empty one with `generate` is made here: a password of 32
  /// characters, an ed25519 key, a 160 bit TOTP secret. Errc::invalid, Errc::conflict (another kind).
  struct Stored {
    std::uint32_t version = 0;
    Bytes public_key;
  };
  [[nodiscard]] Result<Stored> put_secret(std::string_view name, std::string_view kind, Secret value, bool generate, const Labels& labels);
  [[nodiscard]] Result<void> remove_secret(std::string_view name, std::uint32_t version);
  [[nodiscard]] Result<std::vector<SecretInfo>> list_secrets(std::string_view prefix);
  /// Only of that kind, and never one of our own keys. Errc::denied otherwise.
  [[nodiscard]] Result<StoredSecret> read_for_use(std::string_view name, std::string_view kind);

  /// The step of a right code, which is used up by this. Nothing: a wrong or used code.
  [[nodiscard]] Result<std::optional<std::int64_t>> check_totp(std::string_view name, std::string_view code, std::int64_t not_before_step);

  [[nodiscard]] const std::filesystem::path& state_dir() const noexcept { return settings_.state_dir; }
  [[nodiscard]] SecretStore& store() noexcept { return *store_; }  ///< for leases, which hold no secret
  [[nodiscard]] std::int64_t now_seconds() const;

 private:
  friend Result<std::unique_ptr<Vault>> initialise(VaultSettings, const Secret*, const Clock&, crypto::Random&);
  Vault(VaultSettings settings, Barrier barrier, const Clock& clock, crypto::Random& random)
      : settings_(std::move(settings)), clock_(&clock), random_(&random), barrier_(std::move(barrier)) {}
  [[nodiscard]] Result<void> complete_own_keys();
  [[nodiscard]] Result<void> load_recipients();
  [[nodiscard]] Result<Stored> rotate_recipient(std::string_view name);
  [[nodiscard]] Result<Secret> generated(std::string_view kind) const;
  [[nodiscard]] Result<Secret> unwrap(ByteView wrapped) const;

  VaultSettings settings_;
  const Clock* clock_;
  crypto::Random* random_;
  Barrier barrier_;
  std::optional<SecretStore> store_;
  std::optional<OwnKeys> own_;
  std::vector<Bytes> recipients_;   ///< DER, ours first
  std::optional<crypto::Recipients> wrapping_;  ///< the same, ready to use
  std::string recipient_ids_;
};

/// Makes a new vault: seal header, database, own keys. For a passphrase source `typed` is the new passphrase; for a file source a
/// missing key file is made. Errc::conflict when there is one already. The result is unsealed.
[[nodiscard]] Result<std::unique_ptr<Vault>> initialise(VaultSettings settings, const Secret* typed, const Clock& clock, crypto::Random& random);

}  // namespace sallyport::vault
