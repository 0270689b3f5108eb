// Any bytes as the stream of a signing agent: it must never sign anything but a login of its own scope, and at most once.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "vault/signing_agent.h"
#include "vault/totp.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  using namespace sallyport::vault;
  // A fixed key, so that a corpus can hold requests that name it (tests/fuzz/corpus/agent_messages).
  static const crypto::SshPrivateKey key = crypto::SshPrivateKey::parse(bytes_of("-----BEGIN PRIVATE KEY-----\n"
                                                                                 "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
                                                                                 "-----END PRIVATE KEY-----\n"))
                                               .value();
  const LoginScope scope{"root", Bytes(32, std::byte{'s'}), Bytes(4, std::byte{'h'})};
  const ByteView bytes = std::as_bytes(std::span(data, size));

  SigningAgent agent(key, scope);
  const std::size_t half = size / 2;
  if (auto first = agent.take(bytes.first(half))) static_cast<void>(agent.take(bytes.subspan(half)));
  if (agent.is_spent()) {
    // Then the session identifier of the scope must stand somewhere in what was sent.
    if (std::search(bytes.begin(), bytes.end(), scope.session_hash.begin(), scope.session_hash.end()) == bytes.end()) std::abort();
  }
  if (const auto request = parse_userauth_request(bytes)) {
    const bool allowed = check_login(*request, scope, key.public_key()).has_value();
    if (allowed && (request->user != "root" || request->session_hash != scope.session_hash || request->service != "ssh-connection")) std::abort();
  }
  static_cast<void>(Totp::parse(Secret(bytes)));
  return 0;
}
