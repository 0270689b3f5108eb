#include "vault/seal/seal_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "platform/crypto/base64.h"
#include "platform/os/fd.h"

namespace sallyport::vault {
namespace {

constexpr std::size_t k_min_material = 32;
constexpr std::size_t k_max_material = 4096;
constexpr std::size_t k_min_passphrase = 12;

/// Reads a file that nobody else may read; trailing line breaks are not part of the key.
Result<Secret> read_key_file(const std::filesystem::path& file) {
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY));
  if (!fd) {
    const int error = errno;
    return fail(error == ENOENT ? Errc::not_found : Errc::denied, "master key file " + file.string() + ": " + std::strerror(error));
  }
  struct stat status {};
  if (fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return fail(Errc::denied, "master key file " + file.string() + " is not a regular file");
  if ((status.st_mode & 0077) != 0)
    return fail(Errc::denied, "master key file " + file.string() + " can be read by others: chmod 600 it");
  if (status.st_uid != geteuid() && status.st_uid != 0)
    return fail(Errc::denied, "master key file " + file.string() + " belongs to another user");
  std::vector<std::byte> buffer(k_max_material + 1);
  std::size_t size = 0;
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer.data() + size, buffer.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(Errc::unavailable, "master key file " + file.string() + ": " + std::strerror(errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
    if (size == buffer.size()) break;
  }
  while (size > 0 && (buffer[size - 1] == std::byte{'\n'} || buffer[size - 1] == std::byte{'\r'})) --size;
  Secret secret{std::span<const std::byte>(buffer.data(), size)};
  OPENSSL_cleanse(buffer.data(), buffer.size());
  if (size < k_min_material || size > k_max_material)
    return fail(Errc::invalid, "master key file " + file.string() + " must hold 32 to 4096 bytes");
  return secret;
}

class FileSource final : public SealSource {
 public:
  explicit FileSource(std::filesystem::path file) : file_(std::move(file)) {}
  [[nodiscard]] SealKind kind() const noexcept override { return SealKind::file; }
  [[nodiscard]] Result<Secret> key_material(const Secret*) override { return read_key_file(file_); }

 private:
  std::filesystem::path file_;
};

class CredentialSource final : public SealSource {
 public:
  explicit CredentialSource(SealChoice choice) : choice_(std::move(choice)) {}
  [[nodiscard]] SealKind kind() const noexcept override { return SealKind::credential; }
  [[nodiscard]] Result<Secret> key_material(const Secret*) override {
    if (choice_.credentials_directory.empty())
      return fail(Errc::not_found, "no systemd credential: $CREDENTIALS_DIRECTORY is not set (LoadCredential= or LoadCredentialEncrypted= in the unit)");
    if (choice_.credential.empty() || choice_.credential.find('/') != std::string::npos || choice_.credential.starts_with('.'))
      return fail(Errc::invalid, "the credential's name must be a plain file name");
    return read_key_file(choice_.credentials_directory / choice_.credential);
  }

 private:
  SealChoice choice_;
};

class PassphraseSource final : public SealSource {
 public:
  [[nodiscard]] SealKind kind() const noexcept override { return SealKind::passphrase; }
  [[nodiscard]] Result<Secret> key_material(const Secret* typed) override {
    if (typed == nullptr || typed->empty()) return fail(Errc::sealed, "the vault waits for its passphrase");
    if (typed->size() < k_min_passphrase) return fail(Errc::invalid, "a vault passphrase has at least 12 characters");
    if (typed->size() > k_max_material) return fail(Errc::invalid, "a vault passphrase has at most 4096 bytes");
    return typed->clone();
  }
};

}  // namespace

std::string_view name_of(SealKind kind) noexcept {
  switch (kind) {
    case SealKind::file: return "file";
    case SealKind::credential: return "credential";
    case SealKind::passphrase: return "passphrase";
  }
  return {};
}

Result<SealChoice> seal_choice_of(const Settings& settings, std::string_view credentials_directory) {
  SealChoice choice;
  const std::string source = settings.text("seal_source", "file");
  if (source == "file") {
    choice.kind = SealKind::file;
  } else if (source == "credential") {
    choice.kind = SealKind::credential;
  } else if (source == "passphrase") {
    choice.kind = SealKind::passphrase;
  } else {
    return fail(Errc::invalid, "seal.source must be file, credential or passphrase");
  }
  choice.key_file = settings.text("seal_key_file");
  choice.credential = settings.text("seal_credential", choice.credential);
  choice.credentials_directory = std::string(credentials_directory);
  return choice;
}

std::unique_ptr<SealSource> make_seal_source(SealChoice choice) {
  switch (choice.kind) {
    case SealKind::file: return std::make_unique<FileSource>(std::move(choice.key_file));
    case SealKind::credential: return std::make_unique<CredentialSource>(std::move(choice));
    case SealKind::passphrase: return std::make_unique<PassphraseSource>();
  }
  return nullptr;
}

Result<void> make_seal_file(const std::filesystem::path& file, crypto::Random& random) {
  const Fd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) {
    const int error = errno;
    return fail(error == EEXIST ? Errc::conflict : Errc::unavailable, "master key file " + file.string() + ": " + std::strerror(error));
  }
  std::string line = crypto::to_base64(crypto::random_secret(random, 32).reveal()) + "\n";
  const bool written = ::write(fd.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size()) && fsync(fd.get()) == 0;
  OPENSSL_cleanse(line.data(), line.size());
  if (!written) return fail(Errc::unavailable, "writing the master key file " + file.string() + ": " + std::strerror(errno));
  return {};
}

}  // namespace sallyport::vault
