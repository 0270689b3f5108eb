#include <catch2/catch.hpp>

#include "platform/crypto/base64.h"
#include "platform/crypto/cms.h"
#include "platform/seal/sealed_text.h"
#include "tests/unit/vault/vault_folder.h"
#include "vault/totp.h"

using namespace sallyport;
using namespace sallyport::vault;
using sallyport::test::VaultFolder;

TEST_CASE("secrets have versions, each sealed anew, and a version is never used twice", "[vault]") {
  VaultFolder folder;
  const auto vault = folder.made();
  CHECK(vault->put_secret("pw/recs-1/root", kind::password, Secret("first"), false, {{"env", "prod"}})->version == 1);
  CHECK(vault->put_secret("pw/recs-1/root", kind::password, Secret("second"), false, {})->version == 2);
  CHECK(vault->read_for_use("pw/recs-1/root", kind::password)->value.reveal_text() == "second");
  CHECK(vault->store().read("pw/recs-1/root", 1)->value.reveal_text() == "first");
  CHECK(vault->store().read("pw/recs-1/root", 3).error().code == Errc::not_found);
  CHECK(vault->put_secret("pw/recs-1/root", kind::totp, Secret("JBSWY3DPEHPK3PXPJBSWY3DP"), false, {}).error().code == Errc::conflict);
  CHECK(vault->remove_secret("pw/recs-1/root", 1));
  CHECK(vault->store().read("pw/recs-1/root", 1).error().code == Errc::not_found);
  CHECK(vault->remove_secret("pw/recs-1/root", 0));
  CHECK(vault->list_secrets("")->empty());
  CHECK(vault->remove_secret("pw/recs-1/root", 0).error().code == Errc::not_found);
  CHECK(vault->put_secret("pw/recs-1/root", kind::password, Secret("third"), false, {})->version == 3);
  CHECK(folder.opened()->read_for_use("pw/recs-1/root", kind::password)->value.reveal_text() == "third");
}

TEST_CASE("a sealed value opens only under its own name, version and kind", "[vault]") {
  VaultFolder folder;
  { const auto vault = folder.made();
    static_cast<void>(vault->put_secret("a", kind::password, Secret("of a"), false, {}).value());
    static_cast<void>(vault->put_secret("b", kind::password, Secret("of b"), false, {}).value());
    static_cast<void>(vault->put_secret("key", kind::ssh_key, {}, true, {}).value()); }
  const auto with_sql = [&](std::string_view sql) {
    auto database = sql::Database::open((folder.path / "vault/vault.db").string());
    REQUIRE(database->execute(sql));
  };
  SECTION("moved to another name") {
    with_sql("UPDATE secret_version SET data_key = (SELECT data_key FROM secret_version WHERE name = 'b'), "
             "value = (SELECT value FROM secret_version WHERE name = 'b') WHERE name = 'a'");
    CHECK(folder.opened()->read_for_use("a", kind::password).error().code == Errc::corrupt);
  }
  SECTION("called another version") {
    with_sql("UPDATE secret_version SET version = 7 WHERE name = 'a'");
    CHECK(folder.opened()->read_for_use("a", kind::password).error().code == Errc::corrupt);
  }
  SECTION("a private key declared a password, to have it lent") {
    with_sql("UPDATE secret SET kind = 'password' WHERE name = 'key'");
    CHECK(folder.opened()->read_for_use("key", kind::password).error().code == Errc::corrupt);
  }
}

TEST_CASE("what is stored is checked, and can be made here", "[vault]") {
  VaultFolder folder;
  const auto vault = folder.made();
  const auto put = [&](std::string_view name, std::string_view kind, std::string_view value) { return vault->put_secret(name, kind, Secret(value), false, {}); };
  CHECK_FALSE(put("k", kind::ssh_key, "not a key"));
  CHECK_FALSE(put("k", kind::totp, "MZXW"));
  CHECK_FALSE(put("k", kind::password, ""));
  CHECK_FALSE(put("k", kind::password, std::string_view("a\0b", 3)));
  CHECK_FALSE(put("k", kind::recipient, "no certificate"));
  CHECK_FALSE(put("k", "own", "x"));
  for (const char* name : {"", "/a", "a//b", "a/", "A", "a b", "../x", "sallyport/ca/user", "a/.b"}) CHECK_FALSE(put(name, kind::password, "x"));
  CHECK_FALSE(vault->put_secret("k", kind::password, Secret("x"), true, {}));
  CHECK_FALSE(vault->put_secret("k", kind::password, Secret("x"), false, {{"a", "line\nbreak"}}));

  CHECK(vault->put_secret("made/pw", kind::password, {}, true, {}));
  CHECK(vault->read_for_use("made/pw", kind::password)->value.size() == 32);
  const auto key = vault->put_secret("made/key", kind::ssh_key, {}, true, {});
  CHECK(crypto::SshPublicKey::parse_blob(key->public_key)->type() == crypto::SshKeyType::ed25519);
  CHECK(vault->put_secret("made/totp", kind::totp, {}, true, {}));
  CHECK(vault->read_for_use("made/key", kind::password).error().code == Errc::denied);
  CHECK(vault->read_for_use("sallyport/ca/user", "own").error().code == Errc::denied);
  CHECK(vault->list_secrets("")->size() == 3);
  CHECK(vault->list_secrets("made/k")->front().public_key == key->public_key);
}

TEST_CASE("nothing of a secret stands in any file, nor after it was removed", "[vault][canary]") {
  VaultFolder folder;
  const std::string canary = "CANARY-0b5c3f-plaintext";
  std::string key_text;
  {
    const auto vault = folder.made();
    static_cast<void>(vault->put_secret("pw/a", kind::password, Secret(canary), false, {}).value());
    const auto key = crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519).value();
    key_text = std::string(key.openssh_text()->reveal_text());
    static_cast<void>(vault->put_secret("ssh/a", kind::ssh_key, Secret(key_text), false, {}).value());
    // With the database open, so that the write-ahead log is looked at as well.
    const std::string all = folder.bytes_of_all_files();
    CHECK(all.find(canary) == std::string::npos);
    CHECK(all.find(key_text.substr(120, 40)) == std::string::npos);
    CHECK(all.find("PRIVATE KEY") == std::string::npos);
    CHECK(all.find(text_of(vault->own_keys()->checkpoint.seed().reveal())) == std::string::npos);
    static_cast<void>(vault->remove_secret("pw/a", 0));
  }
  const std::string all = folder.bytes_of_all_files();
  CHECK(all.find(canary) == std::string::npos);
  CHECK(all.find("PRIVATE KEY") == std::string::npos);
}

TEST_CASE("one-time codes are those of RFC 6238", "[vault][totp]") {
  // Appendix B: the ASCII secret 12345678901234567890 (and its longer forms), 8 digits.
  const auto sha1 = Totp::parse(Secret("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=8"));
  const auto sha256 = Totp::parse(Secret("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA&digits=8&algorithm=SHA256"));
  REQUIRE(sha1);
  REQUIRE(sha256);
  CHECK(sha1->matching_step("94287082", 59, 0) == 1);
  CHECK(sha1->matching_step("07081804", 1111111109, 0) == 37037036);
  CHECK(sha1->matching_step("69279037", 2000000000, 0) == 66666666);
  CHECK(sha256->matching_step("46119246", 59, 0) == 1);
  CHECK(sha256->matching_step("68084774", 1111111109, 0) == 37037036);
  // A window of one step either side.
  CHECK(sha1->matching_step("07081804", 1111111109 + 30, 0) == 37037036);
  CHECK(sha1->matching_step("07081804", 1111111109 - 30, 0) == 37037036);
  CHECK_FALSE(sha1->matching_step("07081804", 1111111109 + 61, 0));
  CHECK_FALSE(sha1->matching_step("07081804", 1111111109, 37037036));
  CHECK_FALSE(sha1->matching_step("0708180", 1111111109, 0));
  CHECK_FALSE(sha1->matching_step("", 1111111109, 0));
  CHECK(Totp::parse(Secret("gezd gnbv gy3t qojq gezd gnbv gy3t qojq")));
  for (const char* bad : {"", "otpauth://totp/x", "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=9", "otpauth://totp/x?secret=!!",
                          "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=MD5", "GEZDGNBV"})
    CHECK_FALSE(Totp::parse(Secret(std::string_view(bad))));
}

TEST_CASE("a one-time code is used once ever, also across a restart and a clock that steps back", "[vault][totp]") {
  VaultFolder folder;
  folder.clock.seconds = 1111111109;
  const auto stored = "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=8";
  {
    const auto vault = folder.made();
    static_cast<void>(vault->put_secret("totp/engineer", kind::totp, Secret(std::string_view(stored)), false, {}).value());
    CHECK_FALSE(vault->check_totp("totp/engineer", "00000000", 0)->has_value());
    CHECK_FALSE(vault->check_totp("totp/engineer", "07081804", 37037037)->has_value());
    CHECK(vault->check_totp("totp/engineer", "07081804", 0)->value() == 37037036);
    CHECK_FALSE(vault->check_totp("totp/engineer", "07081804", 0)->has_value());
  }
  const auto again = folder.opened();
  CHECK_FALSE(again->check_totp("totp/engineer", "07081804", 0)->has_value());
  folder.clock.seconds += 30;
  CHECK(again->check_totp("totp/engineer", "14050471", 0)->value() == 37037037);
  folder.clock.seconds -= 30;  // the earlier code would be right by the clock alone
  CHECK_FALSE(again->check_totp("totp/engineer", "07081804", 0)->has_value());
  CHECK(again->check_totp("pw/none", "14050471", 0).error().code == Errc::not_found);
}

TEST_CASE("recording keys are wrapped to every recipient and open with ours", "[vault]") {
  VaultFolder folder;
  const auto vault = folder.made();
  auto auditor = crypto::make_recipient("auditor", folder.clock.wall()).value();
  static_cast<void>(vault->put_secret("recipients/auditor", kind::recipient, Secret(crypto::certificate_pem(auditor.certificate_der)), false, {}).value());
  const auto made = vault->make_recording_key();
  REQUIRE(made);
  CHECK(made->key.size() == 32);
  CHECK(vault->unwrap_recording_key(made->wrapped)->equals(made->key));
  CHECK(crypto::unwrap_with(made->wrapped, auditor.private_key_pem, auditor.certificate_der)->equals(made->key));
  CHECK(made->recipients == crypto::recipient_id(vault->own_keys()->recipient.certificate_der) + "," + crypto::recipient_id(auditor.certificate_der));
  CHECK_FALSE(vault->make_recording_key()->key.equals(made->key));
  Bytes changed = made->wrapped;
  changed[changed.size() / 2] ^= std::byte{1};
  const auto other = vault->unwrap_recording_key(changed);
  CHECK((!other || !other->equals(made->key)));
  CHECK(vault->remove_secret("recipients/auditor", 0));
  CHECK(vault->recipients().size() == 1);
}

TEST_CASE("a key of event texts opens for the recipients, and is never taken for a recording's", "[vault]") {
  VaultFolder folder;
  const auto vault = folder.made();
  auto auditor = crypto::make_recipient("auditor", folder.clock.wall()).value();
  static_cast<void>(vault->put_secret("recipients/auditor", kind::recipient, Secret(crypto::certificate_pem(auditor.certificate_der)), false, {}).value());
  const auto made = vault->make_text_key().value();
  CHECK(vault->unwrap_text_key(made.wrapped)->equals(made.key));
  CHECK(seal::text_key_in(crypto::unwrap_with(made.wrapped, auditor.private_key_pem, auditor.certificate_der).value())->equals(made.key));
  CHECK(vault->unwrap_recording_key(made.wrapped).error().code == Errc::corrupt);
  CHECK(vault->unwrap_text_key(vault->make_recording_key().value().wrapped).error().code == Errc::corrupt);
}

TEST_CASE("the vault's own recording recipient is rotated, and its former keys are destroyed", "[vault]") {
  VaultFolder folder;
  auto vault = folder.made();
  const auto own = [&] { return crypto::recipient_id(vault->own_keys()->recipient.certificate_der); };
  const auto old_id = own();
  const Secret search = vault->search_key().value();
  const auto old = vault->make_recording_key().value();
  const auto left = vault->make_recording_key().value();
  CHECK(vault->put_secret("recipients/other", kind::recipient, {}, true, {}).error().code == Errc::invalid);
  CHECK(vault->put_secret(Vault::k_own_recipient, kind::recipient, {}, true, {}).value().version == 2);
  CHECK(own() != old_id);
  const auto young = vault->make_recording_key().value();
  CHECK(young.recipients == own());

  // Through a restart too: old and new recordings open, new ones not by the old key, and the search index stays readable.
  const std::string session = "01JC3W9M6T5X1Q8Z7R4N2K0HFA";
  for (int round = 0; round < 2; ++round) {
    CHECK(vault->unwrap_recording_key(old.wrapped)->equals(old.key));
    CHECK(vault->unwrap_recording_key(young.wrapped)->equals(young.key));
    CHECK(vault->search_key()->equals(search));
    const auto& former = vault->own_keys()->former_recipients;
    REQUIRE(former.size() == 1);
    CHECK_FALSE(crypto::unwrap_with(young.wrapped, former[0].private_key_pem, former[0].certificate_der));
    vault.reset();
    vault = folder.opened();
  }
  CHECK(vault->rewrap_recording_key(session, old.wrapped).value() == own());
  const Bytes anew = vault->wrapped_key_of(session, old.wrapped).value();

  CHECK(vault->put_secret(Vault::k_own_recipient, kind::recipient, {}, true, {}).value().version == 3);
  CHECK(vault->own_keys()->former_recipients.size() == 2);
  CHECK(vault->rewrap_recording_key(session, anew));
  const Bytes third = vault->wrapped_key_of(session, old.wrapped).value();
  CHECK(vault->remove_secret(Vault::k_own_recipient, 0));
  for (int round = 0; round < 2; ++round) {
    CHECK(vault->own_keys()->former_recipients.empty());
    CHECK(vault->unwrap_recording_key(third)->equals(old.key));
    CHECK_FALSE(vault->unwrap_recording_key(old.wrapped));
    CHECK_FALSE(vault->unwrap_recording_key(anew));
    CHECK_FALSE(vault->unwrap_recording_key(left.wrapped));
    CHECK(vault->search_key()->equals(search));
    vault.reset();
    vault = folder.opened();
  }
  CHECK(vault->remove_secret(Vault::k_own_recipient, 0).error().code == Errc::not_found);
  CHECK(vault->put_secret(Vault::k_own_recipient, kind::recipient, {}, true, {}).value().version == 4);

  // Somebody's certificate of that name is not taken for ours.
  auto auditor = crypto::make_recipient("auditor", folder.clock.wall()).value();
  CHECK(vault->put_secret(Vault::k_own_recipient, kind::recipient, Secret(crypto::certificate_pem(auditor.certificate_der)), false, {}));
  CHECK(vault->put_secret(Vault::k_own_recipient, kind::recipient, {}, true, {}).error().code == Errc::conflict);
}
