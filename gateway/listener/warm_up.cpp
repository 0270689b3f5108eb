#include "gateway/listener/warm_up.h"

#include <libssh/libssh.h>
#include <libssh/sallyport.h>
#include <libssh/server.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>

#include "gateway/ssh/algorithms.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/ed25519.h"
#include "platform/crypto/random.h"
#include "platform/crypto/ssh_wire.h"

namespace sallyport::gateway {
namespace {

constexpr const char* k_key_type = "ssh-ed25519";
constexpr int k_most_turns = 200;  ///< a handshake takes about ten

struct FreeSession {
  void operator()(ssh_session session) const noexcept { ssh_free(session); }
};
using SessionHandle = std::unique_ptr<ssh_session_struct, FreeSession>;

tl::unexpected<Error> refused(const char* what, ssh_session session) {
  return fail(Errc::internal, std::string(what) + ": " + (session != nullptr ? ssh_get_error(session) : "no memory"));
}

int sign_exchange(ssh_session, const char*, const void*, std::size_t, const void* hash, std::size_t hash_size,
                  unsigned char* out, std::size_t* out_size, void* user) {
  const auto& key = *static_cast<const crypto::Ed25519PrivateKey*>(user);
  const auto signature = key.sign({static_cast<const std::byte*>(hash), hash_size});
  crypto::SshWriter blob;
  blob.string(k_key_type).string(signature);
  if (blob.size() > *out_size) return -1;
  std::memcpy(out, blob.view().data(), blob.size());
  *out_size = blob.size();
  return 0;
}

Result<void> set_options(ssh_session session, const char* kex, const char* cipher) {
  const std::array<std::pair<ssh_options_e, const char*>, 8> wanted{
      {{SSH_OPTIONS_KEY_EXCHANGE, kex},
       {SSH_OPTIONS_HOSTKEYS, k_key_type},
       {SSH_OPTIONS_CIPHERS_C_S, cipher},
       {SSH_OPTIONS_CIPHERS_S_C, cipher},
       {SSH_OPTIONS_HMAC_C_S, k_macs},
       {SSH_OPTIONS_HMAC_S_C, k_macs},
       {SSH_OPTIONS_COMPRESSION, "no"},
       {SSH_OPTIONS_PUBLICKEY_ACCEPTED_TYPES, k_key_type}}};
  for (const auto& [option, value] : wanted)
    if (ssh_options_set(session, option, value) != SSH_OK) return refused("options", session);
  return {};
}

Result<SessionHandle> make_server(crypto::Ed25519PrivateKey& key, const char* kex, const char* cipher) {
  SessionHandle session(ssh_new());
  if (!session || ssh_session_use_external_io(session.get()) != SSH_OK ||
      ssh_session_server_init(session.get()) != SSH_OK)
    return refused("server session", session.get());
  auto set = set_options(session.get(), kex, cipher);
  if (!set) return tl::unexpected(set.error());
  crypto::SshWriter blob;
  blob.string(k_key_type).string(key.public_key());
  ssh_key public_key = nullptr;
  if (ssh_pki_import_pubkey_base64(crypto::to_base64(blob.view()).c_str(), SSH_KEYTYPE_ED25519, &public_key) != SSH_OK)
    return refused("host key", session.get());
  const int added = ssh_session_add_host_public_key(session.get(), public_key);
  ssh_key_free(public_key);
  if (added != SSH_OK || ssh_session_set_hostkey_signer(session.get(), sign_exchange, &key) != SSH_OK)
    return refused("host key", session.get());
  return session;
}

Result<SessionHandle> make_client(const char* kex, const char* cipher) {
  SessionHandle session(ssh_new());
  if (!session || ssh_session_use_external_io(session.get()) != SSH_OK) return refused("client session", session.get());
  if (ssh_options_set(session.get(), SSH_OPTIONS_USER, "warm-up") != SSH_OK) return refused("options", session.get());
  auto set = set_options(session.get(), kex, cipher);
  if (!set) return tl::unexpected(set.error());
  return session;
}

/// True when bytes moved.
bool move_bytes(ssh_session from, ssh_session to) {
  std::size_t size = 0;
  const void* bytes = ssh_session_output(from, &size);
  if (size == 0) return false;
  ssh_session_feed(to, bytes, size);
  ssh_session_output_consumed(from, size);
  return true;
}

/// Accepts whatever the client asks for: there is nothing behind this server.
void answer_messages(ssh_session server) {
  while (ssh_message message = ssh_message_get(server)) {
    if (ssh_message_type(message) == SSH_REQUEST_SERVICE) {
      ssh_message_service_reply_success(message);
    } else if (ssh_message_type(message) == SSH_REQUEST_AUTH) {
      ssh_message_auth_reply_success(message, 0);
    } else {
      ssh_message_reply_default(message);
    }
    ssh_message_free(message);
  }
}

/// Key exchange, then a login with a throw-away key: signatures are made and verified on the way.
Result<void> run_connection(crypto::Ed25519PrivateKey& host_key, ssh_key user_key, const char* kex,
                            const char* cipher) {
  auto server = make_server(host_key, kex, cipher);
  if (!server) return tl::unexpected(server.error());
  auto client = make_client(kex, cipher);
  if (!client) return tl::unexpected(client.error());
  int server_state = SSH_AGAIN;
  int client_state = SSH_AGAIN;
  int login = SSH_AUTH_AGAIN;
  for (int turn = 0; turn < k_most_turns && login != SSH_AUTH_SUCCESS; ++turn) {
    if (server_state == SSH_AGAIN) server_state = ssh_handle_key_exchange(server->get());
    if (client_state == SSH_AGAIN) client_state = ssh_connect(client->get());
    if (server_state == SSH_ERROR) return refused(kex, server->get());
    if (client_state == SSH_ERROR) return refused(kex, client->get());
    if (server_state == SSH_OK && client_state == SSH_OK) {
      login = ssh_userauth_publickey(client->get(), nullptr, user_key);
      if (login == SSH_AUTH_ERROR) return refused("login", client->get());
    }
    move_bytes(client->get(), server->get());
    if (server_state == SSH_OK) answer_messages(server->get());
    move_bytes(server->get(), client->get());
  }
  if (login != SSH_AUTH_SUCCESS) return fail(Errc::internal, std::string("the handshake with ") + kex + " did not end");
  ssh_disconnect(client->get());
  return {};
}

void ignore_log(int, const char*, const char*, void*) {}

}  // namespace

Result<void> warm_up() {
  // The library's own printer opens /etc/localtime.
  ssh_set_log_callback(ignore_log);
  if (ssh_init() != SSH_OK) return fail(Errc::internal, "ssh_init");
  auto host_key = crypto::Ed25519PrivateKey::generate(crypto::system_random());
  ssh_key user_key = nullptr;
  if (ssh_pki_generate_key(SSH_KEYTYPE_ED25519, nullptr, &user_key) != SSH_OK)
    return fail(Errc::internal, "no key for the warm-up");
  const std::unique_ptr<ssh_key_struct, decltype([](ssh_key key) { ssh_key_free(key); })> owner(user_key);
  constexpr std::array<std::array<const char*, 2>, 4> k_connections{
      {{"mlkem768x25519-sha256", "aes128-gcm@openssh.com"},
       {"sntrup761x25519-sha512@openssh.com", "chacha20-poly1305@openssh.com"},
       {"curve25519-sha256", "aes256-gcm@openssh.com"},
       {"curve25519-sha256", "aes128-ctr"}}};
  for (const auto& [kex, cipher] : k_connections) {
    auto done = run_connection(host_key, user_key, kex, cipher);
    if (!done) return done;
  }
  return {};
}

}  // namespace sallyport::gateway
