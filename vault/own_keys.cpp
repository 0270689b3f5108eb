#include "vault/own_keys.h"

#include <algorithm>

#include "platform/crypto/base64.h"
#include "platform/crypto/hkdf.h"

namespace sallyport::vault {
namespace {

constexpr std::string_view k_host_ed25519 = "sallyport/host-key/ed25519";
constexpr std::string_view k_host_rsa = "sallyport/host-key/rsa";
constexpr std::string_view k_host_ecdsa = "sallyport/host-key/ecdsa";
constexpr std::string_view k_user_ca = "sallyport/ca/user";
constexpr std::string_view k_host_ca = "sallyport/ca/host";
constexpr std::string_view k_login_ca = "sallyport/ca/login";
constexpr std::string_view k_checkpoint = "sallyport/checkpoint";
constexpr std::string_view k_checkpoint_root = "sallyport/checkpoint/root";
constexpr std::string_view k_handover = "sallyport/checkpoint/handover";
constexpr std::string_view k_recipient = "sallyport/recording/recipient";
constexpr std::string_view k_search_root = "sallyport/search/root";
constexpr std::string_view k_host_certificate = "sallyport/host-certificate";
constexpr unsigned k_rsa_bits = 3072;
constexpr std::string_view k_certificate_begin = "-----BEGIN CERTIFICATE-----";

Result<crypto::SshPrivateKey> make_ssh_key(SecretStore& store, std::string_view name, crypto::SshKeyType type, WallTime now) {
  auto key = crypto::SshPrivateKey::generate(type, k_rsa_bits);
  if (!key) return key;
  const auto text = key->openssh_text(name);
  if (!text) return tl::unexpected(text.error());
  if (auto stored = store.put(name, k_own_kind, *text, {}, key->public_key().blob(), now); !stored) return tl::unexpected(stored.error());
  return key;
}

Result<crypto::SshPrivateKey> load_ssh_key(SecretStore& store, std::string_view name) {
  const auto stored = store.read(name);
  if (!stored) return tl::unexpected(stored.error());
  return crypto::SshPrivateKey::parse(stored->value.reveal());
}

/// How a handover note names the next key; without the log's name, which the vault may not know yet.
std::string to_next_key_line(const crypto::Ed25519PublicKey& key) {
  Bytes typed{std::byte{1}};
  typed.insert(typed.end(), key.begin(), key.end());
  return "+" + crypto::to_base64(typed) + "\n";
}

/// The key and its certificate in one value, so that nobody who can write the database can slip in another recipient.
Secret recipient_text(const crypto::RecipientPair& pair) {
  const std::string certificate = crypto::certificate_pem(pair.certificate_der);
  std::vector<std::byte> both;
  both.reserve(pair.private_key_pem.size() + certificate.size());
  both.insert(both.end(), pair.private_key_pem.reveal().begin(), pair.private_key_pem.reveal().end());
  const ByteView tail = bytes_of(certificate);
  both.insert(both.end(), tail.begin(), tail.end());
  Secret secret{ByteView(both)};
  OPENSSL_cleanse(both.data(), both.size());
  return secret;
}

Result<crypto::RecipientPair> recipient_in(const Secret& value) {
  const std::string_view text = value.reveal_text();
  const std::size_t split = text.find(k_certificate_begin);
  if (split == std::string_view::npos) return fail(Errc::corrupt, "the recording recipient is broken");
  auto certificate = crypto::certificate_der_of(text.substr(split));
  if (!certificate) return tl::unexpected(certificate.error());
  return crypto::RecipientPair{Secret(text.substr(0, split)), std::move(*certificate)};
}

Result<crypto::RecipientPair> make_recording_recipient(std::string_view node, WallTime now) { return crypto::make_recipient("sallyport recordings of " + std::string(node), now); }

}  // namespace

Result<OwnKeys> OwnKeys::create(SecretStore& store, std::string_view node, WallTime now) {
  auto ed25519 = make_ssh_key(store, k_host_ed25519, crypto::SshKeyType::ed25519, now);
  if (!ed25519) return tl::unexpected(ed25519.error());
  auto rsa = make_ssh_key(store, k_host_rsa, crypto::SshKeyType::rsa, now);
  if (!rsa) return tl::unexpected(rsa.error());
  auto user_ca = make_ssh_key(store, k_user_ca, crypto::SshKeyType::ed25519, now);
  if (!user_ca) return tl::unexpected(user_ca.error());
  auto host_ca = make_ssh_key(store, k_host_ca, crypto::SshKeyType::ed25519, now);
  if (!host_ca) return tl::unexpected(host_ca.error());
  auto login_ca = make_ssh_key(store, k_login_ca, crypto::SshKeyType::ed25519, now);
  if (!login_ca) return tl::unexpected(login_ca.error());
  auto checkpoint = crypto::Ed25519PrivateKey::generate(crypto::system_random());
  if (auto stored = store.put(k_checkpoint, k_own_kind, checkpoint.seed(), {}, checkpoint.public_key(), now); !stored) return tl::unexpected(stored.error());
  if (auto stored = store.put(k_checkpoint_root, k_own_kind, Secret(ByteView(checkpoint.public_key())), {}, {}, now); !stored) return tl::unexpected(stored.error());
  auto recipient = make_recording_recipient(node, now);
  if (!recipient) return tl::unexpected(recipient.error());
  if (auto stored = store.put(k_recipient, k_own_kind, recipient_text(*recipient), {}, recipient->certificate_der, now); !stored)
    return tl::unexpected(stored.error());
  const crypto::Ed25519PublicKey root = checkpoint.public_key();
  OwnKeys keys{{}, std::move(*user_ca), std::move(*host_ca), std::move(*login_ca), std::move(checkpoint), root, {}, now.time_since_epoch().count(), std::move(*recipient), {}};
  keys.host_keys.push_back(std::move(*ed25519));
  keys.host_keys.push_back(std::move(*rsa));
  return keys;
}

Result<OwnKeys> OwnKeys::load(SecretStore& store) {
  const auto missing = [](const Error& error) {
    return fail(error.code == Errc::not_found ? Errc::corrupt : error.code, "the vault's own keys: " + error.detail);
  };
  auto ed25519 = load_ssh_key(store, k_host_ed25519);
  if (!ed25519) return missing(ed25519.error());
  auto rsa = load_ssh_key(store, k_host_rsa);
  if (!rsa) return missing(rsa.error());
  auto user_ca = load_ssh_key(store, k_user_ca);
  if (!user_ca) return missing(user_ca.error());
  auto host_ca = load_ssh_key(store, k_host_ca);
  if (!host_ca) return missing(host_ca.error());
  auto login_ca = load_ssh_key(store, k_login_ca);
  if (!login_ca) return missing(login_ca.error());
  const auto seed = store.read(k_checkpoint);
  if (!seed) return missing(seed.error());
  auto checkpoint = crypto::Ed25519PrivateKey::from_seed(seed->value.reveal());
  if (!checkpoint) return missing(checkpoint.error());
  const auto both = store.read(k_recipient);
  if (!both) return missing(both.error());
  auto recipient = recipient_in(both->value);
  if (!recipient) return missing(recipient.error());
  const crypto::Ed25519PublicKey present = checkpoint->public_key();
  OwnKeys keys{{}, std::move(*user_ca), std::move(*host_ca), std::move(*login_ca), std::move(*checkpoint), present, {}, 0, std::move(*recipient), {}};
  keys.recipient_version = both->version;
  for (std::uint32_t version = both->version; version > 1; --version) {
    const auto former = store.read(k_recipient, version - 1);
    if (!former && former.error().code == Errc::not_found) break;  // destroyed, and those before it
    auto pair = former ? recipient_in(former->value) : Result<crypto::RecipientPair>(tl::unexpected(former.error()));
    if (!pair) return missing(pair.error());
    keys.former_recipients.push_back(std::move(*pair));
  }
  if (auto root = store.read(k_search_root)) {
    keys.search_root = std::move(root->value);
  } else if (root.error().code != Errc::not_found) {
    return missing(root.error());
  }
  // A crash in the middle of a handover may have left the old half: it goes now.
  for (std::uint32_t version = seed->version; version > 1 && version + 4 > seed->version; --version) static_cast<void>(store.remove(k_checkpoint, version - 1));
  if (const auto root = store.read(k_checkpoint_root); root && root->value.size() == keys.checkpoint_root.size())
    std::copy_n(root->value.reveal().begin(), keys.checkpoint_root.size(), keys.checkpoint_root.begin());
  if (const auto about = store.describe(k_checkpoint)) keys.checkpoint_since_us = about->changed_us;
  if (const auto note = store.read(k_handover)) {
    std::string handover(note->value.reveal_text());
    // Written before the key it names was stored: counts only when that key is the present one.
    if (handover.find(to_next_key_line(present)) != std::string::npos) keys.handover = std::move(handover);
  }
  keys.host_keys.push_back(std::move(*ed25519));
  keys.host_keys.push_back(std::move(*rsa));
  if (auto ecdsa = load_ssh_key(store, k_host_ecdsa)) {
    keys.host_keys.push_back(std::move(*ecdsa));
  } else if (ecdsa.error().code != Errc::not_found) {
    return missing(ecdsa.error());
  }
  if (const auto host_certificate = store.read(k_host_certificate)) keys.host_certificate = copy_of(host_certificate->value.reveal());
  return keys;
}

Result<void> OwnKeys::add_login_ca(SecretStore& store, WallTime now) {
  // Only beside the other keys: an empty or foreign store stays what it is, and load() says so.
  if (const auto there = store.read(k_login_ca); there || there.error().code != Errc::not_found || !store.read(k_user_ca)) return {};
  const auto made = make_ssh_key(store, k_login_ca, crypto::SshKeyType::ed25519, now);
  if (!made) return tl::unexpected(made.error());
  return {};
}

Result<void> OwnKeys::serve_legacy_clients(SecretStore& store, WallTime now) {
  if (host_key_for("ecdsa-sha2-nistp256") != nullptr) return {};
  auto key = make_ssh_key(store, k_host_ecdsa, crypto::SshKeyType::ecdsa_p256, now);
  if (!key) return tl::unexpected(key.error());
  host_keys.push_back(std::move(*key));
  return {};
}

Result<void> OwnKeys::hand_over(SecretStore& store, crypto::Ed25519PrivateKey next, std::string note, WallTime now) {
  const auto told = store.put(k_handover, k_own_kind, Secret(std::string_view(note)), {}, {}, now);
  if (!told) return tl::unexpected(told.error());
  if (*told > 1) static_cast<void>(store.remove(k_handover, *told - 1));
  const auto version = store.put(k_checkpoint, k_own_kind, next.seed(), {}, next.public_key(), now);
  if (!version) return tl::unexpected(version.error());
  if (auto removed = store.remove(k_checkpoint, *version - 1); !removed && removed.error().code != Errc::not_found) return removed;
  checkpoint = std::move(next);
  checkpoint_since_us = now.time_since_epoch().count();
  handover = std::move(note);
  return {};
}

Secret OwnKeys::search_key() const {
  return search_root ? search_root->clone() : crypto::hkdf_sha256(recipient.private_key_pem.reveal(), {}, "sallyport search index v1", 32);
}

Result<void> OwnKeys::rotate_recipient(SecretStore& store, std::string_view node, WallTime now) {
  if (!search_root) {  // first: a crash in between changes nothing
    Secret root = search_key();
    if (auto stored = store.put(k_search_root, k_own_kind, root, {}, {}, now); !stored) return tl::unexpected(stored.error());
    search_root = std::move(root);
  }
  auto next = make_recording_recipient(node, now);
  if (!next) return tl::unexpected(next.error());
  const auto version = store.put(k_recipient, k_own_kind, recipient_text(*next), {}, next->certificate_der, now);
  if (!version) return tl::unexpected(version.error());
  former_recipients.insert(former_recipients.begin(), std::move(recipient));
  recipient = std::move(*next);
  recipient_version = *version;
  return {};
}

Result<void> OwnKeys::destroy_former_recipients(SecretStore& store) {
  if (former_recipients.empty()) return fail(Errc::not_found, "there is no former recording recipient");
  // The oldest first: load() stops at the first that is missing.
  for (auto left = static_cast<std::uint32_t>(former_recipients.size()); left > 0; --left) {
    if (auto removed = store.remove(k_recipient, recipient_version - left); !removed) return removed;
    former_recipients.pop_back();
  }
  return {};
}

Result<void> OwnKeys::keep_host_certificate(SecretStore& store, Bytes certificate, WallTime now) {
  const auto version = store.put(k_host_certificate, k_own_kind, Secret(ByteView(certificate)), {}, {}, now);
  if (!version) return tl::unexpected(version.error());
  if (*version > 1) static_cast<void>(store.remove(k_host_certificate, *version - 1));
  host_certificate = std::move(certificate);
  return {};
}

const crypto::SshPrivateKey* OwnKeys::host_key_for(std::string_view algorithm) const {
  const bool rsa = algorithm == "rsa-sha2-256" || algorithm == "rsa-sha2-512";
  for (const crypto::SshPrivateKey& key : host_keys) {
    const bool key_is_rsa = key.public_key().type() == crypto::SshKeyType::rsa;
    if (rsa ? key_is_rsa : !key_is_rsa && key.public_key().name() == algorithm) return &key;
  }
  return nullptr;
}

}  // namespace sallyport::vault
