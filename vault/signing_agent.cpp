#include "vault/signing_agent.h"

#include <algorithm>

namespace sallyport::vault {
namespace {

constexpr std::size_t k_most_bytes = 64 * 1024;
constexpr unsigned k_most_questions = 32;

// Message numbers of the agent protocol.
constexpr std::uint8_t k_failure = 5;
constexpr std::uint8_t k_request_identities = 11;
constexpr std::uint8_t k_identities_answer = 12;
constexpr std::uint8_t k_sign_request = 13;
constexpr std::uint8_t k_sign_response = 14;
constexpr std::uint32_t k_flag_rsa_sha2_256 = 2;
constexpr std::uint32_t k_flag_rsa_sha2_512 = 4;

constexpr std::uint8_t k_msg_userauth_request = 50;
constexpr std::string_view k_publickey = "publickey";
constexpr std::string_view k_hostbound = "publickey-hostbound-v00@openssh.com";

Bytes framed(const crypto::SshWriter& message) { return crypto::SshWriter().string(message).take(); }
Bytes failure() { return framed(std::move(crypto::SshWriter().u8(k_failure))); }

bool same(ByteView one, ByteView other) { return std::equal(one.begin(), one.end(), other.begin(), other.end()); }

}  // namespace

Result<UserauthRequest> parse_userauth_request(ByteView data) {
  crypto::SshReader reader(data);
  UserauthRequest request;
  request.session_hash = copy_of(reader.string());
  const std::uint8_t message = reader.u8();
  request.user = std::string(reader.text());
  request.service = std::string(reader.text());
  request.method = std::string(reader.text());
  const std::uint8_t has_signature = reader.u8();
  request.algorithm = std::string(reader.text());
  request.key = copy_of(reader.string());
  if (request.method == k_hostbound) request.host_key = copy_of(reader.string());
  if (!reader.finished() || message != k_msg_userauth_request || has_signature != 1 || (request.method != k_publickey && request.method != k_hostbound))
    return fail(Errc::invalid, "not a publickey user authentication request");
  return request;
}

Result<void> check_login(const UserauthRequest& request, const LoginScope& scope, const crypto::SshPublicKey& key) {
  if (scope.session_hash.empty() || !same(request.session_hash, scope.session_hash)) return fail(Errc::denied, "the request belongs to another connection");
  if (scope.account.empty() || request.user != scope.account) return fail(Errc::denied, "the request is for another account");
  if (request.service != "ssh-connection") return fail(Errc::denied, "the request is for another service");
  if (request.host_key && (scope.host_key.empty() || !same(*request.host_key, scope.host_key))) return fail(Errc::denied, "the request is bound to another host key");
  if (!same(request.key, key.blob())) return fail(Errc::denied, "the request names another key");
  const bool belongs = key.type() == crypto::SshKeyType::rsa ? request.algorithm == "rsa-sha2-256" || request.algorithm == "rsa-sha2-512"
                                                             : request.algorithm == key.name();
  if (!belongs) return fail(Errc::denied, "the request names an algorithm that the key does not sign with");
  return {};
}

Result<Bytes> SigningAgent::sign(ByteView request) {
  crypto::SshReader reader(request);
  const ByteView key = reader.string();
  const ByteView data = reader.string();
  const std::uint32_t flags = reader.u32();
  if (!reader.finished()) return fail(Errc::invalid, "broken sign request");
  if (spent_) return fail(Errc::denied, "the one signature was given already");
  if (!same(key, key_.public_key().blob())) return fail(Errc::denied, "a signature with another key was asked for");
  const auto login = parse_userauth_request(data);
  if (!login) return tl::unexpected(login.error());
  if (auto right = check_login(*login, scope_, key_.public_key()); !right) return tl::unexpected(right.error());
  if (key_.public_key().type() == crypto::SshKeyType::rsa) {
    const std::string_view wanted = (flags & k_flag_rsa_sha2_512) != 0 ? "rsa-sha2-512" : (flags & k_flag_rsa_sha2_256) != 0 ? "rsa-sha2-256" : "";
    if (wanted != login->algorithm) return fail(Errc::denied, "the flags ask for another algorithm than the request names");
  }
  method_ = login->method;
  return key_.sign(data, login->algorithm);
}

Bytes SigningAgent::answer(ByteView message) {
  crypto::SshReader reader(message);
  crypto::SshWriter reply;
  switch (reader.u8()) {
    case k_request_identities:
      if (!reader.finished()) return failure();
      reply.u8(k_identities_answer).u32(1).string(key_.public_key().blob()).string("");
      return framed(reply);
    case k_sign_request: {
      const auto signature = sign(reader.rest());
      if (!signature) {
        refusal_ = signature.error().detail;
        return failure();
      }
      spent_ = true;
      reply.u8(k_sign_response).string(*signature);
      return framed(reply);
    }
    default: return failure();  // as the protocol asks for messages that are not known, session-bind@openssh.com included
  }
}

Result<Bytes> SigningAgent::take(ByteView received) {
  if (buffer_.size() + received.size() > k_most_bytes) return fail(Errc::corrupt, "agent message above 64 KiB");
  buffer_.insert(buffer_.end(), received.begin(), received.end());
  Bytes replies;
  for (;;) {
    crypto::SshReader reader{ByteView(buffer_)};
    if (buffer_.size() < 4) break;
    const std::uint32_t size = reader.u32();
    if (size == 0 || size > k_most_bytes - 4) return fail(Errc::corrupt, "agent message of an impossible size");
    if (reader.rest().size() < size) break;
    if (++questions_ > k_most_questions) return fail(Errc::corrupt, "too many questions to the agent");
    const Bytes reply = answer(reader.rest().first(size));
    replies.insert(replies.end(), reply.begin(), reply.end());
    buffer_.erase(buffer_.begin(), buffer_.begin() + 4 + static_cast<std::ptrdiff_t>(size));
  }
  return replies;
}

}  // namespace sallyport::vault
