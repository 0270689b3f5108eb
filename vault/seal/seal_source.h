// vault/seal/seal_source.h -- where the master key comes from.
//
// The master key opens one thing only: the vault's key-encryption key (barrier.h). A seal source gives the bytes from which it
// is derived. Further sources (a cloud key service, an HSM) are one more implementation of SealSource each.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "platform/crypto/random.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"
#include "platform/model/settings.h"

namespace sallyport::vault {

enum class SealKind { file, credential, passphrase };
[[nodiscard]] std::string_view name_of(SealKind kind) noexcept;

struct SealChoice {
  SealKind kind = SealKind::file;
  std::filesystem::path key_file;                ///< file: regular, mode 0600 or stricter, owned by us or root
  std::string credential = "sallyport-seal";     ///< credential: its name
  std::filesystem::path credentials_directory;   ///< credential: $CREDENTIALS_DIRECTORY as systemd sets it
};
/// Reads seal_source, seal_key_file and seal_credential. Errc::invalid for an unknown source.
[[nodiscard]] Result<SealChoice> seal_choice_of(const Settings& settings, std::string_view credentials_directory);

class SealSource {
 public:
  virtual ~SealSource() = default;
  [[nodiscard]] virtual SealKind kind() const noexcept = 0;
  /// At least 32 bytes (a passphrase: 12). `typed` is what a person typed; only a passphrase source looks at it.
  /// Errc::sealed: a person must type it first. Errc::not_found, Errc::denied (unsafe file mode), Errc::invalid (too short).
  [[nodiscard]] virtual Result<Secret> key_material(const Secret* typed) = 0;
};
[[nodiscard]] std::unique_ptr<SealSource> make_seal_source(SealChoice choice);

/// Writes 32 random bytes (base64, one line) to a new file of mode 0600. Errc::conflict when it exists.
[[nodiscard]] Result<void> make_seal_file(const std::filesystem::path& file, crypto::Random& random);

}  // namespace sallyport::vault
