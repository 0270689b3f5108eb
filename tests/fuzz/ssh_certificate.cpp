// Any bytes as an OpenSSH certificate: what is accepted must be the blob itself, under a plain CA key, and must not pass the check
// unless its signature is right.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "platform/crypto/ssh_certificate.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  using namespace sallyport::crypto;
  const ByteView bytes = std::as_bytes(std::span(data, size));
  const auto certificate = SshCertificate::parse_blob(bytes);
  if (!certificate) return 0;
  if (certificate->blob() != copy_of(bytes)) std::abort();
  if (SshPublicKey::parse_blob(certificate->key().blob()).value() != certificate->key()) std::abort();
  const SshCertificateFields& fields = certificate->fields();
  const std::string_view principal = fields.principals.empty() ? std::string_view("nobody") : std::string_view(fields.principals.front());
  const auto now = static_cast<std::int64_t>(fields.valid_after & 0x7fffffffffffffff);
  if (certificate->check({fields.type, now, principal, "127.0.0.1"})) {
    if (fields.principals.empty() || !certificate->verify_signature()) std::abort();
    for (const auto& [name, value] : fields.critical_options)
      if (name != "force-command" && name != "source-address" && name != "verify-required") std::abort();
  }
  return 0;
}
