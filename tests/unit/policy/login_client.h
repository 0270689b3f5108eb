// What the tests of the login share: people with keys, a CA, and one connection that asks to come in.
#pragma once

#include "platform/crypto/base64.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/ssh_certificate.h"
#include "platform/crypto/ssh_private_key.h"
#include "platform/model/bytes.h"
#include "policy/identity/login.h"
#include "policy/identity/password.h"
#include "tests/unit/policy/policy_fixture.h"

namespace sallyport::policy::test {

using crypto::SshKeyType;
using crypto::SshPrivateKey;
using Method = LoginAttempt::Method;
using R = LoginAnswer::Result;

inline const std::string k_session = std::string(32, 's');

inline SshPrivateKey make_key(SshKeyType type = SshKeyType::ed25519) { return *SshPrivateKey::generate(type, 2048); }

struct Keys {
  SshPrivateKey engineer = make_key();
  SshPrivateKey second = make_key();
  SshPrivateKey other = make_key();
  SshPrivateKey expired = make_key();
  SshPrivateKey elsewhere = make_key();
  SshPrivateKey robot = make_key();
  SshPrivateKey rsa = make_key(SshKeyType::rsa);
  SshPrivateKey ecdsa = make_key(SshKeyType::ecdsa_p256);
  SshPrivateKey ca = make_key();
  SshPrivateKey stray_ca = make_key();
  SshPrivateKey unknown = make_key();
};
inline const Keys& keys() {
  static const Keys k;
  return k;
}

/// "correct horse", cheap enough for a test.
inline const std::string& password_hash() {
  static const std::string hash = *make_password_hash(Secret(std::string_view("correct horse")), "0123456789abcdef");
  return hash;
}

inline std::string login_policy(const std::string& more = {}) {
  const Keys& k = keys();
  const auto line = [](const SshPrivateKey& key) { return key.public_key().line(); };
  return "principals:\n"
         "  - {name: engineer, display: Ellen, totp: totp/engineer, password: \"" + password_hash() + "\", keys: [\"" + line(k.engineer) + "\", \"" + line(k.rsa) + "\", \"" +
         line(k.ecdsa) + "\", 'expiry-time=\"20260101\" " + line(k.expired) + "', 'from=\"192.0.2.0/24\" " + line(k.elsewhere) + "']}\n"
         "  - {name: other, keys: [\"" + line(k.other) + "\"]}\n"
         "  - {name: careful, factors: 2, totp: totp/careful, keys: [\"" + line(k.second) + "\"]}\n"
         "  - {name: robot, type: machine, expires: 2026-12-01T00:00:00Z, networks: [10.0.0.0/8], keys: [\"" + line(k.robot) + "\"]}\n"
         "  - {name: plain}\n"
         "trusted_user_cas: [{name: corp, key: \"" + line(k.ca) + "\"}]\n"
         "targets:\n"
         "  - {name: one, address: 192.0.2.1, host_keys: [\"" + k_key_b + "\"], accounts: [{name: deploy}]}\n"
         "  - {name: two, address: 192.0.2.2, host_keys: [\"" + k_key_b + "\"], accounts: [{name: deploy}, {name: root}]}\n"
         "  - {name: safe, address: 192.0.2.3, host_keys: [\"" + k_key_b + "\"], accounts: [{name: deploy}]}\n"
         "roles:\n"
         "  - {name: r, allow: [{channels: [shell], targets: {names: [one, two]}, accounts: [\"*\"]}]}\n"
         "  - {name: s, allow: [{channels: [shell], targets: {names: [safe]}, accounts: [\"*\"], mfa_within: 10m}]}\n"
         "  - {name: mixed, allow: [{channels: [sftp], targets: {names: [one]}, accounts: [deploy], mfa_within: 10m}]}\n"
         "bindings:\n"
         "  - {role: r, principals: [engineer, other, robot, careful]}\n"
         "  - {role: s, principals: [careful]}\n" + more;
}

inline const Snapshot& policy() {
  static const auto snapshot = must_load(login_policy());
  return *snapshot;
}

inline std::string blob_of(const SshPrivateKey& key) { return std::string(text_of(key.public_key().blob())); }

/// One connection.
struct Client {
  explicit Client(LoginContext context = LoginContext{*IpAddress::parse("10.1.2.3"), {}, {}}) : login(std::move(context)) {}

  Login login;
  Throttle throttle;
  Locks locks;
  std::shared_ptr<const Snapshot> snapshot;  // another than policy()
  LoginTimes now{k_noon, 1h};
  bool code_is_right = true;
  int password_checks = 0;
  std::string checked_hash;

  LoginAnswer send(LoginAttempt attempt) {
    const Snapshot& s = snapshot ? *snapshot : policy();
    Login::Step step = login.take(std::move(attempt), s, locks, throttle, now);
    while (!std::holds_alternative<LoginAnswer>(step)) {
      if (const auto* check = std::get_if<PasswordCheck>(&step)) {
        ++password_checks;
        checked_hash = check->hash;
        step = login.resume(verify_password(check->hash, check->password), s, locks, throttle, now);
      } else {
        step = login.resume(code_is_right, s, locks, throttle, now);
      }
    }
    return std::get<LoginAnswer>(std::move(step));
  }

  static LoginAttempt base(const std::string& user, Method method) {
    LoginAttempt attempt;
    attempt.user = user;
    attempt.method = method;
    return attempt;
  }
  LoginAnswer none(const std::string& user) { return send(base(user, Method::none)); }
  LoginAnswer offer(const std::string& user, const std::string& blob, const std::string& algorithm = "ssh-ed25519") {
    LoginAttempt attempt = base(user, Method::publickey);
    attempt.probe = true;
    attempt.algorithm = algorithm;
    attempt.key_blob = blob;
    attempt.session_hash = k_session;
    return send(std::move(attempt));
  }
  static LoginAttempt signed_attempt(const std::string& user, const std::string& blob, const SshPrivateKey& key, const std::string& algorithm) {
    LoginAttempt attempt = base(user, Method::publickey);
    attempt.algorithm = algorithm;
    attempt.key_blob = blob;
    attempt.session_hash = k_session;
    crypto::SshWriter request;
    request.u8(50).string(user).string("ssh-connection").string("publickey").u8(1).string(algorithm).string(blob);
    attempt.signed_data = std::string(text_of(request.view()));
    crypto::SshWriter data;
    data.string(k_session).raw(request.view());
    const bool is_rsa = algorithm.starts_with("rsa");
    attempt.signature = std::string(text_of(*key.sign(data.view(), is_rsa ? algorithm.substr(0, 12) : std::string_view())));
    return attempt;
  }
  LoginAnswer sign(const std::string& user, const SshPrivateKey& key, const std::string& algorithm = "ssh-ed25519") {
    return send(signed_attempt(user, blob_of(key), key, algorithm));
  }
  LoginAnswer sign_certificate(const std::string& user, const std::string& blob, const SshPrivateKey& key) {
    return send(signed_attempt(user, blob, key, "ssh-ed25519-cert-v01@openssh.com"));
  }
  LoginAnswer password(const std::string& user, std::string_view text) {
    LoginAttempt attempt = base(user, Method::password);
    attempt.password = Secret(text);
    return send(std::move(attempt));
  }
  LoginAnswer interactive(const std::string& user) { return send(base(user, Method::keyboard_interactive)); }
  LoginAnswer respond(const std::string& user, std::string_view text) {
    LoginAttempt attempt = base(user, Method::keyboard_interactive);
    attempt.responses.emplace_back(text);
    return send(std::move(attempt));
  }
};

inline crypto::SshCertificateFields good_fields() {
  crypto::SshCertificateFields fields;
  fields.serial = 7;
  fields.key_id = "ellen@corp";
  fields.principals = {"engineer"};
  fields.valid_after = 1'700'000'000;
  fields.valid_before = crypto::k_ssh_forever;
  fields.extensions = {{"permit-pty", ""}};
  return fields;
}

inline std::string certificate(const crypto::SshCertificateFields& fields, const SshPrivateKey& ca = keys().ca) {
  return std::string(text_of(*crypto::build_ssh_certificate(keys().unknown.public_key(), fields, ca.public_key(), [&](std::span<const std::byte> data) { return ca.sign(data); })));
}

}  // namespace sallyport::policy::test
