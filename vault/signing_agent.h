// vault/signing_agent.h -- the ssh-agent protocol, reduced to one login on one target.
//
// A session process gets a stream end that speaks the agent protocol (draft-miller-ssh-agent). It can list exactly one key and get
// exactly one signature: over a publickey user authentication request (RFC 4252 section 7) of the connection that it was made for.
// What is to be signed is parsed, so this is no signing oracle.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "platform/crypto/ssh_private_key.h"

namespace sallyport::vault {

/// What the one signature may be for.
struct LoginScope {
  std::string account;
  Bytes session_hash;  ///< session identifier of the connection to the target
  Bytes host_key;      ///< the target's verified key; a host-bound request must name it
};

/// RFC 4252 section 7, or publickey-hostbound-v00@openssh.com, as it is signed.
struct UserauthRequest {
  Bytes session_hash;
  std::string user;
  std::string service;
  std::string method;
  std::string algorithm;
  Bytes key;
  std::optional<Bytes> host_key;  ///< host-bound only
};
/// Errc::invalid: anything else than exactly such a request.
[[nodiscard]] Result<UserauthRequest> parse_userauth_request(ByteView data);
/// Errc::denied with the reason when `request` is not the login that `scope` and `key` name.
[[nodiscard]] Result<void> check_login(const UserauthRequest& request, const LoginScope& scope, const crypto::SshPublicKey& key);

/// One agent connection. Pure: bytes in, bytes out.
class SigningAgent {
 public:
  SigningAgent(crypto::SshPrivateKey key, LoginScope scope) : key_(std::move(key)), scope_(std::move(scope)) {}

  /// Takes bytes of the stream and gives what to answer (framed). Errc::corrupt: close the stream.
  [[nodiscard]] Result<Bytes> take(ByteView received);

  /// A signature was given; the stream can be closed once it is sent.
  [[nodiscard]] bool is_spent() const noexcept { return spent_; }
  /// Why the last signature was refused; empty when none was.
  [[nodiscard]] const std::string& refusal() const noexcept { return refusal_; }
  [[nodiscard]] const std::string& method() const noexcept { return method_; }  ///< of the signature given

 private:
  [[nodiscard]] Bytes answer(ByteView message);
  [[nodiscard]] Result<Bytes> sign(ByteView request);

  crypto::SshPrivateKey key_;
  LoginScope scope_;
  Bytes buffer_;
  std::string refusal_;
  std::string method_;
  unsigned questions_ = 0;
  bool spent_ = false;
};

}  // namespace sallyport::vault
