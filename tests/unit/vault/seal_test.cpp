#include <catch2/catch.hpp>

#include "tests/unit/vault/vault_folder.h"

using namespace sallyport;
using namespace sallyport::vault;
using sallyport::test::VaultFolder;

namespace {
constexpr auto k_private = std::filesystem::perms::owner_read | std::filesystem::perms::owner_write;

std::filesystem::file_time_type newest_change(const std::filesystem::path& folder) {
  std::filesystem::file_time_type newest{};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    newest = std::max(newest, entry.last_write_time());
  return newest;
}
}  // namespace

TEST_CASE("a vault sealed by a key file opens by itself and keeps its keys", "[vault][seal]") {
  VaultFolder folder;
  std::string before;
  {
    const auto vault = folder.made();
    CHECK_FALSE(vault->is_sealed());
    before = public_lines_of(*vault).user_ca;
  }
  const auto again = folder.opened();
  CHECK(public_lines_of(*again).user_ca == before);
  CHECK(again->own_keys()->host_keys.size() == 2);
  CHECK(std::filesystem::status(folder.path / "seal.key").permissions() == k_private);
  CHECK(initialise(folder.settings(), nullptr, folder.clock, crypto::system_random()).error().code == Errc::conflict);
}

TEST_CASE("a wrong master key is detected before anything is written", "[vault][seal]") {
  VaultFolder folder;
  { const auto vault = folder.made(); }
  std::filesystem::remove(folder.path / "seal.key");
  folder.write("seal.key", std::string(44, 'x'), k_private);
  auto vault = std::move(Vault::open(folder.settings(), folder.clock, crypto::system_random()).value());
  const std::string before = folder.bytes_of_all_files();
  const auto changed = newest_change(folder.path / "vault");
  const auto opened = vault->unseal(nullptr);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Errc::denied);
  CHECK(vault->is_sealed());
  CHECK(vault->put_secret("pw/a", kind::password, Secret("secret"), false, {}).error().code == Errc::sealed);
  CHECK(folder.bytes_of_all_files() == before);
  CHECK(newest_change(folder.path / "vault") == changed);
}

TEST_CASE("a key file that others can read, a short one and a missing one are refused", "[vault][seal]") {
  VaultFolder folder;
  SealChoice choice = folder.settings().seal;
  CHECK(make_seal_source(choice)->key_material(nullptr).error().code == Errc::not_found);
  folder.write("seal.key", std::string(44, 'x'), k_private | std::filesystem::perms::group_read);
  CHECK(make_seal_source(choice)->key_material(nullptr).error().code == Errc::denied);
  folder.write("seal.key", std::string(31, 'x') + "\n", k_private);
  CHECK(make_seal_source(choice)->key_material(nullptr).error().code == Errc::invalid);
  folder.write("seal.key", std::string(32, 'x') + "\n", k_private);
  CHECK(make_seal_source(choice)->key_material(nullptr)->size() == 32);
  std::filesystem::create_symlink(folder.path / "seal.key", folder.path / "link");
  choice.key_file = folder.path / "link";
  CHECK(make_seal_source(choice)->key_material(nullptr).error().code == Errc::denied);
}

TEST_CASE("a systemd credential seals and opens", "[vault][seal]") {
  VaultFolder folder;
  folder.write("credentials/sallyport-seal", std::string(64, 'c'), k_private);
  const auto settings = folder.settings(SealKind::credential);
  { CHECK(initialise(settings, nullptr, folder.clock, crypto::system_random())); }
  auto vault = std::move(Vault::open(settings, folder.clock, crypto::system_random()).value());
  CHECK(vault->unseal(nullptr));

  auto elsewhere = settings;
  elsewhere.seal.credential = "../seal.key";
  CHECK(make_seal_source(elsewhere.seal)->key_material(nullptr).error().code == Errc::invalid);
  elsewhere.seal.credentials_directory.clear();
  CHECK(make_seal_source(elsewhere.seal)->key_material(nullptr).error().code == Errc::not_found);
}

TEST_CASE("a vault sealed by passphrase comes back sealed and opens with the right one alone", "[vault][seal]") {
  VaultFolder folder;
  const auto settings = folder.settings(SealKind::passphrase);
  const Secret right("correct horse battery"), wrong("correct horse batterz"), brief("short");
  CHECK(initialise(settings, &brief, folder.clock, crypto::system_random()).error().code == Errc::invalid);
  CHECK(initialise(settings, nullptr, folder.clock, crypto::system_random()).error().code == Errc::sealed);
  REQUIRE(initialise(settings, &right, folder.clock, crypto::system_random()));
  auto vault = std::move(Vault::open(settings, folder.clock, crypto::system_random()).value());
  CHECK(vault->unseal(nullptr).error().code == Errc::sealed);
  CHECK(vault->unseal(&wrong).error().code == Errc::denied);
  CHECK(vault->is_sealed());
  CHECK(vault->unseal(&right));
  CHECK(vault->own_keys() != nullptr);
  vault->seal();
  CHECK(vault->own_keys() == nullptr);
  CHECK(vault->sign_exchange_hash("ssh-ed25519", Bytes(32)).error().code == Errc::sealed);
  CHECK(vault->make_recording_key().error().code == Errc::sealed);
  CHECK(vault->unseal(&right));
}

TEST_CASE("a header or database that was changed is noticed", "[vault][seal]") {
  VaultFolder folder;
  { const auto vault = folder.made(); }
  const auto header = folder.path / "vault" / "seal.header";
  std::ifstream in(header);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  SECTION("another generation") {
    std::string changed = text;
    changed.replace(changed.find("generation: 1"), 13, "generation: 2");
    folder.write("vault/seal.header", changed, k_private);
    auto vault = std::move(Vault::open(folder.settings(), folder.clock, crypto::system_random()).value());
    CHECK(vault->unseal(nullptr).error().code == Errc::denied);
  }
  SECTION("cut") {
    folder.write("vault/seal.header", text.substr(0, text.size() / 2), k_private);
    CHECK(Vault::open(folder.settings(), folder.clock, crypto::system_random()).error().code == Errc::corrupt);
  }
  SECTION("missing") {
    std::filesystem::remove(header);
    CHECK(Vault::open(folder.settings(), folder.clock, crypto::system_random()).error().code == Errc::not_found);
  }
  SECTION("the database of another vault") {
    VaultFolder other;
    { const auto vault = other.made(); }
    std::filesystem::copy_file(other.path / "vault/vault.db", folder.path / "vault/vault.db", std::filesystem::copy_options::overwrite_existing);
    auto vault = std::move(Vault::open(folder.settings(), folder.clock, crypto::system_random()).value());
    CHECK(vault->unseal(nullptr).error().code == Errc::corrupt);
    CHECK(vault->is_sealed());
  }
}
