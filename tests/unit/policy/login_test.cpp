#include "platform/crypto/base64.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/ssh_certificate.h"
#include "platform/crypto/ssh_private_key.h"
#include "platform/model/bytes.h"
#include "policy/identity/login.h"
#include "policy/identity/password.h"
#include "tests/unit/policy/policy_fixture.h"

namespace sallyport::policy::test {
namespace {

using crypto::SshKeyType;
using crypto::SshPrivateKey;
using Method = LoginAttempt::Method;
using R = LoginAnswer::Result;

const std::string k_session = std::string(32, 's');

SshPrivateKey make_key(SshKeyType type = SshKeyType::ed25519) { return *SshPrivateKey::generate(type, 2048); }

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
const Keys& keys() {
  static const Keys k;
  return k;
}

/// "correct horse", cheap enough for a test.
const std::string& password_hash() {
  static const std::string hash = *make_password_hash(Secret(std::string_view("correct horse")), "0123456789abcdef");
  return hash;
}

std::string login_policy(const std::string& more = {}) {
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

const Snapshot& policy() {
  static const auto snapshot = must_load(login_policy());
  return *snapshot;
}

std::string blob_of(const SshPrivateKey& key) { return std::string(text_of(key.public_key().blob())); }

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

crypto::SshCertificateFields good_fields() {
  crypto::SshCertificateFields fields;
  fields.serial = 7;
  fields.key_id = "ellen@corp";
  fields.principals = {"engineer"};
  fields.valid_after = 1'700'000'000;
  fields.valid_before = crypto::k_ssh_forever;
  fields.extensions = {{"permit-pty", ""}};
  return fields;
}

std::string certificate(const crypto::SshCertificateFields& fields, const SshPrivateKey& ca = keys().ca) {
  return std::string(text_of(*crypto::build_ssh_certificate(keys().unknown.public_key(), fields, ca.public_key(), [&](std::span<const std::byte> data) { return ca.sign(data); })));
}

}  // namespace

TEST_CASE("user strings are read from the right and nothing looser", "[policy][login]") {
  struct Case {
    std::string text;
    bool right;
    UserString expected;
  };
  const std::vector<Case> cases{{"engineer", true, {"engineer", "", ""}},
                                {"engineer+recs-1", true, {"engineer", "", "recs-1"}},
                                {"engineer+deploy+recs-1", true, {"engineer", "deploy", "recs-1"}},
                                {"e.x_y-1+DOMAIN\\user+t.1", true, {"e.x_y-1", "DOMAIN\\user", "t.1"}},
                                {"engineer+svc$+recs-1", true, {"engineer", "svc$", "recs-1"}},
                                {"", false, {}},
                                {"+", false, {}},
                                {"engineer+", false, {}},
                                {"+recs-1", false, {}},
                                {"engineer++recs-1", false, {}},
                                {"a+b+c+d", false, {}},
                                {"Engineer", false, {}},
                                {"engineer@recs-1", false, {}},
                                {"engineer:recs-1", false, {}},
                                {" engineer", false, {}},
                                {"engineer\n", false, {}},
                                {std::string("engineer\0", 9), false, {}},
                                {"engineer+dep loy+recs-1", false, {}},
                                {"engineer+-x+recs-1", false, {}},
                                {"engineer+deploy+RECS-1", false, {}},
                                {"-engineer", false, {}},
                                {std::string(64, 'a'), false, {}},
                                {std::string(63, 'a'), true, {std::string(63, 'a'), "", ""}},
                                {std::string(300, 'a'), false, {}}};
  for (const Case& c : cases) {
    INFO(c.text);
    const auto parsed = parse_user_string(c.text);
    REQUIRE(parsed.has_value() == c.right);
    if (!parsed) continue;
    CHECK(parsed->principal == c.expected.principal);
    CHECK(parsed->account == c.expected.account);
    CHECK(parsed->target == c.expected.target);
  }
}

TEST_CASE("an offered key proves nothing", "[policy][login]") {
  Client client;
  const LoginAnswer answer = client.offer("engineer+deploy+one", blob_of(keys().engineer));
  CHECK(answer.result == R::key_ok);
  CHECK_FALSE(answer.identity);
  CHECK(answer.event.result == "offered");
  CHECK(client.login.factors_proven() == 0);
  // Neither does the offer of one key together with the signature of another.
  const LoginAnswer refused = client.sign("engineer+deploy+one", keys().unknown);
  CHECK(refused.result == R::refused);
  CHECK(client.login.factors_proven() == 0);
}

TEST_CASE("keys of every kind prove their principal", "[policy][login]") {
  const std::vector<std::pair<const SshPrivateKey*, std::string>> cases{{&keys().engineer, "ssh-ed25519"},
                                                                        {&keys().rsa, "rsa-sha2-256"},
                                                                        {&keys().rsa, "rsa-sha2-512"},
                                                                        {&keys().ecdsa, "ecdsa-sha2-nistp256"}};
  for (const auto& [key, algorithm] : cases) {
    INFO(algorithm);
    Client client;
    CHECK(client.offer("engineer+deploy+one", blob_of(*key), algorithm).result == R::key_ok);
    const LoginAnswer answer = client.sign("engineer+deploy+one", *key, algorithm);
    REQUIRE(answer.result == R::success);
    CHECK(answer.identity->principal.str() == "engineer");
    CHECK(answer.identity->display == "Ellen");
    CHECK(answer.identity->account.str() == "deploy");
    CHECK(answer.identity->target.str() == "one");
    CHECK(answer.identity->key_fingerprint == key->public_key().fingerprint());
    CHECK(answer.identity->factors.size() == 1);
    CHECK(answer.event.result == "success");
  }
}

TEST_CASE("a security key must be touched, and counts twice when it verified its user", "[policy][login][sk]") {
  // What a token does, with an ordinary ed25519 key: SHA-256 of the application, flags, counter, SHA-256 of the data.
  const SshPrivateKey token = make_key();
  crypto::SshReader plain(token.public_key().blob());
  (void)plain.string();
  crypto::SshWriter public_blob;
  public_blob.string("sk-ssh-ed25519@openssh.com").string(plain.string()).string("ssh:");
  const std::string blob(text_of(public_blob.view()));
  const std::string line = "sk-ssh-ed25519@openssh.com " + crypto::to_base64(public_blob.view());
  const auto snapshot_with = [&](const std::string& options) {
    return must_load("principals:\n  - {name: engineer, factors: 2, totp: t, keys: ['" + options + line + "']}\n");
  };
  const auto signed_with = [&](std::uint8_t flags) {
    LoginAttempt attempt = Client::signed_attempt("engineer", blob, token, "sk-ssh-ed25519@openssh.com");
    crypto::SshWriter data;
    data.string(k_session).raw(bytes_of(attempt.signed_data));
    crypto::SshWriter message;
    message.raw(crypto::sha256(bytes_of("ssh:"))).u8(flags).u32(7).raw(crypto::sha256(data.view()));
    const auto raw = *token.sign(message.view());
    crypto::SshReader parts(raw);
    (void)parts.string();
    crypto::SshWriter signature;
    signature.string("sk-ssh-ed25519@openssh.com").string(parts.string()).u8(flags).u32(7);
    attempt.signature = std::string(text_of(signature.view()));
    return attempt;
  };
  const auto result_of = [&](std::uint8_t flags, const std::string& options = {}) {
    Client client;
    client.snapshot = snapshot_with(options);
    return client.send(signed_with(flags));
  };
  CHECK(result_of(1).result == R::partial);
  const LoginAnswer verified = result_of(5);
  REQUIRE(verified.result == R::success);
  CHECK(verified.identity->factors.at(0).user_verified);
  CHECK(second_factor_time(verified.identity->factors) == k_noon);
  const LoginAnswer untouched = result_of(0);
  CHECK(untouched.result == R::refused);
  CHECK(untouched.event.reason == "the security key was not touched");
  CHECK(result_of(1, "verify-required ").result == R::refused);
  CHECK(result_of(5, "verify-required ").result == R::success);
}

TEST_CASE("keys that must not open are refused", "[policy][login]") {
  const Keys& k = keys();
  SECTION("one that is enrolled for nobody") { CHECK(Client().sign("engineer", k.unknown).event.reason == "the key is enrolled for nobody"); }
  SECTION("another principal's") {
    Client client;
    const LoginAnswer answer = client.sign("engineer", k.other);
    CHECK(answer.result == R::refused);
    CHECK(answer.event.reason == "the key is of another principal");
  }
  SECTION("an expired one") { CHECK(Client().offer("engineer", blob_of(k.expired)).event.reason == "the key has expired"); }
  SECTION("one from the wrong network") {
    CHECK(Client().offer("engineer", blob_of(k.elsewhere)).result == R::refused);
    CHECK(Client(LoginContext{*IpAddress::parse("192.0.2.9"), {}, {}}).sign("engineer", k.elsewhere).result == R::success);
  }
  SECTION("SHA-1 signatures") { CHECK(Client().offer("engineer", blob_of(k.rsa), "ssh-rsa").result == R::refused); }
  SECTION("an algorithm that is not the key's") { CHECK(Client().offer("engineer", blob_of(k.engineer), "rsa-sha2-512").result == R::refused); }
  SECTION("rubbish") {
    CHECK(Client().offer("engineer", "rubbish").result == R::refused);
    CHECK(Client().offer("engineer", "").result == R::refused);
  }
}

TEST_CASE("a signature counts for this connection and this request only", "[policy][login]") {
  const auto attempt = [] { return Client::signed_attempt("engineer", blob_of(keys().engineer), keys().engineer, "ssh-ed25519"); };
  const auto refused = [](LoginAttempt changed) {
    Client client;
    const LoginAnswer answer = client.send(std::move(changed));
    CHECK(client.login.failures() == 1);
    return answer.result == R::refused && !answer.identity;
  };
  REQUIRE(Client().send(attempt()).result == R::success);
  SECTION("another session identifier") {
    LoginAttempt a = attempt();
    a.session_hash = std::string(32, 'x');
    CHECK(refused(std::move(a)));
  }
  SECTION("no session identifier") {
    LoginAttempt a = attempt();
    a.session_hash.clear();
    CHECK(refused(std::move(a)));
  }
  SECTION("a flipped bit in the signature") {
    LoginAttempt a = attempt();
    a.signature.back() = static_cast<char>(a.signature.back() ^ 1);
    CHECK(refused(std::move(a)));
  }
  SECTION("signed for another user") {
    LoginAttempt a = Client::signed_attempt("other", blob_of(keys().engineer), keys().engineer, "ssh-ed25519");
    a.user = "engineer";
    CHECK(refused(std::move(a)));
  }
  SECTION("signed for another key") {
    LoginAttempt a = Client::signed_attempt("engineer", blob_of(keys().unknown), keys().unknown, "ssh-ed25519");
    a.key_blob = blob_of(keys().engineer);
    CHECK(refused(std::move(a)));
  }
  SECTION("no signature") {
    LoginAttempt a = attempt();
    a.signature.clear();
    CHECK(refused(std::move(a)));
  }
  SECTION("signed data with something behind it") {
    LoginAttempt a = attempt();
    a.signed_data += '\0';
    CHECK(refused(std::move(a)));
  }
  SECTION("the session's own word that it refused the signature") {
    LoginAttempt a = attempt();
    a.invalid_signature = true;
    CHECK(refused(std::move(a)));
  }
}

TEST_CASE("a changed user name ends the connection", "[policy][login]") {
  Client client;
  CHECK(client.none("engineer").result == R::refused);
  CHECK(client.sign("other", keys().other).result == R::disconnect);
  CHECK(client.sign("engineer", keys().engineer).result == R::disconnect);
  Client by_target;
  CHECK(by_target.offer("engineer+deploy+one", blob_of(keys().engineer)).result == R::key_ok);
  const LoginAnswer answer = by_target.sign("engineer+root+two", keys().engineer);
  CHECK(answer.result == R::disconnect);
  CHECK(answer.event.code == "SP-1003");
  CHECK_FALSE(answer.identity);
}

TEST_CASE("six failures end the connection", "[policy][login]") {
  Client client;
  for (int i = 0; i < 5; ++i) CHECK(client.offer("engineer", blob_of(keys().unknown)).result == R::refused);
  const LoginAnswer last = client.password("engineer", "wrong");
  CHECK(last.result == R::disconnect);
  CHECK(last.event.code == "SP-1002");
  CHECK(last.message.find("SP-1002") != std::string::npos);
  CHECK(client.sign("engineer", keys().engineer).result == R::disconnect);
  CHECK(client.login.failures() == 6);
}

TEST_CASE("accepted offers and methods asked for do not go on for ever", "[policy][login]") {
  Client client;
  CHECK(client.none("engineer").result == R::refused);
  CHECK(client.login.failures() == 0);
  CHECK(client.none("engineer").result == R::refused);
  CHECK(client.login.failures() == 1);
  LoginAnswer answer;
  for (int i = 0; i < 30 && answer.result != R::disconnect; ++i) answer = client.offer("engineer", blob_of(keys().engineer));
  CHECK(answer.result == R::disconnect);
}

TEST_CASE("unknown and known principals get the same answers and cost the same work", "[policy][login]") {
  const auto same = [](const LoginAnswer& a, const LoginAnswer& b) {
    CHECK(a.result == b.result);
    CHECK(a.methods_left == b.methods_left);
    CHECK(a.delay == b.delay);
    CHECK(a.prompts.size() == b.prompts.size());
    CHECK(a.message == b.message);
  };
  for (const char* stranger : {"nobody", "plain", "NOT A NAME", "a+b+c+d"}) {
    INFO(stranger);
    Client known;
    Client unknown;
    same(known.none("engineer"), unknown.none(stranger));
    same(known.offer("engineer", blob_of(keys().unknown)), unknown.offer(stranger, blob_of(keys().unknown)));
    same(known.password("engineer", "wrong"), unknown.password(stranger, "wrong"));
    CHECK(known.password_checks == 1);
    CHECK(unknown.password_checks == 1);
    CHECK(password_cost(known.checked_hash) == password_cost(unknown.checked_hash));
    same(known.interactive("engineer"), unknown.interactive(stranger));
    same(known.respond("engineer", "wrong"), unknown.respond(stranger, "wrong"));
    CHECK(unknown.password_checks == 2);
    same(known.sign("engineer", keys().unknown), unknown.sign(stranger, keys().unknown));
    CHECK(unknown.login.factors_proven() == 0);
  }
}

TEST_CASE("a password proves who has one", "[policy][login]") {
  CHECK(Client().password("engineer", "correct horse").result == R::success);
  CHECK(Client().password("engineer", "Correct horse").result == R::refused);
  CHECK(Client().password("engineer", "").result == R::refused);
  CHECK(Client().password("engineer", std::string_view("correct horse\0", 14)).result == R::refused);
  CHECK(Client().password("plain", "").result == R::refused);
  CHECK(Client().password("robot", "").result == R::refused);
  Client interactive;
  const LoginAnswer asked = interactive.interactive("engineer");
  REQUIRE(asked.result == R::ask);
  CHECK(asked.prompts.at(0).text == "Password: ");
  CHECK_FALSE(asked.prompts.at(0).echo);
  CHECK(interactive.respond("engineer", "correct horse").result == R::success);
  CHECK(Client().respond("engineer", "correct horse").result == R::refused);  // nothing was asked
}

TEST_CASE("a password over one KiB is refused before any hashing", "[policy][login]") {
  Client client;
  CHECK(client.password("engineer", std::string(1025, 'x')).result == R::refused);
  CHECK(client.password_checks == 0);
  CHECK(client.password("engineer", std::string(1024, 'x')).result == R::refused);
  CHECK(client.password_checks == 1);
}

TEST_CASE("two factors are two different ones of one principal", "[policy][login]") {
  Client client;
  const LoginAnswer first = client.sign("careful", keys().second);
  REQUIRE(first.result == R::partial);
  CHECK(first.methods_left == std::vector<std::string>{"keyboard-interactive"});
  CHECK_FALSE(first.identity);
  CHECK(client.login.factors_proven() == 1);
  SECTION("the code completes it") {
    const LoginAnswer asked = client.interactive("careful");
    REQUIRE(asked.result == R::ask);
    CHECK(asked.prompts.at(0).text == "One-time code: ");
    const LoginAnswer done = client.respond("careful", "123456");
    REQUIRE(done.result == R::success);
    CHECK(done.identity->factors.size() == 2);
    CHECK(done.identity->bare);
  }
  SECTION("a wrong code does not") {
    client.code_is_right = false;
    CHECK(client.interactive("careful").result == R::ask);
    CHECK(client.respond("careful", "123456").result == R::refused);
    CHECK(client.login.factors_proven() == 1);
  }
  SECTION("the same key again is no second factor") { CHECK(client.sign("careful", keys().second).result == R::refused); }
  SECTION("a factor of another principal ends the connection") {
    const LoginAnswer foreign = client.sign("careful", keys().other);
    CHECK(foreign.result == R::disconnect);
    CHECK(foreign.event.code == "SP-1004");
  }
  SECTION("a certificate of another principal ends it too") {
    CHECK(client.sign_certificate("careful", certificate(good_fields()), keys().unknown).event.code == "SP-1004");
  }
  SECTION("another name ends it") { CHECK(client.interactive("engineer").result == R::disconnect); }
}

TEST_CASE("a role that wants a second factor makes the login ask for it", "[policy][login]") {
  // careful has `factors: 2` anyway; engineer is asked only where a role says so.
  const auto snapshot = must_load(login_policy("  - {role: s, principals: [engineer, other]}\n"));
  Client client;
  client.snapshot = snapshot;
  CHECK(client.sign("engineer+deploy+safe", keys().engineer).result == R::partial);
  Client without_account;
  without_account.snapshot = snapshot;
  CHECK(without_account.sign("engineer+safe", keys().engineer).result == R::partial);
  Client elsewhere;
  elsewhere.snapshot = snapshot;
  CHECK(elsewhere.sign("engineer+deploy+one", keys().engineer).result == R::success);
  // Also when one factor opens a part of what the target has.
  const auto mixed = must_load(login_policy("  - {role: mixed, principals: [engineer]}\n"));
  Client half;
  half.snapshot = mixed;
  CHECK(half.sign("engineer+deploy+one", keys().engineer).result == R::partial);
  Client other_account;
  other_account.snapshot = mixed;
  CHECK(other_account.sign("engineer+root+two", keys().engineer).result == R::success);
  Client bare;
  bare.snapshot = snapshot;
  CHECK(bare.sign("engineer", keys().engineer).result == R::partial);
  // Who has no second factor gets in, and the decision tells why the target stays shut.
  Client poor;
  poor.snapshot = snapshot;
  const LoginAnswer answer = poor.sign("other+deploy+safe", keys().other);
  REQUIRE(answer.result == R::success);
  AccessRequest request = ask(ChannelKind::shell, "safe");
  request.principal = PrincipalId("other");
  request.factors = answer.identity->factors;
  CHECK(decide(*snapshot, {}, request).code == "SP-2006");
}

TEST_CASE("a target without an account means the only one that is granted", "[policy][login]") {
  const LoginAnswer one = Client().sign("engineer+one", keys().engineer);
  REQUIRE(one.result == R::success);
  CHECK(one.identity->account.str() == "deploy");
  CHECK(one.identity->problem_code.empty());
  const LoginAnswer several = Client().sign("engineer+two", keys().engineer);
  REQUIRE(several.result == R::success);
  CHECK(several.identity->problem_code == "SP-2021");
  CHECK(several.identity->problem.find("deploy, root") != std::string::npos);
  const LoginAnswer none = Client().sign("engineer+safe", keys().engineer);
  REQUIRE(none.result == R::success);
  CHECK(none.identity->problem_code == "SP-2020");
  CHECK(Client().sign("engineer+nowhere", keys().engineer).identity->problem_code == "SP-2020");
}

TEST_CASE("certificates are judged by type, CA, time, principal and options", "[policy][login][certificate]") {
  const auto result_of = [](const crypto::SshCertificateFields& fields, const SshPrivateKey& ca = keys().ca, const char* user = "engineer", const char* source = "10.1.2.3") {
    Client client(LoginContext{*IpAddress::parse(source), {}, {}});
    return client.sign_certificate(user, certificate(fields, ca), keys().unknown).result;
  };
  const auto changed = [](const std::function<void(crypto::SshCertificateFields&)>& change) {
    auto fields = good_fields();
    change(fields);
    return fields;
  };
  CHECK(result_of(good_fields()) == R::success);
  CHECK(result_of(good_fields(), keys().stray_ca) == R::refused);
  CHECK(result_of(good_fields(), keys().ca, "other") == R::refused);
  CHECK(result_of(good_fields(), keys().ca, "nobody") == R::refused);
  CHECK(result_of(changed([](auto& f) { f.principals = {"nobody"}; }), keys().ca, "nobody") == R::refused);
  CHECK(result_of(changed([](auto& f) { f.principals.clear(); })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.principals = {"engineer*"}; })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.type = crypto::SshCertificateType::host; })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.valid_before = 1'700'000'001; })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.valid_after = 1'900'000'000; })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.critical_options = {{"future-option@example", "x"}}; })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.critical_options = {{"source-address", "10.0.0.0/8"}}; })) == R::success);
  CHECK(result_of(changed([](auto& f) { f.critical_options = {{"source-address", "10.0.0.0/8"}}; }), keys().ca, "engineer", "192.0.2.1") == R::refused);
  CHECK(result_of(changed([](auto& f) { f.critical_options = {{"verify-required", ""}}; })) == R::refused);

  Client client;
  const auto fields = changed([](auto& f) { f.critical_options = {{"force-command", "backup --now"}}; });
  CHECK(client.offer("engineer", certificate(fields), "ssh-ed25519-cert-v01@openssh.com").result == R::key_ok);
  const LoginAnswer answer = client.sign_certificate("engineer", certificate(fields), keys().unknown);
  REQUIRE(answer.result == R::success);
  REQUIRE(answer.identity->certificate);
  CHECK(answer.identity->certificate->force_command == "backup --now");
  CHECK(answer.identity->certificate->permit_pty);
  CHECK_FALSE(answer.identity->certificate->permit_port_forwarding);
  CHECK(answer.identity->certificate_id == "ellen@corp serial 7");
  CHECK(answer.identity->factors.at(0).kind == FactorKind::certificate);
  CHECK(answer.event.method == "certificate");
  // The certified key alone is nobody's.
  CHECK(Client().sign("engineer", keys().unknown).result == R::refused);
}

TEST_CASE("a revoked certificate is refused", "[policy][login][certificate]") {
  const std::string with_krl = [] {
    std::string text = login_policy();
    const std::string entry = "{name: corp, key: \"" + keys().ca.public_key().line() + "\"}";
    return text.replace(text.find(entry), entry.size(), entry.substr(0, entry.size() - 1) + ", krl: revoked.krl}");
  }();
  const auto result_with = [&](const std::string& krl) {
    const std::vector<SourceFile> files{{"policy.yaml", with_krl}, {"revoked.krl", krl}};
    const Loaded loaded = load_policy(files);
    INFO(describe(loaded.problems));
    REQUIRE(loaded.snapshot);
    Client client;
    client.snapshot = loaded.snapshot;
    return client.sign_certificate("engineer", certificate(good_fields()), keys().unknown);
  };
  CHECK(result_with(keys().other.public_key().line() + "\n").result == R::success);
  const LoginAnswer revoked = result_with(keys().unknown.public_key().line() + "\n");
  CHECK(revoked.result == R::refused);
  CHECK(revoked.event.reason == "the certificate is revoked");

  const std::vector<SourceFile> missing{{"policy.yaml", with_krl}};
  CHECK(describe(load_policy(missing).problems).find("there is no file `revoked.krl`") != std::string::npos);
  const std::vector<SourceFile> broken{{"policy.yaml", with_krl}, {"revoked.krl", std::string("SSHKRL\n\0rubbish", 15)}};
  CHECK(load_policy(broken).snapshot == nullptr);
}

TEST_CASE("locked, expired and misplaced principals learn it only after the proof", "[policy][login]") {
  Client locked;
  Lock lock;
  lock.principal = "engineer";
  lock.reason = "incident 7";
  locked.locks = Locks({lock});
  CHECK(locked.offer("engineer", blob_of(keys().engineer)).result == R::key_ok);
  const LoginAnswer answer = locked.sign("engineer", keys().engineer);
  CHECK(answer.result == R::disconnect);
  CHECK(answer.event.code == "SP-1008");
  CHECK(answer.message.find("incident 7") != std::string::npos);
  CHECK_FALSE(answer.identity);
  Client guess;
  guess.locks = locked.locks;
  CHECK(guess.password("engineer", "wrong").result == R::refused);
  CHECK(Client(LoginContext{*IpAddress::parse("192.0.2.1"), {}, {}}).sign("robot", keys().robot).event.code == "SP-1010");
  CHECK(Client().sign("robot", keys().robot).result == R::success);
  Client late;
  late.now.wall += 24h * 20;
  CHECK(late.offer("robot", blob_of(keys().robot)).result == R::key_ok);
  CHECK(late.sign("robot", keys().robot).event.code == "SP-1009");
}

TEST_CASE("a jump is proven again by the key of the same principal", "[policy][login][jump]") {
  const auto context = [](std::vector<ProvenFactor> factors = {{FactorKind::key, k_noon, false}}) {
    return LoginContext{*IpAddress::parse("10.1.2.3"), OuterLogin{PrincipalId("engineer"), TargetId("one"), std::move(factors)}, {}};
  };
  SECTION("by key") {
    Client client(context());
    CHECK(client.none("deploy").methods_left == std::vector<std::string>{"publickey"});
    const LoginAnswer answer = client.sign("deploy", keys().engineer);
    REQUIRE(answer.result == R::success);
    CHECK(answer.identity->principal.str() == "engineer");
    CHECK(answer.identity->account.str() == "deploy");
    CHECK(answer.identity->target.str() == "one");
    CHECK(answer.identity->factors.size() == 1);
  }
  SECTION("second factors of the outer login count, its key does not") {
    Client client(context({{FactorKind::key, k_noon, false}, {FactorKind::totp, k_noon - 1min, false}}));
    const LoginAnswer answer = client.sign("deploy", keys().engineer);
    REQUIRE(answer.result == R::success);
    CHECK(answer.identity->factors.size() == 2);
    CHECK(second_factor_time(answer.identity->factors) == k_noon - 1min);
  }
  SECTION("by certificate") {
    Client client(context());
    CHECK(client.sign_certificate("deploy", certificate(good_fields()), keys().unknown).result == R::success);
  }
  SECTION("never by another principal") {
    Client client(context());
    const LoginAnswer answer = client.sign("deploy", keys().other);
    CHECK(answer.result == R::refused);
    CHECK(answer.event.code == "SP-1006");
  }
  SECTION("never without proof") {
    Client client(context());
    CHECK(client.none("deploy").result == R::refused);
    CHECK(client.password("deploy", "correct horse").event.code == "SP-1007");
    CHECK(client.interactive("deploy").event.code == "SP-1007");
    CHECK(client.password_checks == 0);
    CHECK(client.login.factors_proven() == 0);
  }
  SECTION("an outer session that is gone leaves nobody") {
    Client client(LoginContext{*IpAddress::parse("10.1.2.3"), OuterLogin{PrincipalId(""), TargetId("one"), {}}, {}});
    CHECK(client.sign("deploy", keys().engineer).result == R::refused);
  }
}

TEST_CASE("the key of a browser's terminal is no factor: what was proven in the browser counts", "[policy][login][web]") {
  const auto context = [](std::vector<ProvenFactor> factors) {
    LoginContext out{*IpAddress::parse("10.1.2.3"), {}, {}};
    out.web = WebLogin{PrincipalId("careful"), std::string(text_of(keys().unknown.public_key().blob())), std::move(factors), "web session 1"};
    return out;
  };
  SECTION("two factors are two factors") {
    Client client(context({{FactorKind::password, k_noon, false}, {FactorKind::totp, k_noon - 1min, false}}));
    const LoginAnswer answer = client.sign("careful+deploy+one", keys().unknown);
    REQUIRE(answer.result == R::success);
    CHECK(answer.identity->factors.size() == 2);
    CHECK(answer.identity->key_fingerprint.empty());
  }
  SECTION("one is one, and shown twice it is still one") {
    Client client(context({{FactorKind::password, k_noon, false}}));
    const LoginAnswer first = client.sign("careful+deploy+one", keys().unknown);
    CHECK(first.result == R::partial);
    CHECK(first.methods_left == std::vector<std::string>{"keyboard-interactive"});
    CHECK(client.sign("careful+deploy+one", keys().unknown).result != R::success);
    CHECK(client.login.factors_proven() == 1);
  }
  SECTION("no other key, not even an enrolled one") {
    Client client(context({{FactorKind::password, k_noon, false}, {FactorKind::totp, k_noon, false}}));
    CHECK(client.sign("careful+deploy+one", keys().second).result == R::refused);
  }
}

TEST_CASE("nothing proven survives what the policy lost meanwhile", "[policy][login]") {
  Client client;
  Login::Step step = client.login.take([] {
    LoginAttempt attempt = Client::base("engineer", Method::password);
    attempt.password = Secret(std::string_view("correct horse"));
    return attempt;
  }(), policy(), {}, client.throttle, client.now);
  REQUIRE(std::holds_alternative<PasswordCheck>(step));
  // The principal is removed while the hash is computed.
  const auto without = must_load(fleet_with(role_with("[]")));
  step = client.login.resume(true, *without, {}, client.throttle, client.now);
  CHECK(std::get<LoginAnswer>(step).result == R::refused);

  Client confused;
  CHECK(std::get<LoginAnswer>(confused.login.resume(true, policy(), {}, confused.throttle, confused.now)).result == R::disconnect);
}

TEST_CASE("the audit event never shows raw bytes or the password", "[policy][login]") {
  Client client;
  const LoginAnswer answer = client.password("eng\x1b[2Jineer", "hunter2");
  CHECK(answer.event.user == "eng?[2Jineer");
  CHECK(answer.event.reason.find("hunter2") == std::string::npos);
  CHECK(answer.event.principal.empty());
}

}  // namespace sallyport::policy::test
