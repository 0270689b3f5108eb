#include <catch2/catch.hpp>

#include "platform/crypto/base64.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/ssh_private_key.h"
#include "platform/crypto/ssh_public_key.h"
#include "tests/unit/platform/keygen_folder.h"

using namespace sallyport;
using namespace sallyport::crypto;
using sallyport::test::KeygenFolder;

namespace {

struct Kind {
  const char* arguments;
  SshKeyType type;
  unsigned bits;
};
const Kind k_kinds[] = {
    {"-t ed25519", SshKeyType::ed25519, 256},          {"-t rsa -b 2048", SshKeyType::rsa, 2048},
    {"-t rsa -b 3072", SshKeyType::rsa, 3072},         {"-t ecdsa -b 256", SshKeyType::ecdsa_p256, 256},
    {"-t ecdsa -b 384", SshKeyType::ecdsa_p384, 384},  {"-t ecdsa -b 521", SshKeyType::ecdsa_p521, 521},
};

Bytes blob_in(const std::string& line) {
  const auto parsed = parse_authorized_key(line);
  REQUIRE(parsed);
  return parsed->blob;
}

/// A software security key: signs as PROTOCOL.u2f says.
struct SoftSecurityKey {
  SshPrivateKey inner = SshPrivateKey::generate(SshKeyType::ed25519).value();
  SshKeyType type;
  std::string application = "ssh:sallyport";
  explicit SoftSecurityKey(SshKeyType kind) : type(kind) {
    if (kind == SshKeyType::sk_ecdsa_p256) inner = SshPrivateKey::generate(SshKeyType::ecdsa_p256).value();
  }
  [[nodiscard]] Bytes blob() const {
    SshReader fields(inner.public_key().blob());
    fields.string();
    return SshWriter().string(name_of(type)).raw(fields.rest()).string(application).take();
  }
  [[nodiscard]] Bytes sign(std::string_view data, std::uint8_t flags, std::uint32_t counter) const {
    SshWriter message;
    message.raw(sha256(application)).u8(flags).u32(counter).raw(sha256(data));
    const Bytes made = inner.sign(message.view()).value();
    SshReader reader(made);
    reader.string();
    return SshWriter().string(name_of(type)).string(reader.string()).u8(flags).u32(counter).take();
  }
};

}  // namespace

TEST_CASE("keys that ssh-keygen made are read, named and sign what ssh-keygen made of their public half", "[crypto]") {
  const KeygenFolder folder;
  for (const Kind& kind : k_kinds) {
    INFO(kind.arguments);
    for (const char* format : {"", " -m PEM", " -m PKCS8"}) {
      INFO(format);
      const bool pem_of_ed25519 = kind.type == SshKeyType::ed25519 && *format != '\0';
      if (pem_of_ed25519) continue;  // ssh-keygen has no other format for it
      static_cast<void>(folder.run("rm -f id id.pub"));
      REQUIRE(folder.keygen(std::string(kind.arguments) + format + " -N '' -C some@where -f id"));
      const auto public_key = SshPublicKey::parse_line(folder.read("id.pub"));
      REQUIRE(public_key);
      CHECK(public_key->type() == kind.type);
      CHECK(public_key->bits() == kind.bits);
      REQUIRE(folder.keygen("-l -f id.pub"));
      CHECK(folder.output().find(public_key->fingerprint() + " ") != std::string::npos);

      const auto key = SshPrivateKey::parse(bytes_of(folder.read("id")));
      REQUIRE(key);
      CHECK(key->public_key() == *public_key);
      const auto signature = key->sign(bytes_of("message"));
      REQUIRE(signature);
      const auto facts = public_key->verify(*signature, bytes_of("message"));
      REQUIRE(facts);
      CHECK_FALSE(facts->security_key);
      CHECK(public_key->verify(*signature, bytes_of("messagf")).error().code == Errc::denied);

      SECTION("and what we write ssh-keygen reads: " + std::string(kind.arguments) + format) {
        folder.write("ours", key->openssh_text("kept")->reveal_text());
        REQUIRE(folder.keygen("-y -f ours"));
        CHECK(SshPublicKey::parse_line(folder.output()).value() == *public_key);
        CHECK(SshPrivateKey::parse(key->openssh_text()->reveal())->public_key() == *public_key);
      }
    }
  }
}

TEST_CASE("a signature made by ssh-keygen is verified for every key type", "[crypto]") {
  const KeygenFolder folder;
  for (const Kind& kind : k_kinds) {
    INFO(kind.arguments);
    static_cast<void>(folder.run("rm -f id id.pub message.sig"));
    REQUIRE(folder.keygen(std::string(kind.arguments) + " -N '' -f id"));
    folder.write("message", "hello\n");
    REQUIRE(folder.keygen("-Y sign -n test -f id message"));
    // PROTOCOL.sshsig
    std::string armoured = folder.read("message.sig"), text;
    for (std::size_t at = armoured.find('\n') + 1; at < armoured.find("-----END"); ++at)
      if (armoured[at] != '\n') text += armoured[at];
    const Bytes decoded = from_base64(text).value();
    SshReader reader(decoded);
    CHECK(text_of(reader.raw(6)) == "SSHSIG");
    CHECK(reader.u32() == 1);
    const auto key = SshPublicKey::parse_blob(reader.string());
    REQUIRE(key);
    const auto name_space = reader.text();
    reader.string();
    const auto hash = reader.text();
    const auto signature = reader.string();
    REQUIRE(reader.finished());
    REQUIRE(hash == "sha512");
    const auto hashed = sha512(bytes_of("hello\n"));
    SshWriter message;
    message.raw(bytes_of("SSHSIG")).string(name_space).string("").string(hash).string(hashed);
    CHECK(key->verify(signature, message.view()));
    CHECK_FALSE(key->verify(signature, bytes_of("other")));
  }
}

TEST_CASE("a security key's signature tells touch, verification and counter", "[crypto]") {
  for (const SshKeyType type : {SshKeyType::sk_ed25519, SshKeyType::sk_ecdsa_p256}) {
    const SoftSecurityKey device(type);
    const auto key = SshPublicKey::parse_blob(device.blob());
    REQUIRE(key);
    CHECK(key->application() == "ssh:sallyport");
    CHECK(is_security_key(key->type()));
    CHECK(SshPublicKey::parse_line(key->line() + " my key").value() == *key);

    const auto touched = key->verify(device.sign("data", 0x05, 77), bytes_of("data"));
    REQUIRE(touched);
    CHECK(touched->user_present);
    CHECK(touched->user_verified);
    CHECK(touched->counter == 77);
    const auto untouched = key->verify(device.sign("data", 0x00, 78), bytes_of("data"));
    REQUIRE(untouched);
    CHECK_FALSE(untouched->user_present);

    Bytes forged = device.sign("data", 0x00, 78);
    forged[forged.size() - 5] = std::byte{1};  // says "touched" afterwards
    CHECK(key->verify(forged, bytes_of("data")).error().code == Errc::denied);
    forged = device.sign("data", 0x01, 78);
    forged.pop_back();
    CHECK(key->verify(forged, bytes_of("data")).error().code == Errc::invalid);
  }
}

TEST_CASE("RSA signs with SHA-2 only, and an algorithm that is not allowed is refused", "[crypto]") {
  const auto key = SshPrivateKey::generate(SshKeyType::rsa, 2048);
  REQUIRE(key);
  CHECK_FALSE(key->sign(bytes_of("x"), "ssh-rsa"));
  CHECK_FALSE(key->sign(bytes_of("x"), "ssh-ed25519"));
  const auto signature = key->sign(bytes_of("x"), "rsa-sha2-256");
  REQUIRE(signature);
  CHECK(key->public_key().verify(*signature, bytes_of("x"))->algorithm == "rsa-sha2-256");
  const std::string_view only[] = {"rsa-sha2-512"};
  CHECK(key->public_key().verify(*signature, bytes_of("x"), only).error().code == Errc::denied);
  SshReader reader(*signature);
  reader.string();
  const auto relabelled = SshWriter().string("ssh-rsa").string(reader.string()).take();
  CHECK(key->public_key().verify(relabelled, bytes_of("x")).error().code == Errc::denied);
}

TEST_CASE("keys that are too small, of unknown type, cut or padded are refused", "[crypto]") {
  const KeygenFolder folder;
  REQUIRE(folder.keygen("-t rsa -b 1024 -N '' -f small"));
  CHECK(SshPublicKey::parse_line(folder.read("small.pub")).error().detail.find("1024 bits") != std::string::npos);
  CHECK_FALSE(SshPrivateKey::parse(bytes_of(folder.read("small"))));
  REQUIRE(folder.keygen("-t ed25519 -N secret -f locked"));
  CHECK(SshPrivateKey::parse(bytes_of(folder.read("locked"))).error().detail.find("passphrase") != std::string::npos);
  REQUIRE(folder.keygen("-t ecdsa -m PEM -N secret -f lockedpem"));
  CHECK_FALSE(SshPrivateKey::parse(bytes_of(folder.read("lockedpem"))));

  const Bytes blob = SshPrivateKey::generate(SshKeyType::ecdsa_p256)->public_key().blob();
  for (std::size_t size = 0; size < blob.size(); ++size) CHECK_FALSE(SshPublicKey::parse_blob(std::span(blob).first(size)));
  Bytes longer = blob;
  longer.push_back(std::byte{0});
  CHECK_FALSE(SshPublicKey::parse_blob(longer));
  Bytes off_curve = blob;
  off_curve.back() ^= std::byte{1};
  CHECK_FALSE(SshPublicKey::parse_blob(off_curve));
  CHECK_FALSE(SshPublicKey::parse_blob(SshWriter().string("ssh-dss").string("x").view()));
}

TEST_CASE("an authorized_keys line gives its options", "[crypto]") {
  const std::string line = SshPrivateKey::generate(SshKeyType::ed25519)->public_key().line();
  const auto parsed =
      parse_authorized_key("from=\"10.0.0.0/8,!10.1.2.3\",no-pty,Command=\"echo \\\"a, b\\\"\",expiry-time=\"20270101\" " + line + "  my laptop \r\n");
  REQUIRE(parsed);
  CHECK(parsed->option("from") == "10.0.0.0/8,!10.1.2.3");
  CHECK(parsed->option("no-pty") == "");
  CHECK(parsed->option("command") == "echo \"a, b\"");
  CHECK_FALSE(parsed->option("pty"));
  CHECK(parsed->comment == "my laptop");
  CHECK(parsed->key->line() == line);
  CHECK(parse_authorized_key("  # a comment").error().code == Errc::not_found);
  CHECK(parse_authorized_key("").error().code == Errc::not_found);
  for (const std::string& bad : {"from=10.0.0.0 " + line, "from=\"x " + line, "no-pty," + line, line.substr(0, 20), "no-pty" + line,
                                "ssh-rsa " + line.substr(12), std::string("ssh-ed25519"), "nonsense " + line.substr(12)})
    CHECK(parse_authorized_key(bad).error().code == Errc::invalid);
  CHECK_FALSE(SshPublicKey::parse_line("no-pty " + line));
  CHECK(blob_in(line) == SshPublicKey::parse_line(line)->blob());
}

TEST_CASE("times and address lists of key options are read as sshd reads them", "[crypto]") {
  CHECK(parse_ssh_time("20270101").value() == 1798761600);
  CHECK(parse_ssh_time("202701010030Z").value() == 1798763400);
  CHECK(parse_ssh_time("20270101003015").value() == 1798763415);
  for (const char* bad : {"", "2027", "20271301", "20270230", "20270101 0030", "202701012530"}) CHECK_FALSE(parse_ssh_time(bad));

  CHECK(address_matches("10.0.0.0/8", "10.9.8.7").value());
  CHECK_FALSE(address_matches("10.0.0.0/8", "11.0.0.1").value());
  CHECK_FALSE(address_matches("10.0.0.0/8,!10.1.2.3", "10.1.2.3").value());
  CHECK_FALSE(address_matches("!10.1.2.3,10.0.0.0/8", "10.1.2.3").value());
  CHECK(address_matches("192.168.*", "192.168.7.7").value());
  CHECK(address_matches("2001:db8::/32,::1", "2001:db8:1::2").value());
  CHECK(address_matches("127.0.0.0/8", "::ffff:127.0.0.1").value());
  CHECK_FALSE(address_matches("0.0.0.0/0", "::1").value());
  CHECK_FALSE(address_matches("10.0.0.0/33", "10.0.0.1"));
  CHECK_FALSE(address_matches("10.0.0.0/8,,", "10.0.0.1"));
  CHECK(address_in_cidr_list("10.0.0.1", "10.0.0.1").value());
  CHECK_FALSE(address_in_cidr_list("10.0.*", "10.0.0.1"));
}

TEST_CASE("the wire reader fails for good at the first value that does not fit", "[crypto]") {
  const Bytes bytes = SshWriter().u8(7).u32(8).u64(9).string("ten").mpint(bytes_of(std::string_view("\x00\x80", 2))).take();
  SshReader reader(bytes);
  CHECK(reader.u8() == 7);
  CHECK(reader.u32() == 8);
  CHECK(reader.u64() == 9);
  CHECK(reader.text() == "ten");
  CHECK(reader.mpint().size() == 1);
  CHECK(reader.finished());
  CHECK(reader.u8() == 0);
  CHECK_FALSE(reader.ok());

  const Bytes lying = SshWriter().u32(0xffffffff).u8(1).take();
  SshReader cut(lying);
  CHECK(cut.string().empty());
  CHECK_FALSE(cut.ok());
  CHECK(cut.u8() == 0);  // not the byte that is still there
  const Bytes negative = SshWriter().string("\x80").take();
  SshReader sign(negative);
  CHECK(sign.mpint().empty());
  CHECK_FALSE(sign.ok());
}
