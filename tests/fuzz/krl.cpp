// Any bytes as a key revocation list: bounded work, and an accepted list answers for any key and certificate.
#include <cstddef>
#include <cstdint>

#include "platform/crypto/krl.h"
#include "platform/crypto/ssh_private_key.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  using namespace sallyport::crypto;
  static const SshPrivateKey key = SshPrivateKey::generate(SshKeyType::ed25519).value();
  static const SshCertificate certificate = [] {
    SshCertificateFields fields;
    fields.serial = 5;
    fields.key_id = "id-5";
    fields.principals = {"a"};
    fields.valid_before = k_ssh_forever;
    const Bytes blob = build_ssh_certificate(key.public_key(), fields, key.public_key(), [](ByteView bytes) { return key.sign(bytes); }).value();
    return SshCertificate::parse_blob(blob).value();
  }();
  if (const auto list = Krl::parse(std::as_bytes(std::span(data, size)))) {
    static_cast<void>(list->is_revoked(key.public_key()));
    static_cast<void>(list->is_revoked(certificate));
  }
  return 0;
}
