// The client's leg until it is logged in: key exchange with the vault's signatures, authentication by the authority.
#include <fmt/format.h>
#include <libssh/server.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "gateway/ssh/prepared_sessions.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/session.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/ssh_wire.h"
#include "platform/model/utf8.h"

namespace sallyport::gateway {
namespace {

constexpr std::chrono::milliseconds k_vault_deadline{10'000};
constexpr std::chrono::milliseconds k_attempt_deadline{30'000};
constexpr std::chrono::seconds k_exchange_grace{30};
constexpr std::size_t k_longest_user = 255;
constexpr std::size_t k_longest_password = 1024;
constexpr std::size_t k_most_library_failures = 6;
constexpr std::uint8_t k_userauth_request = 50;

struct FreeMessage {
  void operator()(ssh_message message) const noexcept { ssh_message_free(message); }
};
using MessageHandle = std::unique_ptr<ssh_message_struct, FreeMessage>;

[[nodiscard]] int method_bits(const control::AuthAnswer& answer) {
  int bits = 0;
  for (const std::string& method : answer.methods_left()) {
    if (method == "publickey") bits |= SSH_AUTH_METHOD_PUBLICKEY;
    if (method == "password") bits |= SSH_AUTH_METHOD_PASSWORD;
    if (method == "keyboard-interactive") bits |= SSH_AUTH_METHOD_INTERACTIVE;
  }
  return bits;
}

}  // namespace

Result<net::SshSessionHandle> Session::make_server_session() {
  const SessionOptions& options = *handover_.options;
  const bool is_jump = !handover_.outer_session.empty();
  net::SshSessionHandle session;
  if (!is_jump && options.prepared) session = std::move(options.prepared->client_leg);
  if (!session) {
    auto made = make_client_leg(options, is_jump ? handover_.inner_host_certificates : options.host_certificates);
    if (!made) return tl::unexpected(made.error());
    session = std::move(*made);
  }
  ssh_session raw = session.get();
  const auto sign = [](ssh_session, const char* algorithm, const void*, size_t, const void* hash, size_t hash_size,
                       unsigned char* out, size_t* out_size, void* user) -> int {
    auto* self = static_cast<Session*>(user);
    auto signature = self->sign_exchange_hash(algorithm, std::span(static_cast<const std::byte*>(hash), hash_size));
    if (!signature || signature->size() > *out_size) return -1;
    std::memcpy(out, signature->data(), signature->size());
    *out_size = signature->size();
    return 0;
  };
  ssh_session_set_hostkey_signer(raw, sign, this);
  const auto refused = [](ssh_session, const char* user, const char* method, const char* reason, void* self) {
    auto& failures = static_cast<Session*>(self)->library_failures_;
    if (failures.size() >= k_most_library_failures) return;
    control::AuthAttempt& attempt = failures.emplace_back();
    attempt.set_user(printable(user, k_longest_user));
    attempt.set_method(method);
    attempt.set_invalid_signature(true);
    attempt.set_failure_reason(reason);
  };
  ssh_session_set_auth_failure_callback(raw, refused, this);
  const auto request = [](ssh_session, const void* payload, size_t size, void* self) {
    const auto* bytes = static_cast<const std::byte*>(payload);
    static_cast<Session*>(self)->last_request_.assign(bytes, bytes + size);
  };
  ssh_session_set_userauth_observer(raw, request, this);
  return session;
}

Result<Bytes> Session::sign_exchange_hash(std::string_view algorithm, std::span<const std::byte> hash) {
  control::Envelope question;
  question.mutable_hostkey_sign()->set_algorithm(std::string(algorithm));
  question.mutable_hostkey_sign()->set_exchange_hash(hash.data(), hash.size());
  auto answer = vault_.call_blocking(std::move(question), k_vault_deadline);
  if (!answer) {
    refuse_exchange(make_notice(answer.error().code == Errc::sealed ? "SP-3011" : "SP-5007"));
    return tl::unexpected(answer.error());
  }
  return copy_of(bytes_of(answer->envelope.hostkey_signature().signature()));
}

void Session::refuse_exchange(const Notice& notice) {
  control::Envelope told;
  told.mutable_session_event()->set_name("client.refused");
  told.mutable_session_event()->set_json(fmt::format(R"({{"decision":"deny","code":"{}"}})", notice.code));
  authority_.tell(std::move(told));
  if (!first_exchange_) return finish(render(notice));  // a later one is encrypted: libssh closes, the record says why
  // libssh gives up without a word when a signature fails. A packet of our own, in the clear (RFC 4253 sections 6 and 11.1).
  constexpr std::uint8_t k_disconnect = 1;
  constexpr std::uint32_t k_service_not_available = 7;
  crypto::SshWriter payload;
  payload.u8(k_disconnect).u32(k_service_not_available).string(render(notice)).string("");
  const std::size_t rest = (4 + 1 + payload.size()) % 8;
  const std::size_t padding = rest <= 4 ? 8 - rest : 16 - rest;
  crypto::SshWriter packet;
  packet.u32(static_cast<std::uint32_t>(1 + payload.size() + padding)).u8(static_cast<std::uint8_t>(padding)).raw(payload.view());
  packet.raw(Bytes(padding, std::byte{0}));
  client_->flush();
  static_cast<void>(!::write(first_exchange_.get(), packet.view().data(), packet.size()));
}

boost::asio::awaitable<bool> Session::exchange_keys() {
  client_->start([this] {
    on_client_bytes();
    wake_.notify();
  });
  const auto until = std::chrono::steady_clock::now() + k_exchange_grace;
  for (;;) {
    const int status = ssh_handle_key_exchange(client_->raw());
    client_->flush();
    if (status != SSH_AGAIN) first_exchange_.reset();
    if (status == SSH_OK) co_return true;
    if (status != SSH_AGAIN || client_->is_closed()) break;
    if (!co_await wake_.wait(until)) break;
  }
  client_->close();
  co_return false;
}

void Session::disconnect_client(const std::string& text) {
  ssh_session_set_disconnect_message(client_->raw(), text.c_str());
  ssh_disconnect(client_->raw());
  client_->flush();
}

boost::asio::awaitable<std::optional<control::Identity>> Session::log_in() {
  std::optional<control::Identity> identity;
  for (;;) {
    if (client_->is_closed() || !over_.empty()) {
      if (!client_->is_closed()) disconnect_client(over_);
      co_return std::nullopt;
    }
    // What libssh refused by itself (a wrong signature) counts and is audited like any other attempt.
    while (!library_failures_.empty()) {
      control::Envelope question;
      *question.mutable_auth_attempt() = std::move(library_failures_.front());
      library_failures_.erase(library_failures_.begin());
      auto answer = co_await authority_.call(std::move(question), k_attempt_deadline);
      if (!answer || answer->envelope.auth_answer().result() == control::AuthAnswer::DISCONNECT) {
        disconnect_client(answer ? answer->envelope.auth_answer().message() : render(make_notice("SP-1013")));
        co_return std::nullopt;
      }
    }
    MessageHandle message(ssh_message_get(client_->raw()));
    if (!message) {
      client_->flush();
      co_await wake_.wait();
      continue;
    }
    if (!co_await answer_login_message(message.get(), identity)) co_return std::nullopt;
    message.reset();
    client_->flush();
    if (identity) {
      client_->forget_packets(false);
      client_->lift_bounds();
      co_return identity;
    }
  }
}

boost::asio::awaitable<bool> Session::answer_login_message(ssh_message message, std::optional<control::Identity>& identity) {
  if (ssh_message_type(message) == SSH_REQUEST_SERVICE) {
    ssh_message_service_reply_success(message);
    co_return true;
  }
  if (ssh_message_type(message) != SSH_REQUEST_AUTH) {
    ssh_message_reply_default(message);
    co_return true;
  }
  control::Envelope question;
  control::AuthAttempt& attempt = *question.mutable_auth_attempt();
  const char* user = ssh_message_auth_user(message);
  // An answer to a prompt (RFC 4256 section 3.4) names nobody: it belongs to the request that was asked.
  const bool is_answer = ssh_message_subtype(message) == SSH_AUTH_METHOD_INTERACTIVE && ssh_message_auth_kbdint_is_response(message);
  const std::string user_name = is_answer ? asked_user_ : user != nullptr ? user : "";
  if (!is_answer) asked_user_ = user_name;
  if (user_name.size() > k_longest_user || user_name.find('\0') != std::string::npos) {
    disconnect_client(render(make_notice("SP-1011")));
    co_return false;
  }
  attempt.set_user(escape_not_utf8(user_name));  // the name of nobody then; refused and audited like any other
  const void* session_hash = nullptr;
  size_t session_hash_size = 0;
  ssh_session_id(client_->raw(), &session_hash, &session_hash_size);
  attempt.set_session_hash(session_hash, session_hash_size);
  switch (ssh_message_subtype(message)) {
    case SSH_AUTH_METHOD_NONE: attempt.set_method("none"); break;
    case SSH_AUTH_METHOD_PASSWORD: {
      attempt.set_method("password");
      crypto::SshReader reader(last_request_);  // user, service, method, change flag, password (RFC 4252 section 8)
      for (int i = 0; i < 3; ++i) static_cast<void>(reader.string());
      const bool changes = reader.boolean();
      const std::string_view password = reader.text();
      if (!changes && reader.finished()) attempt.set_password(std::string(password.substr(0, k_longest_password + 1)));
      OPENSSL_cleanse(last_request_.data(), last_request_.size());
      break;
    }
    case SSH_AUTH_METHOD_PUBLICKEY: {
      attempt.set_method("publickey");
      // The request as it came: user, service, method, flag, algorithm, key, (host key), signature (RFC 4252 section 7).
      crypto::SshReader reader(last_request_);
      static_cast<void>(reader.string());
      static_cast<void>(reader.string());
      const std::string_view method = reader.text();
      const bool is_signed = reader.boolean();
      attempt.set_algorithm(escape_not_utf8(reader.text()));
      const auto blob = reader.string();
      attempt.set_key_blob(blob.data(), blob.size());
      if (method == "publickey-hostbound-v00@openssh.com") static_cast<void>(reader.string());
      attempt.set_probe(!is_signed);
      if (is_signed) {
        const std::size_t signed_size = last_request_.size() - reader.rest().size();
        const auto signature = reader.string();
        std::string signed_data(1, static_cast<char>(k_userauth_request));
        signed_data += text_of(std::span(last_request_).first(signed_size));
        attempt.set_signed_data(std::move(signed_data));
        attempt.set_signature(signature.data(), signature.size());
        attempt.set_verified_here(true);  // libssh gives no message for a signature that it found wrong
      }
      if (!reader.finished()) {
        disconnect_client("malformed public key request");
        co_return false;
      }
      std::uint8_t flags = 0;
      std::uint32_t counter = 0;
      if (is_signed && ssh_message_auth_sk_info(message, &flags, &counter) == SSH_OK) {
        attempt.set_has_sk(true);
        attempt.set_sk_flags(flags);
        attempt.set_sk_counter(counter);
      }
      break;
    }
    case SSH_AUTH_METHOD_INTERACTIVE:
      attempt.set_method("keyboard-interactive");
      if (is_answer) {
        const int count = ssh_userauth_kbdint_getnanswers(client_->raw());
        for (int i = 0; i < count && i < 8; ++i) {
          const char* text = ssh_userauth_kbdint_getanswer(client_->raw(), static_cast<unsigned int>(i));
          attempt.add_responses(text != nullptr ? std::string(text, ::strnlen(text, k_longest_password + 1)) : std::string());
        }
      }
      break;
    default: attempt.set_method("other"); break;
  }
  auto answered = co_await authority_.call(std::move(question), k_attempt_deadline);
  if (client_->is_closed()) co_return false;
  if (!answered || !answered->envelope.has_auth_answer()) {
    disconnect_client(render(make_notice("SP-1013")));
    co_return false;
  }
  const control::AuthAnswer& answer = answered->envelope.auth_answer();
  if (answer.delay_ms() > 0) {
    boost::asio::steady_timer timer(io_, std::chrono::milliseconds(answer.delay_ms()));
    boost::system::error_code ignored;
    co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    if (client_->is_closed()) co_return false;
  }
  switch (answer.result()) {
    case control::AuthAnswer::KEY_OK: ssh_message_auth_reply_pk_ok_simple(message); break;
    case control::AuthAnswer::PARTIAL:
      ssh_message_auth_set_methods(message, method_bits(answer));
      ssh_message_auth_reply_success(message, 1);
      break;
    case control::AuthAnswer::SUCCESS:
      identity = answer.identity();
      ssh_message_auth_reply_success(message, 0);
      break;
    case control::AuthAnswer::ASK: {
      std::vector<const char*> prompts;
      std::string echo;
      for (const auto& prompt : answer.prompts()) {
        prompts.push_back(prompt.text().c_str());
        echo.push_back(prompt.echo() ? 1 : 0);
      }
      ssh_message_auth_interactive_request(message, "Sallyport", answer.instruction().c_str(),
                                           static_cast<unsigned int>(prompts.size()), prompts.data(), echo.data());
      break;
    }
    case control::AuthAnswer::DISCONNECT:
      disconnect_client(answer.message());
      co_return false;
    case control::AuthAnswer::REFUSED:
    default:
      ssh_message_auth_set_methods(message, method_bits(answer));
      ssh_message_reply_default(message);
      break;
  }
  co_return true;
}

}  // namespace sallyport::gateway
