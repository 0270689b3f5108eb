#include <catch2/catch.hpp>

#include "platform/crypto/base64.h"
#include "platform/crypto/krl.h"
#include "platform/crypto/ssh_certificate.h"
#include "platform/crypto/ssh_private_key.h"
#include "tests/unit/platform/keygen_folder.h"

using namespace sallyport;
using namespace sallyport::crypto;
using sallyport::test::KeygenFolder;

namespace {

constexpr std::int64_t k_now = 1'800'000'000;

SshSigner signer_of(const SshPrivateKey& key) {
  return [&key](std::span<const std::byte> data) { return key.sign(data); };
}

SshCertificateFields fields_for(std::string principal) {
  SshCertificateFields fields;
  fields.serial = 42;
  fields.key_id = "a session";
  fields.principals = {std::move(principal)};
  fields.valid_after = k_now - 60;
  fields.valid_before = k_now + 60;
  return fields;
}

SshCertificate made(const SshPrivateKey& ca, SshCertificateFields fields) {
  static const auto subject = SshPrivateKey::generate(SshKeyType::ed25519).value();
  return SshCertificate::parse_blob(build_ssh_certificate(subject.public_key(), std::move(fields), ca.public_key(), signer_of(ca)).value()).value();
}

SshCertificate signed_by_keygen(const KeygenFolder& folder, const std::string& options) {
  INFO(options);
  REQUIRE(folder.keygen("-s ca " + options + " id.pub"));
  const auto certificate = SshCertificate::parse_line(folder.read("id-cert.pub"));
  REQUIRE(certificate);
  return *certificate;
}

}  // namespace

TEST_CASE("certificates that ssh-keygen made are read in full, for every key and CA type", "[crypto]") {
  const KeygenFolder folder;
  for (const char* ca : {"-t ed25519", "-t rsa -b 2048", "-t ecdsa -b 384"})
    for (const char* key : {"-t ed25519", "-t rsa -b 2048", "-t ecdsa -b 256", "-t ecdsa -b 521"}) {
      INFO(ca << " for " << key);
      static_cast<void>(folder.run("rm -f ca ca.pub id id.pub"));
      REQUIRE(folder.keygen(std::string(ca) + " -N '' -f ca"));
      REQUIRE(folder.keygen(std::string(key) + " -N '' -f id"));
      const auto certificate = signed_by_keygen(
          folder,
          "-I 'the id' -n alice,bob -z 77 -V 20200101:20300101 -O force-command='ls /' -O source-address=127.0.0.0/8,::1/128 -O no-pty "
          "-O extension:login@github.com=alice");
      CHECK(certificate.key() == SshPublicKey::parse_line(folder.read("id.pub")).value());
      CHECK(certificate.signature_key() == SshPublicKey::parse_line(folder.read("ca.pub")).value());
      const SshCertificateFields& fields = certificate.fields();
      CHECK(fields.type == SshCertificateType::user);
      CHECK(fields.serial == 77);
      CHECK(fields.key_id == "the id");
      CHECK(fields.principals == std::vector<std::string>{"alice", "bob"});
      CHECK(certificate.critical_option("force-command") == "ls /");
      CHECK(certificate.critical_option("source-address") == "127.0.0.0/8,::1/128");
      CHECK(certificate.has_extension("permit-agent-forwarding"));
      CHECK_FALSE(certificate.has_extension("permit-pty"));
      CHECK(certificate.has_extension("login@github.com"));
      CHECK(certificate.check({SshCertificateType::user, k_now, "bob", "127.0.0.1"}));
      CHECK(certificate.verify_signature());
    }
}

TEST_CASE("a certificate is refused for each thing that is not right about it", "[crypto]") {
  const auto ca = SshPrivateKey::generate(SshKeyType::ed25519).value();
  const auto good = made(ca, fields_for("alice"));
  const SshCertificateUse use{SshCertificateType::user, k_now, "alice", "10.0.0.1"};
  CHECK(good.check(use));

  const auto refused = [&](const SshCertificate& certificate, const SshCertificateUse& asked) {
    const auto result = certificate.check(asked);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::denied);
    return result.error().detail;
  };
  SECTION("time") {
    CHECK(refused(good, {SshCertificateType::user, k_now - 61, "alice", "10.0.0.1"}) == "certificate is not valid yet");
    CHECK(refused(good, {SshCertificateType::user, k_now + 60, "alice", "10.0.0.1"}) == "certificate has expired");
    CHECK(refused(good, {SshCertificateType::user, -1, "alice", "10.0.0.1"}) == "certificate is not valid yet");
  }
  SECTION("type") { CHECK_FALSE(refused(good, {SshCertificateType::host, k_now, "alice", "10.0.0.1"}).empty()); }
  SECTION("principal: exact, and none is not everybody") {
    CHECK_FALSE(refused(good, {SshCertificateType::user, k_now, "alic", "10.0.0.1"}).empty());
    CHECK_FALSE(refused(good, {SshCertificateType::user, k_now, "Alice", "10.0.0.1"}).empty());
    auto fields = fields_for("x");
    fields.principals.clear();
    CHECK(refused(made(ca, fields), use) == "certificate names no principal");
  }
  SECTION("unknown critical option") {
    auto fields = fields_for("alice");
    fields.critical_options = {{"moon-phase", "full"}};
    CHECK(refused(made(ca, fields), use) == "certificate has the unknown critical option moon-phase");
  }
  SECTION("source address") {
    auto fields = fields_for("alice");
    fields.critical_options = {{"source-address", "192.168.0.0/16"}};
    const auto bound = made(ca, fields);
    CHECK_FALSE(refused(bound, use).empty());
    CHECK_FALSE(refused(bound, {SshCertificateType::user, k_now, "alice", std::nullopt}).empty());
    CHECK(bound.check({SshCertificateType::user, k_now, "alice", "192.168.4.4"}));
    fields.critical_options = {{"source-address", "rubbish"}};
    CHECK_FALSE(refused(made(ca, fields), use).empty());
  }
  SECTION("signature: every flipped byte of the signed part") {
    for (std::size_t i = 0; i < good.blob().size(); i += 7) {
      Bytes flipped = good.blob();
      flipped[i] ^= std::byte{0x10};
      const auto parsed = SshCertificate::parse_blob(flipped);
      const bool accepted = parsed && parsed->check(use) && parsed->signature_key() == ca.public_key();
      CHECK_FALSE(accepted);
    }
  }
  SECTION("extra or missing bytes") {
    for (std::size_t size = 0; size < good.blob().size(); size += 5) CHECK_FALSE(SshCertificate::parse_blob(std::span(good.blob()).first(size)));
    Bytes longer = good.blob();
    longer.push_back(std::byte{0});
    CHECK_FALSE(SshCertificate::parse_blob(longer));
  }
}

TEST_CASE("a certificate authority that is itself a certificate is refused", "[crypto]") {
  const auto ca = SshPrivateKey::generate(SshKeyType::ed25519).value();
  const auto inner = made(ca, fields_for("ca"));
  // Swap the CA's blob for a certificate of the CA's key: bytes are rewritten by hand.
  const auto subject = SshPrivateKey::generate(SshKeyType::ed25519).value();
  SshReader point(subject.public_key().blob());
  point.string();
  SshWriter blob;
  blob.string("ssh-ed25519-cert-v01@openssh.com").string("nonce").raw(point.rest()).u64(1).u32(1).string("id");
  blob.string(SshWriter().string("alice").view()).u64(0).u64(k_ssh_forever).string("").string("").string("").string(inner.blob());
  blob.string(ca.sign(blob.view()).value());
  const auto parsed = SshCertificate::parse_blob(blob.view());
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().detail.find("certificate stands where a plain key") != std::string::npos);
}

TEST_CASE("ssh-keygen reads the certificates that we build", "[crypto]") {
  const KeygenFolder folder;
  const auto ca = SshPrivateKey::generate(SshKeyType::ed25519).value();
  auto fields = fields_for("alice@recs-1");
  fields.critical_options = {{"source-address", "10.0.0.1/32"}, {"force-command", "uptime"}};
  fields.extensions = {{"permit-pty", ""}, {"permit-agent-forwarding", ""}};
  const auto certificate = made(ca, fields);
  folder.write("c.pub", std::string(certificate.name()) + " " + to_base64(certificate.blob()) + "\n");
  REQUIRE(folder.keygen("-L -f c.pub"));
  const std::string shown = folder.output();
  for (const char* expected : {"user certificate", "Key ID: \"a session\"", "Serial: 42", "alice@recs-1", "force-command uptime",
                               "source-address 10.0.0.1/32", "permit-pty", "permit-agent-forwarding"})
    CHECK(shown.find(expected) != std::string::npos);
}

TEST_CASE("revocation lists that ssh-keygen made are obeyed", "[crypto]") {
  const KeygenFolder folder;
  REQUIRE(folder.keygen("-t ed25519 -N '' -f ca"));
  REQUIRE(folder.keygen("-t ed25519 -N '' -f otherca"));
  REQUIRE(folder.keygen("-t ed25519 -N '' -f id"));
  const auto id = SshPublicKey::parse_line(folder.read("id.pub")).value();
  const auto krl_of = [&](const std::string& specification, const std::string& options = "-s ca.pub") {
    folder.write("spec", specification);
    static_cast<void>(folder.run("rm -f krl"));
    REQUIRE(folder.keygen("-k -f krl " + options + " -z 9 spec"));
    const std::string bytes = folder.read("krl");
    auto list = Krl::parse(bytes_of(bytes));
    REQUIRE(list);
    CHECK(list->version() == 9);
    for (std::size_t size = 8; size < bytes.size(); ++size) {
      const auto cut = Krl::parse(bytes_of(std::string_view(bytes).substr(0, size)));
      if (cut) CHECK(size >= 44);  // only a cut between sections can be read
    }
    return std::move(*list);
  };
  const auto with_serial = [&](std::uint64_t serial) { return signed_by_keygen(folder, "-I id-" + std::to_string(serial) + " -n a -z " + std::to_string(serial)); };

  SECTION("single serials, ranges and dense sets under one CA") {
    std::string specification = "serial: 5\nserial: 100-200\n";
    for (int serial = 1000; serial < 1100; serial += 2) specification += "serial: " + std::to_string(serial) + "\n";
    const Krl list = krl_of(specification);
    for (const std::uint64_t serial : {5U, 100U, 150U, 200U, 1000U, 1050U, 1098U}) CHECK(list.is_revoked(with_serial(serial)));
    for (const std::uint64_t serial : {0U, 4U, 6U, 99U, 201U, 999U, 1001U, 1100U}) CHECK_FALSE(list.is_revoked(with_serial(serial)));
    CHECK_FALSE(list.is_revoked(id));
    static_cast<void>(folder.run("mv ca ca.first && mv ca.pub ca.first.pub && cp otherca ca && cp otherca.pub ca.pub"));
    CHECK_FALSE(list.is_revoked(with_serial(5)));
  }
  SECTION("key ids") {
    const Krl list = krl_of("id: id-7\n");
    CHECK(list.is_revoked(with_serial(7)));
    CHECK_FALSE(list.is_revoked(with_serial(8)));
  }
  SECTION("keys, in the clear and by hash, plain and inside a certificate") {
    for (const char* word : {"key: ", "sha256: ", "hash: ", "sha1: "}) {
      const bool by_fingerprint = std::string(word) == "hash: ";
      const Krl list = krl_of(word + (by_fingerprint ? id.fingerprint() : folder.read("id.pub")) + "\n", "");
      CHECK(list.is_revoked(id));
      CHECK(list.is_revoked(with_serial(3)));
      CHECK_FALSE(list.is_revoked(SshPublicKey::parse_line(folder.read("ca.pub")).value()));
    }
  }
  SECTION("a revoked CA revokes what it signed") {
    const Krl list = krl_of("key: " + folder.read("ca.pub"), "");
    CHECK(list.is_revoked(with_serial(3)));
    CHECK_FALSE(list.is_revoked(id));
  }
  SECTION("wildcard CA") {
    const Krl list = krl_of("serial: 5\n", "-s none");
    CHECK(list.is_revoked(with_serial(5)));
  }
  SECTION("a text file of keys") {
    const auto list = Krl::parse(bytes_of("# gone\n" + folder.read("id.pub")));
    REQUIRE(list);
    CHECK(list->is_revoked(id));
    CHECK_FALSE(Krl::parse(bytes_of("rubbish\n")));
  }
}

TEST_CASE("a revocation list that is not understood is refused as a whole", "[crypto]") {
  const auto header = [] {
    SshWriter writer;
    writer.u64(0x5353484b524c0a00).u32(1).u64(1).u64(0).u64(0).string("").string("");
    return writer;
  };
  CHECK(Krl::parse(header().view()));
  CHECK_FALSE(Krl::parse(header().u8(99).string("x").view()));
  CHECK_FALSE(Krl::parse(header().u8(5).string(SshWriter().string("short").view()).view()));
  CHECK_FALSE(Krl::parse(header().u8(1).string(SshWriter().string("").string("").u8(0x39).string("x").view()).view()));
  SshWriter huge;
  huge.string("").string("").u8(0x21).string(SshWriter().u64(9).u64(8).view());
  CHECK_FALSE(Krl::parse(header().u8(1).string(huge).view()));

  SECTION("a right signature is accepted, a wrong one refuses the list") {
    const auto ca = SshPrivateKey::generate(SshKeyType::ed25519).value();
    SshWriter list = header();
    list.u8(4).string(ca.public_key().blob());
    const Bytes signature = ca.sign(list.view()).value();
    list.string(signature);
    CHECK(Krl::parse(list.view()));
    Bytes wrong = list.take();
    wrong.back() ^= std::byte{1};
    CHECK_FALSE(Krl::parse(wrong));
  }
}
