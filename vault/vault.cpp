#include "vault/vault.h"

#include <algorithm>
#include <array>

#include "platform/crypto/hkdf.h"
#include "platform/crypto/cms.h"
#include "platform/seal/sealed_text.h"
#include "vault/totp.h"

namespace sallyport::vault {
namespace {

constexpr std::size_t k_most_secret = 64 * 1024;
constexpr std::size_t k_most_password = 4096;
constexpr std::size_t k_most_labels = 32;
constexpr std::string_view k_header = "seal.header";
constexpr std::string_view k_database = "vault.db";

tl::unexpected<Error> sealed() { return fail(Errc::sealed, "the vault is sealed"); }

/// The node's name, and the host of public_address unless it is a wildcard.
std::vector<std::string> host_names_of(const std::string& node, const std::string& public_address) {
  std::vector<std::string> names{node};
  std::string host = public_address.substr(0, public_address.rfind(':'));
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  if (!host.empty() && host != "::" && host != "0.0.0.0" && host != "*" && host != node) names.push_back(host);
  return names;
}

bool is_label(const std::string& text) {
  return !text.empty() && text.size() <= 256 && std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c != 0x7f; });
}

/// What is stored must be usable later; gives the public half where there is one.
Result<Bytes> check_value(std::string_view kind, const Secret& value) {
  if (value.empty()) return fail(Errc::invalid, "a secret cannot be empty");
  if (value.size() > k_most_secret) return fail(Errc::invalid, "a secret has at most 64 KiB");
  if (kind == kind::password) {
    const bool has_nul = value.reveal_text().find('\0') != std::string_view::npos;
    if (value.size() > k_most_password || has_nul) return fail(Errc::invalid, "a password has at most 4096 bytes and no NUL");
    return Bytes();
  }
  if (kind == kind::ssh_key) {
    const auto key = crypto::SshPrivateKey::parse(value.reveal());
    if (!key) return tl::unexpected(key.error());
    return key->public_key().blob();
  }
  if (kind == kind::totp) {
    if (auto totp = Totp::parse(value); !totp) return tl::unexpected(totp.error());
    return Bytes();
  }
  if (kind == kind::recipient) {
    const auto certificate = crypto::certificate_der_of(value.reveal_text());
    if (!certificate) return fail(Errc::invalid, "a recording recipient is an X.509 certificate in PEM");
    const std::array<std::byte, 32> probe{};
    if (auto wrapped = crypto::wrap_to_recipients(probe, std::span(&*certificate, 1)); !wrapped)
      return fail(Errc::invalid, "nothing can be encrypted to this certificate");
    return *certificate;
  }
  return fail(Errc::invalid, "unknown kind of secret (password, ssh-key, totp, recording-recipient)");
}

}  // namespace

Result<VaultSettings> vault_settings_of(const Settings& settings, std::string_view credentials_directory) {
  auto seal = seal_choice_of(settings, credentials_directory);
  if (!seal) return tl::unexpected(seal.error());
  VaultSettings own;
  own.state_dir = settings.text("state_dir");
  if (own.state_dir.empty()) return fail(Errc::invalid, "state_dir is missing");
  own.seal = std::move(*seal);
  own.node = settings.text("node", "sallyport");
  own.host_names = host_names_of(own.node, settings.text("public_address"));
  own.online_replay = settings.flag("online_replay", true);
  own.keeps_keys = settings.text("recording_keys") == "vault";
  own.checkpoint_key_every = settings.duration("checkpoint_key_every_ms", own.checkpoint_key_every);
  own.legacy_clients = settings.text("compat") == "legacy-clients";
  return own;
}

Result<std::unique_ptr<Vault>> Vault::open(VaultSettings settings, const Clock& clock, crypto::Random& random) {
  auto barrier = Barrier::open(settings.state_dir / k_header, random);
  if (!barrier) return tl::unexpected(barrier.error());
  std::unique_ptr<Vault> vault(new Vault(std::move(settings), std::move(*barrier), clock, random));
  auto store = SecretStore::open((vault->settings_.state_dir / k_database).string(), vault->barrier_);
  if (!store) return tl::unexpected(store.error());
  vault->store_.emplace(std::move(*store));
  return vault;
}

Result<std::unique_ptr<Vault>> initialise(VaultSettings settings, const Secret* typed, const Clock& clock, crypto::Random& random) {
  std::error_code ignored;
  const std::filesystem::path header = settings.state_dir / k_header;
  if (std::filesystem::exists(header, ignored)) return fail(Errc::conflict, "there is a vault already: " + header.string());
  std::filesystem::create_directories(settings.state_dir, ignored);
  std::filesystem::permissions(settings.state_dir, std::filesystem::perms::owner_all, ignored);
  // Without a header nothing in a database can ever be opened: it is left over from an attempt that was cut off.
  for (const char* rest : {"", "-wal", "-shm"}) std::filesystem::remove(settings.state_dir / (std::string(k_database) + rest), ignored);

  if (settings.seal.kind == SealKind::file && !std::filesystem::exists(settings.seal.key_file, ignored))
    if (auto made = make_seal_file(settings.seal.key_file, random); !made) return tl::unexpected(made.error());
  const auto material = make_seal_source(settings.seal)->key_material(typed);
  if (!material) return tl::unexpected(material.error());

  // The header takes its place last: a vault with a header is complete.
  const std::filesystem::path unfinished = settings.state_dir / "seal.header.unfinished";
  std::filesystem::remove(unfinished, ignored);
  auto barrier = Barrier::create(unfinished, settings.seal.kind, *material, random);
  if (!barrier) return tl::unexpected(barrier.error());
  std::unique_ptr<Vault> vault(new Vault(std::move(settings), std::move(*barrier), clock, random));
  auto store = SecretStore::open((vault->settings_.state_dir / k_database).string(), vault->barrier_);
  if (!store) return tl::unexpected(store.error());
  vault->store_.emplace(std::move(*store));
  auto own = OwnKeys::create(*vault->store_, vault->settings_.node, clock.wall());
  if (!own) return tl::unexpected(own.error());
  vault->own_.emplace(std::move(*own));
  if (vault->settings_.legacy_clients)
    if (auto added = vault->own_->serve_legacy_clients(*vault->store_, clock.wall()); !added) return tl::unexpected(added.error());
  if (auto loaded = vault->load_recipients(); !loaded) return tl::unexpected(loaded.error());
  std::error_code failed;
  std::filesystem::rename(unfinished, header, failed);
  if (failed) return fail(Errc::unavailable, "writing " + header.string() + ": " + failed.message());
  return vault;
}

Result<void> Vault::unseal(const Secret* typed) {
  SealChoice choice = settings_.seal;
  choice.kind = barrier_.kind();  // what the vault was sealed with, whatever the configuration says today
  const auto material = make_seal_source(std::move(choice))->key_material(typed);
  if (!material) return tl::unexpected(material.error());
  if (auto opened = barrier_.unseal(*material); !opened) return opened;
  if (auto added = OwnKeys::add_login_ca(*store_, clock_->wall()); !added) return added;
  auto own = OwnKeys::load(*store_);
  if (!own) {
    seal();
    return tl::unexpected(own.error());
  }
  own_.emplace(std::move(*own));
  if (auto completed = complete_own_keys(); !completed) {
    seal();
    return completed;
  }
  return {};
}

/// What may be missing after the settings changed or time went by.
Result<void> Vault::complete_own_keys() {
  if (settings_.legacy_clients)
    if (auto added = own_->serve_legacy_clients(*store_, clock_->wall()); !added) return added;
  if (auto loaded = load_recipients(); !loaded) return loaded;
  return renew_host_certificate();
}

void Vault::seal() noexcept {
  own_.reset();
  recipients_.clear();
  wrapping_.reset();
  recipient_ids_.clear();
  barrier_.seal();
}

Result<void> Vault::reconfigure(VaultSettings settings) {
  settings_ = std::move(settings);
  return own_ ? complete_own_keys() : Result<void>();
}

Result<void> Vault::load_recipients() {
  recipients_ = {own_->recipient.certificate_der};
  auto all = store_->list("");
  if (!all) return tl::unexpected(all.error());
  for (const SecretInfo& info : *all) {
    if (info.kind != kind::recipient) continue;
    const auto stored = store_->read(info.name);  // the sealed text, not the public column: that one anybody can write
    if (!stored) return tl::unexpected(stored.error());
    auto certificate = crypto::certificate_der_of(stored->value.reveal_text());
    if (!certificate) return tl::unexpected(certificate.error());
    recipients_.push_back(std::move(*certificate));
  }
  if (!settings_.online_replay) recipients_.erase(recipients_.begin());
  wrapping_.reset();
  if (!recipients_.empty()) {
    auto wrapping = crypto::Recipients::parse(recipients_);
    if (!wrapping) return tl::unexpected(wrapping.error());
    wrapping_ = std::move(*wrapping);
  }
  recipient_ids_.clear();
  for (const Bytes& certificate : recipients_) recipient_ids_ += (recipient_ids_.empty() ? "" : ",") + crypto::recipient_id(certificate);
  return {};
}

Result<Bytes> Vault::sign_exchange_hash(std::string_view algorithm, ByteView hash) const {
  if (!own_) return sealed();
  if (!is_exchange_hash_size(hash.size())) return fail(Errc::denied, "only an exchange hash of 32, 48 or 64 bytes is signed with a host key");
  const crypto::SshPrivateKey* key = own_->host_key_for(algorithm);
  if (key == nullptr) return fail(Errc::not_found, "no host key for this algorithm");
  return key->sign(hash, algorithm);
}

namespace {

constexpr std::string_view k_kept_here = "sallyport key in vault 1\n";

/// What stands in a recording whose key is kept here: the words above, then the session's label.
Bytes reference_to(std::string_view session) {
  const std::string text = std::string(k_kept_here) + std::string(session);
  return copy_of(bytes_of(text));
}

bool is_reference(ByteView wrapped) { return text_of(wrapped).starts_with(k_kept_here); }

}  // namespace

Result<Bytes> Vault::wrapped_key_of(std::string_view session, ByteView wrapped) {
  if (!own_) return sealed();
  if (is_reference(wrapped) && text_of(wrapped).substr(k_kept_here.size()) != session) return fail(Errc::invalid, "the recording's key belongs to another session");
  const auto kept = store_->recording_key(session);
  if (!kept) return tl::unexpected(kept.error());
  if (*kept && (*kept)->wrapped.empty()) return fail(Errc::not_found, "SP-4301");
  if (*kept) return (*kept)->wrapped;
  if (is_reference(wrapped)) return fail(Errc::not_found, "the key of this recording is not in the vault: it was made by another one, or by a later state of this one");
  return copy_of(wrapped);
}

Result<std::string> Vault::rewrap_recording_key(std::string_view session, ByteView wrapped) {
  if (!wrapping_) return sealed();
  const auto cms = wrapped_key_of(session, wrapped);
  if (!cms) return tl::unexpected(cms.error());
  const auto key = unwrap_recording_key(*cms);
  if (!key) return tl::unexpected(key.error());
  const auto anew = wrapping_->wrap(key->reveal());
  if (!anew) return tl::unexpected(anew.error());
  if (auto kept = store_->put_recording_key(session, *anew, clock_->wall()); !kept) return tl::unexpected(kept.error());
  return recipient_ids_;
}

Result<void> Vault::may_erase_recording_key(std::string_view session, ByteView wrapped) {
  if (!is_reference(wrapped)) return fail(Errc::conflict, "SP-4302");
  if (const auto there = wrapped_key_of(session, wrapped); !there) return tl::unexpected(there.error());
  return {};
}

Result<void> Vault::erase_recording_key(std::string_view session) {
  if (!own_) return sealed();
  return store_->erase_recording_key(session, clock_->wall());
}

Result<RecordingKeyMade> Vault::make_recording_key(std::string_view session) {
  if (!own_ || !wrapping_) return sealed();
  RecordingKeyMade made{crypto::random_secret(*random_, 32), {}, recipient_ids_};
  auto wrapped = wrapping_->wrap(made.key.reveal());
  if (!wrapped) return tl::unexpected(wrapped.error());
  made.wrapped = std::move(*wrapped);
  if (settings_.keeps_keys && !session.empty()) {
    if (auto kept = store_->put_recording_key(session, made.wrapped, clock_->wall()); !kept) return tl::unexpected(kept.error());
    made.wrapped = reference_to(session);
  }
  return made;
}

Result<RecordingKeyMade> Vault::make_text_key() {
  if (!own_ || !wrapping_) return sealed();
  RecordingKeyMade made{crypto::random_secret(*random_, 32), {}, recipient_ids_};
  auto wrapped = wrapping_->wrap(seal::text_key_content(made.key).reveal());
  if (!wrapped) return tl::unexpected(wrapped.error());
  made.wrapped = std::move(*wrapped);
  return made;
}

Result<Secret> Vault::unwrap_text_key(ByteView wrapped) const {
  const auto content = unwrap(wrapped);
  if (!content) return tl::unexpected(content.error());
  auto key = seal::text_key_in(*content);
  if (!key) return fail(Errc::corrupt, "not a key of event texts");
  return std::move(*key);
}

Result<Secret> Vault::unwrap_recording_key(ByteView wrapped) const {
  auto key = unwrap(wrapped);
  if (key && key->size() != 32) return fail(Errc::corrupt, "not a recording key");
  return key;
}

Result<Secret> Vault::unwrap(ByteView wrapped) const {
  if (!own_) return sealed();
  if (wrapped.size() > k_most_secret) return fail(Errc::invalid, "a wrapped key has at most 64 KiB");
  auto key = crypto::unwrap_with(wrapped, own_->recipient.private_key_pem, own_->recipient.certificate_der);
  for (const auto& former : own_->former_recipients) {
    if (key || key.error().code != Errc::denied) break;
    key = crypto::unwrap_with(wrapped, former.private_key_pem, former.certificate_der);
  }
  return key;
}

Result<Secret> Vault::search_key() const {
  if (!own_) return sealed();
  return own_->search_key();
}

Result<Bytes> Vault::sign_user_certificate(const CertificateRequest& request) const {
  if (!own_) return sealed();
  const auto key = crypto::SshPublicKey::parse_blob(request.public_key);
  if (!key) return tl::unexpected(key.error());
  if (key->type() != crypto::SshKeyType::ed25519) return fail(Errc::denied, "only a session's own ed25519 key is certified");
  auto fields = user_certificate_fields(request, now_seconds());
  if (!fields) return tl::unexpected(fields.error());
  const crypto::SshPrivateKey& ca = own_->user_ca;
  return crypto::build_ssh_certificate(*key, std::move(*fields), ca.public_key(), [&ca](ByteView data) { return ca.sign(data); });
}

Result<Bytes> Vault::sign_login_certificate(const CertificateRequest& request) const {
  if (!own_) return sealed();
  const auto key = crypto::SshPublicKey::parse_blob(request.public_key);
  if (!key) return tl::unexpected(key.error());
  auto fields = login_certificate_fields(request, now_seconds());
  if (!fields) return tl::unexpected(fields.error());
  const crypto::SshPrivateKey& ca = own_->login_ca;
  return crypto::build_ssh_certificate(*key, std::move(*fields), ca.public_key(), [&ca](ByteView data) { return ca.sign(data); });
}

Result<Bytes> Vault::sign_host_certificate(CertificateRequest request) const {
  if (!own_) return sealed();
  const auto key = crypto::SshPublicKey::parse_blob(request.public_key);
  if (!key) return tl::unexpected(key.error());
  const bool ours = std::any_of(own_->host_keys.begin(), own_->host_keys.end(), [&](const auto& own) { return own.public_key() == *key; });
  if (!ours) return fail(Errc::denied, "only our own host keys are certified");
  request.session = settings_.node;
  auto fields = host_certificate_fields(request, now_seconds());
  if (!fields) return tl::unexpected(fields.error());
  const crypto::SshPrivateKey& ca = own_->host_ca;
  return crypto::build_ssh_certificate(*key, std::move(*fields), ca.public_key(), [&ca](ByteView data) { return ca.sign(data); });
}

Result<std::string> Vault::sign_checkpoint(std::string_view body) {
  auto made = sign_checkpoint(body, false, {});
  if (!made) return tl::unexpected(made.error());
  return std::move(made->line);
}

Result<Vault::SignedCheckpoint> Vault::sign_checkpoint(std::string_view body, bool may_rotate, std::string_view newest) {
  if (!own_) return sealed();
  const auto seen = store_->newest_checkpoint(settings_.node);
  if (!seen) return tl::unexpected(seen.error());
  const auto checkpoint = check_checkpoint(body, settings_.node, *seen);
  if (!checkpoint) return tl::unexpected(checkpoint.error());
  if (auto noted = store_->note_checkpoint(settings_.node, {checkpoint->size, checkpoint->root}); !noted) return tl::unexpected(noted.error());
  SignedCheckpoint made;
  // The journal has the handover when its newest checkpoint is that, or is signed by the key that came by it.
  const auto journalled = crypto::parse_note(newest);
  const auto present = crypto::make_note_key(settings_.node, own_->checkpoint.public_key());
  const bool is_known = journalled && std::any_of(journalled->signatures.begin(), journalled->signatures.end(), [&](const auto& by) { return by.id == present.id; });
  const auto handover = crypto::parse_note(own_->handover);
  if (handover && !newest.empty() && !is_known && journalled && journalled->body != handover->body) made.handover = own_->handover;
  const auto age = std::chrono::microseconds(clock_->wall().time_since_epoch().count() - own_->checkpoint_since_us);
  if (!may_rotate || !made.handover.empty() || age < settings_.checkpoint_key_every) {
    made.line = crypto::sign_note_line(body, settings_.node, own_->checkpoint);
    return made;
  }
  auto next = crypto::Ed25519PrivateKey::generate(*random_);
  made.body = std::string(body) + "next-key " + crypto::vkey_of(crypto::make_note_key(settings_.node, next.public_key())) + "\n";
  made.line = crypto::sign_note_line(made.body, settings_.node, own_->checkpoint);
  if (auto done = own_->hand_over(*store_, std::move(next), crypto::join_note(made.body, made.line), clock_->wall()); !done) return tl::unexpected(done.error());
  return made;
}

Result<void> Vault::renew_host_certificate() {
  constexpr std::uint64_t k_renew_before = 30 * 24 * 3600;
  if (!own_) return {};
  CertificateRequest request;
  request.principals = settings_.host_names;
  if (const auto current = crypto::SshCertificate::parse_blob(own_->host_certificate)) {
    const std::vector<std::string>& names = current->fields().principals;
    const bool complete = std::all_of(request.principals.begin(), request.principals.end(),
                                      [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); });
    if (complete) {
      if (current->fields().valid_before > static_cast<std::uint64_t>(now_seconds()) + k_renew_before) return {};
      request.principals = names;
    }
  }
  if (request.principals.empty()) return {};
  request.public_key = own_->host_keys.front().public_key().blob();
  request.valid_after = now_seconds();
  request.valid_before = now_seconds() + k_longest_host_certificate.count();
  auto certificate = sign_host_certificate(std::move(request));
  if (!certificate) return tl::unexpected(certificate.error());
  return own_->keep_host_certificate(*store_, std::move(*certificate), clock_->wall());
}

std::vector<crypto::SshPublicKey> Vault::offered_host_keys() const {
  std::vector<crypto::SshPublicKey> keys;
  if (!own_) return keys;
  for (const auto& key : own_->host_keys)
    if (settings_.legacy_clients || key.public_key().type() != crypto::SshKeyType::ecdsa_p256) keys.push_back(key.public_key());
  return keys;
}

std::string Vault::checkpoint_vkey() const {
  return own_ ? crypto::vkey_of(crypto::make_note_key(settings_.node, own_->checkpoint_root)) : std::string();
}

Result<Secret> Vault::generated(std::string_view kind) const {
  constexpr std::string_view k_letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789-_.+=:@";
  constexpr std::string_view k_base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  static_assert(k_letters.size() == 64 && k_base32.size() == 32);
  if (kind == kind::ssh_key) {
    const auto key = crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519);
    if (!key) return tl::unexpected(key.error());
    return key->openssh_text();
  }
  if (kind != kind::password && kind != kind::totp) return fail(Errc::invalid, "this kind of secret cannot be generated");
  const std::string_view alphabet = kind == kind::password ? k_letters : k_base32;
  const Secret random = crypto::random_secret(*random_, 32);
  std::array<char, 32> text{};
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = alphabet[std::to_integer<std::size_t>(random.reveal()[i]) % alphabet.size()];
  Secret secret{std::string_view(text.data(), text.size())};
  OPENSSL_cleanse(text.data(), text.size());
  return secret;
}

Result<Vault::Stored> Vault::put_secret(std::string_view name, std::string_view kind, Secret value, bool generate, const Labels& labels) {
  if (!own_) return sealed();
  if (!is_secret_name(name)) return fail(Errc::invalid, "a secret's name is made of a-z 0-9 _ . - in parts joined by /, at most 128 characters");
  if (labels.size() > k_most_labels) return fail(Errc::invalid, "a secret has at most 32 labels");
  for (const auto& [key, text] : labels)
    if (!is_label(key) || !is_label(text)) return fail(Errc::invalid, "labels are 1 to 256 printable characters");
  if (generate) {
    if (!value.empty()) return fail(Errc::invalid, "either a value or generate, not both");
    if (kind == kind::recipient) return rotate_recipient(name);
    auto made = generated(kind);
    if (!made) return tl::unexpected(made.error());
    value = std::move(*made);
  }
  auto public_key = check_value(kind, value);
  if (!public_key) return tl::unexpected(public_key.error());
  const auto version = store_->put(name, kind, value, labels, *public_key, clock_->wall());
  if (!version) return tl::unexpected(version.error());
  if (kind == kind::recipient)
    if (auto loaded = load_recipients(); !loaded) return tl::unexpected(loaded.error());
  return Stored{*version, std::move(*public_key)};
}

/// Nobody sees the private half: the vault makes it, and it stays here.
Result<Vault::Stored> Vault::rotate_recipient(std::string_view name) {
  if (name != k_own_recipient)
    return fail(Errc::invalid, "only the vault's own recording recipient is made here: `secret put " + std::string(k_own_recipient) + " --kind recording-recipient --generate`; of others, give the certificate");
  if (store_->describe(name)) return fail(Errc::conflict, std::string(name) + " is the certificate of somebody else; store that under another name first");
  if (auto rotated = own_->rotate_recipient(*store_, settings_.node, clock_->wall()); !rotated) return tl::unexpected(rotated.error());
  if (auto loaded = load_recipients(); !loaded) return tl::unexpected(loaded.error());
  return Stored{own_->recipient_version, {}};
}

Result<void> Vault::remove_secret(std::string_view name, std::uint32_t version) {
  if (!own_) return sealed();
  if (!is_secret_name(name)) return fail(Errc::denied, "this secret cannot be removed");
  if (name == k_own_recipient && version == 0 && !store_->describe(name)) return own_->destroy_former_recipients(*store_);
  if (auto removed = store_->remove(name, version); !removed) return removed;
  return load_recipients();
}

Result<std::vector<SecretInfo>> Vault::list_secrets(std::string_view prefix) {
  if (!own_) return sealed();
  auto all = store_->list(prefix);
  if (all) std::erase_if(*all, [](const SecretInfo& info) { return info.kind == k_own_kind; });
  return all;
}

Result<StoredSecret> Vault::read_for_use(std::string_view name, std::string_view kind) {
  if (!own_) return sealed();
  if (!is_secret_name(name)) return fail(Errc::denied, "this secret is not lent");
  auto stored = store_->read(name);
  if (stored && stored->kind != kind) return fail(Errc::denied, std::string(name) + " is not a secret of the kind " + std::string(kind));
  return stored;
}

Result<std::optional<std::int64_t>> Vault::check_totp(std::string_view name, std::string_view code, std::int64_t not_before_step) {
  const auto stored = read_for_use(name, kind::totp);
  if (!stored) return tl::unexpected(stored.error());
  const auto totp = Totp::parse(stored->value);
  if (!totp) return tl::unexpected(totp.error());
  const auto last = store_->last_totp_step(name);
  if (!last) return tl::unexpected(last.error());
  const auto step = totp->matching_step(code, now_seconds(), std::max(*last, not_before_step - 1));
  if (!step) return std::optional<std::int64_t>();
  const auto used = store_->use_totp_step(name, *step);
  if (!used) return tl::unexpected(used.error());
  return *used ? std::optional(*step) : std::nullopt;
}

std::int64_t Vault::now_seconds() const { return std::chrono::duration_cast<std::chrono::seconds>(clock_->wall().time_since_epoch()).count(); }

}  // namespace sallyport::vault
