// tests/unit/vault/vault_folder.h -- a throw-away folder, a clock that is set by hand, and a vault in them.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "vault/setup.h"

namespace sallyport::test {

class ManualClock final : public Clock {
 public:
  [[nodiscard]] WallTime wall() const override { return WallTime(std::chrono::seconds(seconds)); }
  [[nodiscard]] BootTime boot() const override { return std::chrono::seconds(seconds); }
  std::int64_t seconds = 1'800'000'000;
};

struct VaultFolder {
  std::filesystem::path path;
  ManualClock clock;

  VaultFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "sallyport-vault-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path = name;
  }
  VaultFolder(const VaultFolder&) = delete;
  ~VaultFolder() { std::filesystem::remove_all(path); }

  [[nodiscard]] vault::VaultSettings settings(vault::SealKind kind = vault::SealKind::file) const {
    vault::VaultSettings settings;
    settings.state_dir = path / "vault";
    settings.seal.kind = kind;
    settings.seal.key_file = path / "seal.key";
    settings.seal.credentials_directory = path / "credentials";
    settings.node = "gw-1";
    return settings;
  }
  [[nodiscard]] std::unique_ptr<vault::Vault> made() {
    return std::move(vault::initialise(settings(), nullptr, clock, crypto::system_random()).value());
  }
  [[nodiscard]] std::unique_ptr<vault::Vault> opened() {
    auto again = std::move(vault::Vault::open(settings(), clock, crypto::system_random()).value());
    if (!again->unseal(nullptr)) std::abort();
    return again;
  }
  [[nodiscard]] std::string bytes_of_all_files() const {
    std::string all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      all.append(std::istreambuf_iterator<char>(in), {});
    }
    return all;
  }
  void write(const std::filesystem::path& name, std::string_view content, std::filesystem::perms mode) const {
    std::filesystem::create_directories((path / name).parent_path());
    std::ofstream(path / name, std::ios::binary) << content;
    std::filesystem::permissions(path / name, mode);
  }
};

}  // namespace sallyport::test
