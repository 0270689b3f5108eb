// The target's leg until it is logged in: the authority dials, we check who answers, then prove who we are.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "gateway/ssh/prepared_sessions.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/session.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/ssh_certificate.h"
#include "platform/crypto/ssh_wire.h"
#include "platform/model/utf8.h"
#include "platform/os/wiped_memory.h"

namespace sallyport::gateway {
namespace {

constexpr std::chrono::milliseconds k_open_deadline{30'000};
constexpr std::chrono::seconds k_exchange_deadline{10};
constexpr std::chrono::seconds k_login_deadline{30};

[[nodiscard]] Bytes public_blob_of(ssh_key key) {
  char* text = nullptr;
  if (ssh_pki_export_pubkey_base64(key, &text) != SSH_OK) return {};
  auto blob = crypto::from_base64(text);
  ssh_string_free_char(text);
  return blob ? std::move(*blob) : Bytes{};
}

void add_name(std::string& list, std::string_view name) {
  if (!list.empty()) list += ',';
  list += name;
}

/// The host key algorithms that can prove one of the pinned keys or a certificate of one of the CAs.
[[nodiscard]] std::string host_key_algorithms(const control::TargetGrant& grant) {
  std::string list;
  if (grant.host_cas_size() > 0)
    list = "ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256-cert-v01@openssh.com,rsa-sha2-512-cert-v01@openssh.com,"
           "rsa-sha2-256-cert-v01@openssh.com";
  for (const std::string& blob : grant.host_keys()) {
    crypto::SshReader reader{std::string_view(blob)};
    const std::string_view type = reader.text();
    if (type == "ssh-rsa") {
      add_name(list, "rsa-sha2-512");
      add_name(list, "rsa-sha2-256");
    } else {
      add_name(list, type);
    }
  }
  return list;
}

}  // namespace

Result<net::SshSessionHandle> Session::make_client_session(const control::TargetGrant& grant) {
  net::SshSessionHandle session;
  if (handover_.options->prepared) session = std::move(handover_.options->prepared->target_leg);
  if (!session) {
    auto made = make_target_leg(*handover_.options);
    if (!made) return tl::unexpected(made.error());
    session = std::move(*made);
  }
  const std::string host_keys = host_key_algorithms(grant);
  if (host_keys.empty()) return fail(Errc::denied, "no host key is known for this target");
  ssh_options_set(session.get(), SSH_OPTIONS_USER, grant.account().c_str());
  ssh_options_set(session.get(), SSH_OPTIONS_HOSTKEYS, host_keys.c_str());
  return session;
}

Result<void> Session::check_host_key(const control::TargetGrant& grant, std::span<const std::byte> offered) const {
  const auto pinned = std::find_if(grant.host_keys().begin(), grant.host_keys().end(), [&](const std::string& blob) {
    return std::ranges::equal(bytes_of(blob), offered);
  });
  if (pinned != grant.host_keys().end()) return {};
  auto certificate = crypto::SshCertificate::parse_blob(offered);
  if (!certificate) return fail(Errc::denied, "the host key is not one of the pinned keys");
  const Bytes& ca = certificate->signature_key().blob();
  const bool trusted = std::any_of(grant.host_cas().begin(), grant.host_cas().end(),
                                   [&](const std::string& blob) { return std::ranges::equal(bytes_of(blob), ca); });
  if (!trusted) return fail(Errc::denied, "the host certificate is of a CA that is not listed for this target");
  if (auto sound = certificate->verify_signature(); !sound) return fail_in("host certificate", sound.error());
  Error last{Errc::denied, "no host name to check the certificate against"};
  for (const std::string& name : grant.host_names()) {
    crypto::SshCertificateUse use;
    use.type = crypto::SshCertificateType::host;
    use.now = std::chrono::duration_cast<std::chrono::seconds>(system_clock().wall().time_since_epoch()).count();
    use.principal = name;
    auto fits = certificate->check(use);
    if (fits) return {};
    last = fits.error();
  }
  return fail_in("host certificate", last);
}

void Session::tell_outcome(control::TargetOutcome::Step step, const std::string& detail, const std::string& credential) {
  control::Envelope told;
  auto* outcome = told.mutable_target_outcome();
  outcome->set_step(step);
  outcome->set_detail(escape_not_utf8(detail));  // may quote the target
  outcome->set_credential(credential);
  if (target_) {
    size_t size = 0;
    const void* key = ssh_session_host_key_blob(target_->raw(), &size);
    if (key != nullptr) outcome->set_host_key(key, size);
    outcome->set_target_algorithms(algorithms_of(target_->raw()));
  }
  outcome->set_client_algorithms(algorithms_of(client_->raw()));
  if (step == control::TargetOutcome::READY) return authority_.tell_soon(std::move(told));  // goes before the first channel's question
  authority_.tell(std::move(told));
}

boost::asio::awaitable<int> Session::drive_auth(std::function<int()> step) {
  const auto until = std::chrono::steady_clock::now() + k_login_deadline;
  for (;;) {
    const int status = step();
    target_->flush();
    if (status != SSH_AUTH_AGAIN) co_return status;
    if (target_->is_closed() || client_->is_closed() || !over_.empty() || ending_) co_return SSH_AUTH_ERROR;
    if (!co_await wake_.wait(until)) {
      target_silent_ = true;
      co_return SSH_AUTH_ERROR;
    }
  }
}

boost::asio::awaitable<Result<std::string>> Session::log_in_at_target(const control::TargetGrant& grant) {
  ssh_session raw = target_->raw();
  Error last{Errc::denied, "no credential is listed for this account"};
  for (const std::string& kind : grant.credentials()) {
    int status = SSH_AUTH_ERROR;
    if (kind == "certificate" && !grant.certificate().empty()) {
      ssh_key certificate = nullptr;
      const std::string text = crypto::to_base64(bytes_of(grant.certificate()));
      if (ssh_pki_import_cert_base64(text.c_str(), SSH_KEYTYPE_ED25519_CERT01, &certificate) != SSH_OK ||
          ssh_pki_copy_cert_to_privkey(certificate, ephemeral_) != SSH_OK) {
        ssh_key_free(certificate);
        co_return fail(Errc::internal, "the certificate for the target cannot be used");
      }
      ssh_key_free(certificate);
      status = co_await drive_auth([this, raw] { return ssh_userauth_publickey(raw, nullptr, ephemeral_); });
    } else {
      if (!host_key_told_) {  // the authority lends for a host key that it judged itself
        host_key_told_ = true;
        tell_outcome(control::TargetOutcome::CONNECTED, "");
      }
      const void* session_hash = nullptr;
      size_t session_hash_size = 0;
      size_t host_key_size = 0;
      const void* host_key = ssh_session_host_key_blob(raw, &host_key_size);
      ssh_session_id(raw, &session_hash, &session_hash_size);
      control::Envelope question;
      auto* request = question.mutable_credential_request();
      request->set_kind(kind);
      request->set_host_key(host_key, host_key_size);
      request->set_session_hash(session_hash, session_hash_size);
      auto answer = co_await authority_.call(std::move(question), k_open_deadline);
      if (!answer) {
        last = answer.error();
        continue;
      }
      if (kind == "agent" && answer->descriptors.size() == 1) {
        if (ssh_set_agent_socket(raw, answer->descriptors.front().get()) == SSH_OK) {
          static_cast<void>(answer->descriptors.front().release());  // libssh owns it now
          status = co_await drive_auth([raw] { return ssh_userauth_agent(raw, nullptr); });
        }
      } else if (kind == "password") {
        std::string* password = answer->envelope.mutable_credential()->mutable_password();
        tape_.know(Secret(std::string_view(*password)));
        status = co_await drive_auth([raw, password] { return ssh_userauth_password(raw, nullptr, password->c_str()); });
        if (status == SSH_AUTH_DENIED && (static_cast<unsigned>(ssh_userauth_list(raw, nullptr)) & SSH_AUTH_METHOD_INTERACTIVE) != 0) {
          bool answered = false;
          status = co_await drive_auth([raw, password, &answered] {
            int state = ssh_userauth_kbdint(raw, nullptr, nullptr);
            while (state == SSH_AUTH_INFO) {
              const int prompts = ssh_userauth_kbdint_getnprompts(raw);
              if (prompts > 1 || (prompts == 1 && answered)) return static_cast<int>(SSH_AUTH_DENIED);
              if (prompts == 1) {
                ssh_userauth_kbdint_setanswer(raw, 0, password->c_str());
                answered = true;
              }
              state = ssh_userauth_kbdint(raw, nullptr, nullptr);
            }
            return state;
          });
        }
        OPENSSL_cleanse(password->data(), password->size());
      }
    }
    if (status == SSH_AUTH_SUCCESS) co_return kind;
    if (target_silent_) co_return fail(Errc::unavailable, fmt::format("no answer to the login within {} seconds", k_login_deadline.count()));
    if (target_->is_closed()) co_return fail(Errc::unavailable, "during the login: " + printable(target_->close_reason(), 200));
    last = Error{Errc::denied, kind + " was not accepted"};
  }
  co_return tl::unexpected(last);
}

boost::asio::awaitable<bool> Session::reach_target() {
  if (ssh_pki_generate_key(SSH_KEYTYPE_ED25519, nullptr, &ephemeral_) != SSH_OK) {
    relay_->refuse_all(make_notice("SP-5000", "no key could be made"));
    co_return false;
  }
  control::Envelope question;
  const Bytes public_blob = public_blob_of(ephemeral_);
  question.mutable_open_target()->set_ephemeral_public_key(public_blob.data(), public_blob.size());
  if (identity_.bare()) {
    question.mutable_open_target()->set_target(identity_.target());
    question.mutable_open_target()->set_account(identity_.account());
  }
  // The authority dials while the vault makes the recording's key.
  // It may have to ask a person first, and the client may leave meanwhile.
  auto answered = std::make_shared<std::optional<Result<control::Received>>>();
  authority_.ask(std::move(question), k_open_deadline, [this, answered](Result<control::Received> answer) {
    *answered = std::move(answer);
    wake_.notify();
  });
  const bool recording = open_recording();
  while (!*answered && over_.empty() && !ending_ && !client_->is_closed()) {
    co_await wake_.wait();
    relay_->turn();
  }
  if (!recording || !*answered) co_return false;
  std::optional<Result<control::Received>>& granted = *answered;
  if (!*granted) {
    relay_->refuse_all(notice_of_error(granted->error()));
    co_return false;
  }
  control::Received received = std::move(**granted);
  grant_ = received.envelope.target_grant();
  if (grant_.refuse_before_dial() || received.descriptors.size() != 1) {
    relay_->refuse_all(grant_.refuse_before_dial() ? notice_of(grant_.refusal())
                                                   : make_notice("SP-5000", "the target's socket did not come"));
    co_return false;
  }
  auto session = make_client_session(grant_);
  if (!session) {
    relay_->refuse_all(make_notice("SP-3006", session.error().detail));
    co_return false;
  }
  target_ = std::make_unique<net::SshPump>(io_, std::move(*session), std::move(received.descriptors.front()));
  target_->forget_packets(true);
  target_->bound_input({});
  const auto until = std::chrono::steady_clock::now() + k_exchange_deadline;
  int status = ssh_connect(target_->raw());
  target_->start([this] { wake_.notify(); });
  while (status == SSH_AGAIN && !target_->is_closed() && !client_->is_closed() && over_.empty()) {
    if (!co_await wake_.wait(until)) break;
    status = ssh_connect(target_->raw());
    target_->flush();
  }
  if (client_->is_closed() || !over_.empty()) co_return false;
  if (status != SSH_OK) {
    const bool silent = status == SSH_AGAIN && !target_->is_closed();
    const char* error = ssh_get_error(target_->raw());
    const std::string ended = error != nullptr && *error != '\0' ? error : target_->close_reason();
    const std::string why = silent ? "nothing usable came within 10 seconds" : printable(ended, 200);
    tell_outcome(control::TargetOutcome::KEX_FAILED, why);
    target_->close();
    // A target that offers only other host key types than the pinned ones is not the target.
    const bool other_type = why.find("server host key") != std::string::npos;
    relay_->refuse_all(make_notice(silent ? "SP-3001" : other_type ? "SP-3006" : "SP-3008", why));
    co_return false;
  }
  size_t key_size = 0;
  const void* key = ssh_session_host_key_blob(target_->raw(), &key_size);
  const auto known = check_host_key(grant_, std::span(static_cast<const std::byte*>(key), key != nullptr ? key_size : 0));
#ifdef SALLYPORT_PLANTED_HOST_KEY_UNCHECKED
  const bool right_host = true;
#else
  const bool right_host = known.has_value();
#endif
  if (!right_host) {
    // Refused before any byte of authentication went out.
    tell_outcome(control::TargetOutcome::HOST_KEY_REFUSED, known.error().detail);
    ssh_disconnect(target_->raw());
    target_->close();
    relay_->refuse_all(make_notice("SP-3006", known.error().detail));
    co_return false;
  }
  auto logged_in = co_await log_in_at_target(grant_);
  if (client_->is_closed() || !over_.empty()) co_return false;
  if (!logged_in) {
    tell_outcome(control::TargetOutcome::AUTH_FAILED, logged_in.error().detail);
    target_->close();
    const bool gone = logged_in.error().code == Errc::unavailable;
    const bool sealed = logged_in.error().code == Errc::sealed;
    relay_->refuse_all(make_notice(target_silent_ ? "SP-3001" : gone ? "SP-3009" : sealed ? "SP-3011" : "SP-3007", logged_in.error().detail));
    co_return false;
  }
  tell_outcome(control::TargetOutcome::READY, "", *logged_in);
  const std::string fact = fmt::format(
      R"({{"event":"target.ready","address":{},"port":{},"account":{},"credential":{},"algorithms":{}}})", json_string(grant_.address()),
      grant_.port(), json_string(grant_.account()), json_string(*logged_in), json_string(algorithms_of(target_->raw())));
  if (tape_.event(fact) != Tape::Put::stored) {
    relay_->refuse_all(make_notice("SP-4001"));
    co_return false;
  }
  const auto to_relay = [](ssh_session, std::uint8_t type, const void* payload, size_t size, void* user) -> int {
    auto* self = static_cast<Session*>(user);
    self->relay_->on_message(Side::target, type, std::span(static_cast<const std::byte*>(payload), size));
    return SSH_PACKET_USED;
  };
  ssh_session_set_payload_handler(target_->raw(), 80, 100, to_relay, this);
  relay_->serve_target(*target_, grant_);
  target_->lift_bounds();
  target_->forget_packets(false);
  os::wipe_freed_memory(false);
  co_return true;
}

}  // namespace sallyport::gateway
