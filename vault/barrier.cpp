#include "vault/barrier.h"

#include <argon2.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>

#include "platform/crypto/base64.h"
#include "platform/crypto/hkdf.h"
#include "platform/crypto/ssh_wire.h"
#include "platform/model/settings.h"
#include "platform/os/fd.h"

namespace sallyport::vault {
namespace {

constexpr std::size_t k_key_size = 32;
constexpr std::size_t k_salt_size = 16;
constexpr std::uint32_t k_memory_kib = 64 * 1024;
constexpr std::uint32_t k_passes = 3;
constexpr std::uint32_t k_lanes = 1;
constexpr std::uint32_t k_most_memory_kib = 1024 * 1024;
constexpr std::uint32_t k_most_passes = 64;
constexpr std::uint32_t k_most_lanes = 16;
constexpr std::string_view k_first_line = "sallyport_seal: 1\n";

Bytes seal_with(crypto::Aes256Gcm& key, crypto::Random& random, ByteView additional, ByteView plain) {
  Bytes sealed(crypto::k_aead_nonce_size + plain.size() + crypto::k_aead_tag_size);
  crypto::Nonce nonce;
  random.fill(nonce);
  std::copy(nonce.begin(), nonce.end(), sealed.begin());
  std::byte* text = sealed.data() + crypto::k_aead_nonce_size;
  key.seal(nonce, additional, plain, text, std::span<std::byte, crypto::k_aead_tag_size>(text + plain.size(), crypto::k_aead_tag_size));
  return sealed;
}

std::optional<Secret> open_with(crypto::Aes256Gcm& key, ByteView additional, ByteView sealed) {
  if (sealed.size() < crypto::k_aead_nonce_size + crypto::k_aead_tag_size) return std::nullopt;
  crypto::Nonce nonce;
  std::copy_n(sealed.begin(), nonce.size(), nonce.begin());
  const ByteView text = sealed.subspan(nonce.size(), sealed.size() - nonce.size() - crypto::k_aead_tag_size);
  Bytes plain(text.size());
  if (!key.open(nonce, additional, text, sealed.last<crypto::k_aead_tag_size>(), plain.data())) return std::nullopt;
  Secret secret{ByteView(plain)};
  if (!plain.empty()) OPENSSL_cleanse(plain.data(), plain.size());
  return secret;
}

Bytes additional_data(std::string_view what, const Binding& binding) {
  return crypto::SshWriter().string("sallyport vault 1").string(what).string(binding.name).u32(binding.version).string(binding.kind).take();
}

}  // namespace

Result<void> write_file_durably(const std::filesystem::path& file, std::string_view content) {
  const std::filesystem::path temporary = file.string() + ".new";
  const auto failed = [&] { return fail(Errc::unavailable, "writing " + file.string() + ": " + std::strerror(errno)); };
  ::unlink(temporary.c_str());
  {
    const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return failed();
    std::size_t done = 0;
    while (done < content.size()) {
      const ssize_t n = ::write(fd.get(), content.data() + done, content.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return failed();
      done += static_cast<std::size_t>(n);
    }
    if (fsync(fd.get()) != 0) return failed();
  }
  if (::rename(temporary.c_str(), file.c_str()) != 0) return failed();
  const Fd folder(::open(file.parent_path().empty() ? "." : file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || fsync(folder.get()) != 0) return failed();
  return {};
}

std::string Barrier::header_text() const {
  std::string text(k_first_line);
  text += "source: " + std::string(name_of(kind_)) + "\n";
  text += "generation: " + std::to_string(generation_) + "\n";
  text += "salt: " + crypto::to_base64(salt_) + "\n";
  if (kind_ == SealKind::passphrase)
    text += "argon2id_kib: " + std::to_string(memory_kib_) + "\nargon2id_passes: " + std::to_string(passes_) + "\nargon2id_lanes: " +
            std::to_string(lanes_) + "\n";
  return text;
}

Result<void> Barrier::read_header(std::string_view text) {
  const auto broken = [] { return fail(Errc::corrupt, "the vault's seal header cannot be read"); };
  const auto lines = Settings::parse(text);
  if (!lines || !text.starts_with(k_first_line)) return broken();
  const auto choice = [&]() -> Result<SealChoice> {
    Settings named;
    named.set("seal_source", lines->text("source", "missing"));
    return seal_choice_of(named, "");
  }();
  const auto salt = crypto::from_base64(lines->text("salt"));
  const auto key = crypto::from_base64(lines->text("key"));
  if (!choice || !salt || salt->size() != k_salt_size || !key || key->size() != crypto::k_aead_nonce_size + k_key_size + crypto::k_aead_tag_size)
    return broken();
  kind_ = choice->kind;
  salt_ = *salt;
  sealed_key_ = *key;
  const std::uint64_t generation = lines->number("generation", 0);
  const std::uint64_t memory = lines->number("argon2id_kib", 0), passes = lines->number("argon2id_passes", 0), lanes = lines->number("argon2id_lanes", 0);
  if (generation == 0 || generation > UINT32_MAX) return broken();
  generation_ = static_cast<std::uint32_t>(generation);
  if (kind_ == SealKind::passphrase) {
    if (memory < 8 || memory > k_most_memory_kib || passes == 0 || passes > k_most_passes || lanes == 0 || lanes > k_most_lanes) return broken();
    memory_kib_ = static_cast<std::uint32_t>(memory);
    passes_ = static_cast<std::uint32_t>(passes);
    lanes_ = static_cast<std::uint32_t>(lanes);
  }
  return {};
}

Result<Secret> Barrier::sealing_key(const Secret& material) const {
  if (kind_ != SealKind::passphrase) return crypto::hkdf_sha256(material.reveal(), salt_, "sallyport vault seal v1", k_key_size);
  Bytes key(k_key_size);
  const int status = argon2id_hash_raw(passes_, memory_kib_, lanes_, material.reveal().data(), material.size(), salt_.data(), salt_.size(), key.data(), key.size());
  Secret secret{ByteView(key)};
  OPENSSL_cleanse(key.data(), key.size());
  if (status != ARGON2_OK) return fail(Errc::unavailable, std::string("deriving the key from the passphrase: ") + argon2_error_message(status));
  return secret;
}

Result<Barrier> Barrier::create(const std::filesystem::path& header, SealKind kind, const Secret& material, crypto::Random& random) {
  std::error_code ignored;
  if (std::filesystem::exists(header, ignored)) return fail(Errc::conflict, "there is a vault already: " + header.string());
  Barrier barrier(random);
  barrier.kind_ = kind;
  barrier.salt_ = crypto::random_bytes(random, k_salt_size);
  if (kind == SealKind::passphrase) {
    barrier.memory_kib_ = k_memory_kib;
    barrier.passes_ = k_passes;
    barrier.lanes_ = k_lanes;
  }
  auto sealing = barrier.sealing_key(material);
  if (!sealing) return tl::unexpected(sealing.error());
  const Secret key = crypto::random_secret(random, k_key_size);
  crypto::Aes256Gcm cipher(sealing->reveal());
  const std::string text = barrier.header_text();
  barrier.sealed_key_ = seal_with(cipher, random, bytes_of(text), key.reveal());
  if (auto written = write_file_durably(header, text + "key: " + crypto::to_base64(barrier.sealed_key_) + "\n"); !written)
    return tl::unexpected(written.error());
  barrier.key_.emplace(key.reveal());
  return barrier;
}

Result<Barrier> Barrier::open(const std::filesystem::path& header, crypto::Random& random) {
  std::ifstream in(header, std::ios::binary);
  if (!in) return fail(Errc::not_found, "no vault at " + header.string() + " (run `sallyport init` first)");
  constexpr std::size_t k_most = 4096;
  std::string text(k_most, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  Barrier barrier(random);
  if (auto read = barrier.read_header(text); !read) return tl::unexpected(read.error());
  return barrier;
}

Result<void> Barrier::unseal(const Secret& material) {
  auto sealing = sealing_key(material);
  if (!sealing) return tl::unexpected(sealing.error());
  crypto::Aes256Gcm cipher(sealing->reveal());
  const auto key = open_with(cipher, bytes_of(header_text()), sealed_key_);
  if (!key)
    return fail(Errc::denied, kind_ == SealKind::passphrase ? "wrong passphrase" : "this is not the master key that the vault was sealed with");
  key_.emplace(key->reveal());
  return {};
}

Result<SealedValue> Barrier::protect(const Binding& binding, const Secret& plain) {
  if (!key_) return fail(Errc::sealed, "the vault is sealed");
  const Secret data_key = crypto::random_secret(*random_, k_key_size);
  crypto::Aes256Gcm cipher(data_key.reveal());
  return SealedValue{seal_with(*key_, *random_, additional_data("data key", binding), data_key.reveal()),
                     seal_with(cipher, *random_, additional_data("value", binding), plain.reveal())};
}

Result<Secret> Barrier::reveal(const Binding& binding, const SealedValue& sealed) {
  if (!key_) return fail(Errc::sealed, "the vault is sealed");
  const auto data_key = open_with(*key_, additional_data("data key", binding), sealed.data_key);
  if (!data_key || data_key->size() != k_key_size) return fail(Errc::corrupt, "a sealed value does not belong where it stands, or was changed");
  crypto::Aes256Gcm cipher(data_key->reveal());
  auto plain = open_with(cipher, additional_data("value", binding), sealed.value);
  if (!plain) return fail(Errc::corrupt, "a sealed value does not belong where it stands, or was changed");
  return std::move(*plain);
}

}  // namespace sallyport::vault
