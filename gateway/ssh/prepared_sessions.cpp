#include "gateway/ssh/prepared_sessions.h"

#include <libssh/libssh.h>
#include <libssh/sallyport.h>
#include <libssh/server.h>

#include <cstdint>
#include <string>
#include <utility>

#include "gateway/ssh/algorithms.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/ssh_wire.h"

namespace sallyport::gateway {
namespace {

constexpr std::uint64_t k_rekey_bytes = 1ULL << 30;
constexpr std::uint32_t k_rekey_seconds = 3600;

struct FreeKey {
  void operator()(ssh_key key) const noexcept { ssh_key_free(key); }
};
using KeyHandle = std::unique_ptr<ssh_key_struct, FreeKey>;

Result<KeyHandle> import_public(const Bytes& blob) {
  crypto::SshReader reader(blob);
  const std::string type(reader.text());
  ssh_key key = nullptr;
  if (!reader.ok() ||
      ssh_pki_import_pubkey_base64(crypto::to_base64(blob).c_str(), ssh_key_type_from_name(type.c_str()), &key) != SSH_OK)
    return fail(Errc::invalid, "host key that libssh does not take");
  return KeyHandle(key);
}

void set_common_options(ssh_session session, const char* ciphers) {
  ssh_options_set(session, SSH_OPTIONS_CIPHERS_C_S, ciphers);
  ssh_options_set(session, SSH_OPTIONS_CIPHERS_S_C, ciphers);
  ssh_options_set(session, SSH_OPTIONS_HMAC_C_S, k_macs);
  ssh_options_set(session, SSH_OPTIONS_HMAC_S_C, k_macs);
  ssh_options_set(session, SSH_OPTIONS_COMPRESSION, "no");
  ssh_options_set(session, SSH_OPTIONS_REKEY_DATA, &k_rekey_bytes);
  ssh_options_set(session, SSH_OPTIONS_REKEY_TIME, &k_rekey_seconds);
  ssh_session_set_strict_kex_required(session, 1);
}

bool is_legacy(const SessionOptions& options) { return options.settings.text("compat").find("legacy-clients") != std::string::npos; }

}  // namespace

Result<net::SshSessionHandle> make_client_leg(const SessionOptions& options, const std::vector<Bytes>& certificates) {
  net::SshSessionHandle session(ssh_new());
  if (!session || ssh_session_use_external_io(session.get()) != SSH_OK || ssh_session_server_init(session.get()) != SSH_OK)
    return fail(Errc::internal, "libssh session");
  ssh_session raw = session.get();
  ssh_session_set_banner(raw, options.settings.text("banner", "Sallyport").c_str());
  ssh_options_set(raw, SSH_OPTIONS_KEY_EXCHANGE, is_legacy(options) ? k_client_kex_legacy : k_client_kex);
  ssh_options_set(raw, SSH_OPTIONS_PUBLICKEY_ACCEPTED_TYPES, k_user_key_algorithms);
  set_common_options(raw, k_client_ciphers);
  for (const Bytes& blob : options.host_keys) {
    auto key = import_public(blob);
    if (!key) return tl::unexpected(key.error());
    if (ssh_session_add_host_public_key(raw, key->get()) != SSH_OK) return fail(Errc::internal, "host key refused by libssh");
  }
  for (const Bytes& blob : certificates) ssh_session_add_host_certificate(raw, blob.data(), blob.size());
  ssh_set_auth_methods(raw, SSH_AUTH_METHOD_PUBLICKEY | SSH_AUTH_METHOD_PASSWORD | SSH_AUTH_METHOD_INTERACTIVE);
  return session;
}

Result<net::SshSessionHandle> make_target_leg(const SessionOptions& options) {
  net::SshSessionHandle session(ssh_new());
  if (!session || ssh_session_use_external_io(session.get()) != SSH_OK) return fail(Errc::internal, "libssh session");
  ssh_session raw = session.get();
  int off = 0;
  ssh_options_set(raw, SSH_OPTIONS_PROCESS_CONFIG, &off);
  ssh_options_set(raw, SSH_OPTIONS_HOST, "target");
  ssh_options_set(raw, SSH_OPTIONS_SSH_DIR, "/nonexistent");
  ssh_options_set(raw, SSH_OPTIONS_KEY_EXCHANGE, is_legacy(options) ? k_target_kex_legacy : k_target_kex);
  set_common_options(raw, k_target_ciphers);
  // OpenSSH's server tells `eow@openssh.com` (a program closed its input) only to peers whose version begins with its own name. Nothing else
  // in its table of peers follows from this one, and our layer above passes on all that such a peer must understand.
  ssh_session_set_banner(raw, "OpenSSH_Sallyport");
  return session;
}

std::shared_ptr<PreparedSessions> prepare_sessions(const SessionOptions& options) {
  auto client = make_client_leg(options, options.host_certificates);
  auto target = make_target_leg(options);
  if (!client || !target) return nullptr;
  return std::make_shared<PreparedSessions>(PreparedSessions{std::move(*client), std::move(*target)});
}

}  // namespace sallyport::gateway
