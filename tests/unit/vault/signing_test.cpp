#include <catch2/catch.hpp>

#include "platform/crypto/ulid.h"
#include "tests/unit/vault/vault_folder.h"
#include "vault/signing_agent.h"

using namespace sallyport;
using namespace sallyport::vault;
using sallyport::test::VaultFolder;

namespace {

constexpr const char* k_session = "01JDAA0000000000000000000A";

CertificateRequest request_at(std::int64_t now) {
  static const auto key = crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519).value();
  return {k_session, key.public_key().blob(), {"deploy@recs-1"}, 7, now - 10, now + 300, {"10.0.0.1/32"}, {"permit-pty"}};
}

Bytes userauth(const LoginScope& scope, const crypto::SshPublicKey& key, std::string_view algorithm, bool host_bound = false) {
  crypto::SshWriter writer;
  writer.string(scope.session_hash).u8(50).string(scope.account).string("ssh-connection");
  writer.string(host_bound ? "publickey-hostbound-v00@openssh.com" : "publickey").u8(1).string(algorithm).string(key.blob());
  if (host_bound) writer.string(scope.host_key);
  return writer.take();
}

Bytes sign_request(const crypto::SshPublicKey& key, ByteView data, std::uint32_t flags = 0) {
  crypto::SshWriter inner;
  inner.u8(13).string(key.blob()).string(data).u32(flags);
  return crypto::SshWriter().string(inner).take();
}

std::uint8_t kind_of(const Result<Bytes>& reply) {
  REQUIRE(reply);
  REQUIRE(reply->size() > 4);
  return std::to_integer<std::uint8_t>((*reply)[4]);
}

}  // namespace

TEST_CASE("a host key signs exchange hashes and nothing else", "[vault]") {
  VaultFolder folder;
  auto settings = folder.settings();
  settings.legacy_clients = true;
  const auto vault = std::move(initialise(settings, nullptr, folder.clock, crypto::system_random()).value());
  for (const char* algorithm : {"ssh-ed25519", "rsa-sha2-256", "rsa-sha2-512", "ecdsa-sha2-nistp256"}) {
    for (const std::size_t size : {32U, 48U, 64U}) {
      const auto signature = vault->sign_exchange_hash(algorithm, Bytes(size));
      REQUIRE(signature);
      CHECK(vault->own_keys()->host_key_for(algorithm)->public_key().verify(*signature, Bytes(size))->algorithm == algorithm);
    }
    for (const std::size_t size : {0U, 20U, 31U, 33U, 65U, 200U}) CHECK(vault->sign_exchange_hash(algorithm, Bytes(size)).error().code == Errc::denied);
  }
  CHECK(vault->sign_exchange_hash("ssh-rsa", Bytes(32)).error().code == Errc::not_found);
  CHECK(vault->offered_host_keys().size() == 3);
  CHECK(folder.opened()->offered_host_keys().size() == 2);
}

TEST_CASE("a user certificate is signed within the vault's own bounds", "[vault]") {
  VaultFolder folder;
  const auto vault = folder.made();
  const std::int64_t now = folder.clock.seconds;
  const auto blob = vault->sign_user_certificate(request_at(now));
  REQUIRE(blob);
  const auto certificate = crypto::SshCertificate::parse_blob(*blob);
  REQUIRE(certificate);
  CHECK(certificate->fields().key_id == k_session);
  CHECK(certificate->fields().serial == 7);
  CHECK(certificate->signature_key() == vault->own_keys()->user_ca.public_key());
  CHECK(certificate->check({crypto::SshCertificateType::user, now, "deploy@recs-1", "10.0.0.1"}));
  CHECK_FALSE(certificate->check({crypto::SshCertificateType::user, now, "deploy@recs-1", "10.0.0.2"}));

  const auto refused = [&](auto change) {
    CertificateRequest request = request_at(now);
    change(request);
    return !vault->sign_user_certificate(request);
  };
  CHECK(refused([](auto& r) { r.principals.clear(); }));
  CHECK(refused([](auto& r) { r.principals = {""}; }));
  CHECK(refused([](auto& r) { r.principals = {"a,b"}; }));
  CHECK(refused([](auto& r) { r.principals.assign(17, "a"); }));
  CHECK(refused([&](auto& r) { r.valid_before = now + 3601; }));
  CHECK(refused([&](auto& r) { r.valid_before = now; }));
  CHECK(refused([&](auto& r) { r.valid_before = -1; }));
  CHECK(refused([&](auto& r) { r.valid_after = now - 301; }));
  CHECK(refused([&](auto& r) { r.valid_after = now + 1; }));
  CHECK(refused([](auto& r) { r.serial = 0; }));
  CHECK(refused([](auto& r) { r.session = "somebody"; }));
  CHECK(refused([](auto& r) { r.extensions = {"permit-everything"}; }));
  CHECK(refused([](auto& r) { r.source_addresses = {"10.0.0.1\n"}; }));
  CHECK(refused([](auto& r) { r.source_addresses = {"anywhere"}; }));
  CHECK(refused([](auto& r) { r.public_key.pop_back(); }));
  CHECK(refused([](auto& r) { r.public_key = crypto::SshPrivateKey::generate(crypto::SshKeyType::ecdsa_p256)->public_key().blob(); }));
}

TEST_CASE("a host certificate is signed for our own host keys, kept, and renewed before it ends", "[vault]") {
  VaultFolder folder;
  const auto lines = vault::init({folder.settings(), {"gw.example", "recs-1"}}, nullptr, folder.clock);
  REQUIRE(lines);
  CHECK(lines->host_keys.size() == 2);
  const auto vault = folder.opened();
  const auto kept = crypto::SshCertificate::parse_blob(vault->own_keys()->host_certificate);
  REQUIRE(kept);
  CHECK(kept->check({crypto::SshCertificateType::host, folder.clock.seconds, "recs-1", {}}));
  CHECK(kept->signature_key().line() == lines->host_ca);
  for (const char* file : {"host_ed25519.pub", "host_rsa.pub", "host_ed25519-cert.pub", "user_ca.pub", "host_ca.pub", "checkpoint.vkey", "recipient.pem"})
    CHECK(std::filesystem::exists(folder.path / "vault/public" / file));

  CertificateRequest request = request_at(folder.clock.seconds);
  request.source_addresses.clear();
  request.extensions.clear();
  CHECK(vault->sign_host_certificate(request).error().code == Errc::denied);

  folder.clock.seconds += 371 * 24 * 3600;
  const auto later = folder.opened();
  const auto renewed = crypto::SshCertificate::parse_blob(later->own_keys()->host_certificate);
  CHECK(renewed->fields().valid_before > kept->fields().valid_before);
  CHECK(renewed->fields().principals == kept->fields().principals);

  // A certificate under other names, as a jump needs it, leaves the gateway's own alone.
  request.public_key = later->own_keys()->host_keys.front().public_key().blob();
  request.valid_after = folder.clock.seconds;
  request.valid_before = folder.clock.seconds + 3600;
  request.principals = {"recs-7"};
  const auto of_a_jump = later->sign_host_certificate(request);
  REQUIRE(of_a_jump);
  CHECK(crypto::SshCertificate::parse_blob(*of_a_jump)->fields().principals == std::vector<std::string>{"recs-7"});
  CHECK(folder.opened()->own_keys()->host_certificate == renewed->blob());

  auto renamed = folder.settings();
  renamed.host_names = {"gw.example", "gw.new"};
  REQUIRE(later->reconfigure(renamed));
  CHECK(crypto::SshCertificate::parse_blob(later->own_keys()->host_certificate)->fields().principals == renamed.host_names);
}

TEST_CASE("a checkpoint is signed only for our own log and only forwards", "[vault]") {
  VaultFolder folder;
  crypto::Checkpoint checkpoint{"gw-1", 10, {}, {}};
  const auto body_of = [](const crypto::Checkpoint& point) { return crypto::checkpoint_body(point); };
  {
    const auto vault = folder.made();
    const auto line = vault->sign_checkpoint(body_of(checkpoint));
    REQUIRE(line);
    const auto note = crypto::parse_note(crypto::join_note(body_of(checkpoint), *line));
    REQUIRE(note);
    const crypto::NoteKey key = crypto::parse_vkey(vault->checkpoint_vkey()).value();
    CHECK(crypto::verify_note(*note, std::span(&key, 1)));
    CHECK(vault->sign_checkpoint(body_of(checkpoint)));
  }
  const auto vault = folder.opened();
  checkpoint.root[0] = std::byte{1};
  CHECK(vault->sign_checkpoint(body_of(checkpoint)).error().code == Errc::conflict);
  checkpoint.size = 9;
  CHECK(vault->sign_checkpoint(body_of(checkpoint)).error().code == Errc::conflict);
  checkpoint.size = 11;
  CHECK(vault->sign_checkpoint(body_of(checkpoint)));
  checkpoint.origin = "gw-2";
  checkpoint.size = 12;
  CHECK(vault->sign_checkpoint(body_of(checkpoint)).error().code == Errc::denied);
  checkpoint.origin = "gw-1";
  CHECK_FALSE(vault->sign_checkpoint(body_of(checkpoint) + "more\n"));
  CHECK_FALSE(vault->sign_checkpoint("gw-1\n13\n"));
  CHECK_FALSE(vault->sign_checkpoint("sign this please"));
}

TEST_CASE("an agent shows one key and signs one login, plain or host-bound", "[vault][agent]") {
  for (const auto type : {crypto::SshKeyType::ed25519, crypto::SshKeyType::rsa, crypto::SshKeyType::ecdsa_p384})
    for (const bool host_bound : {false, true}) {
      const auto key = crypto::SshPrivateKey::generate(type, 2048).value();
      const LoginScope scope{"root", Bytes(32, std::byte{7}), Bytes(51, std::byte{8})};
      const bool rsa = type == crypto::SshKeyType::rsa;
      const std::string algorithm = rsa ? "rsa-sha2-512" : std::string(key.public_key().name());
      SigningAgent agent(key, scope);

      const auto listed = agent.take(crypto::SshWriter().string(crypto::SshWriter().u8(11).view()).view());
      CHECK(kind_of(listed) == 12);
      crypto::SshReader list(ByteView(*listed).subspan(5));
      CHECK(list.u32() == 1);
      CHECK(copy_of(list.string()) == key.public_key().blob());

      const Bytes data = userauth(scope, key.public_key(), algorithm, host_bound);
      const Bytes asked = sign_request(key.public_key(), data, rsa ? 4 : 0);
      // In two pieces, as a stream may bring it.
      CHECK(agent.take(ByteView(asked).first(9))->empty());
      const auto answer = agent.take(ByteView(asked).subspan(9));
      CHECK(kind_of(answer) == 14);
      crypto::SshReader reply(ByteView(*answer).subspan(5));
      CHECK(key.public_key().verify(reply.string(), data)->algorithm == algorithm);
      CHECK(agent.is_spent());
      CHECK(kind_of(agent.take(asked)) == 5);
    }
}

TEST_CASE("an agent refuses whatever is not this one login", "[vault][agent]") {
  const auto key = crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519).value();
  const auto other = crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519).value();
  const LoginScope scope{"root", Bytes(32, std::byte{7}), Bytes(51, std::byte{8})};
  const Bytes good = userauth(scope, key.public_key(), "ssh-ed25519", true);
  const auto refused = [&](ByteView data, const crypto::SshPublicKey& with) {
    SigningAgent agent(key, scope);
    const bool no = kind_of(agent.take(sign_request(with, data))) == 5 && !agent.is_spent() && !agent.refusal().empty();
    return no && kind_of(agent.take(sign_request(key.public_key(), good))) == 14;  // and a refusal does not use it up
  };
  const auto scoped = [&](auto change, bool bound = false) {
    LoginScope changed = scope;
    change(changed);
    return userauth(changed, key.public_key(), "ssh-ed25519", bound);
  };
  CHECK(refused(scoped([](auto& s) { s.account = "admin"; }), key.public_key()));
  CHECK(refused(scoped([](auto& s) { s.session_hash[0] = std::byte{0}; }), key.public_key()));
  CHECK(refused(scoped([](auto& s) { s.session_hash.clear(); }), key.public_key()));
  CHECK(refused(scoped([](auto& s) { s.host_key[3] = std::byte{0}; }, true), key.public_key()));
  CHECK(refused(userauth(scope, other.public_key(), "ssh-ed25519"), key.public_key()));
  CHECK(refused(userauth(scope, key.public_key(), "rsa-sha2-256"), key.public_key()));
  CHECK(refused(userauth(scope, key.public_key(), "ssh-ed25519"), other.public_key()));
  CHECK(refused(bytes_of("SSHSIG anything"), key.public_key()));
  CHECK(refused(Bytes(), key.public_key()));
  CHECK(refused(ByteView(good).first(good.size() - 1), key.public_key()));
  Bytes longer = good;
  longer.push_back(std::byte{0});
  CHECK(refused(longer, key.public_key()));
  Bytes unsigned_flag = userauth(scope, key.public_key(), "ssh-ed25519");
  unsigned_flag[4 + 32 + 1 + 4 + 4 + 4 + 14 + 4 + 9] = std::byte{0};
  CHECK(refused(unsigned_flag, key.public_key()));

  SECTION("other agent messages get the failure answer") {
    SigningAgent agent(key, scope);
    for (const std::uint8_t message : {std::uint8_t{1}, std::uint8_t{17}, std::uint8_t{19}, std::uint8_t{22}, std::uint8_t{25}, std::uint8_t{27}, std::uint8_t{200}}) CHECK(kind_of(agent.take(crypto::SshWriter().string(crypto::SshWriter().u8(message).view()).view())) == 5);
  }
  SECTION("a stream that lies about sizes is closed") {
    SigningAgent agent(key, scope);
    CHECK(agent.take(crypto::SshWriter().u32(0).view()).error().code == Errc::corrupt);
    SigningAgent second(key, scope);
    CHECK(second.take(crypto::SshWriter().u32(0x7fffffff).view()).error().code == Errc::corrupt);
  }
  SECTION("RSA flags must ask for what the request names") {
    const auto rsa = crypto::SshPrivateKey::generate(crypto::SshKeyType::rsa, 2048).value();
    const Bytes data = userauth(scope, rsa.public_key(), "rsa-sha2-256");
    SigningAgent agent(rsa, scope);
    CHECK(kind_of(agent.take(sign_request(rsa.public_key(), data, 0))) == 5);
    CHECK(kind_of(agent.take(sign_request(rsa.public_key(), data, 4))) == 5);
    CHECK(kind_of(agent.take(sign_request(rsa.public_key(), data, 2))) == 14);
  }
}

TEST_CASE("a checkpoint key hands over when it is old enough, and its private half is gone", "[vault]") {
  VaultFolder folder;
  std::uint64_t size = 10;
  const auto next_body = [&] { return crypto::checkpoint_body({"gw-1", ++size, {}, {}}); };
  std::vector<crypto::NoteKey> chain;
  std::string handover;
  Bytes old_seed;
  {
    const auto vault = folder.made();
    chain.push_back(crypto::parse_vkey(vault->checkpoint_vkey()).value());
    old_seed = copy_of(vault->own_keys()->checkpoint.seed().reveal());
    const std::string young = next_body();
    const auto early = vault->sign_checkpoint(young, true, "");
    REQUIRE(early);
    CHECK(early->body.empty());
    folder.clock.seconds += 7200;
    const std::string not_durable = next_body();
    CHECK(vault->sign_checkpoint(not_durable, false, "")->body.empty());
    const std::string body = next_body();
    const auto made = vault->sign_checkpoint(body, true, "");
    REQUIRE(made);
    REQUIRE(made->body.starts_with(body + "next-key "));
    handover = crypto::join_note(made->body, made->line);
    const auto note = crypto::parse_note(handover).value();
    CHECK(crypto::verify_note(note, chain));
    const auto next = crypto::next_key_of(crypto::parse_checkpoint(note.body).value());
    REQUIRE(next);
    chain.push_back(*next);
    CHECK(vault->checkpoint_vkey() == crypto::vkey_of(chain[0]));  // what verifiers hold stays the first
    // Neither the store nor its files have the old half any more.
    CHECK_FALSE(vault->store().read("sallyport/checkpoint", 1));
  }
  CHECK(folder.bytes_of_all_files().find(std::string(text_of(old_seed))) == std::string::npos);
  const auto vault = folder.opened();
  CHECK(vault->checkpoint_vkey() == crypto::vkey_of(chain[0]));
  // The journal never got the handover (its recorder died): it is given again, until the journal shows it.
  const std::string before = "gw-1\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
  const auto key = crypto::Ed25519PrivateKey::from_seed(old_seed).value();
  const std::string old_note = crypto::join_note(before, crypto::sign_note_line(before, "gw-1", key));
  const std::string body = next_body();
  const auto lost = vault->sign_checkpoint(body, false, old_note);
  REQUIRE(lost);
  CHECK(lost->handover == handover);
  const auto signed_note = crypto::parse_note(crypto::join_note(body, lost->line)).value();
  CHECK(crypto::verify_note(signed_note, std::span(&chain[1], 1)));
  const std::string later = next_body();
  CHECK(vault->sign_checkpoint(later, false, handover)->handover.empty());
  const std::string last = next_body();
  CHECK(vault->sign_checkpoint(last, false, crypto::join_note(body, lost->line))->handover.empty());
}
