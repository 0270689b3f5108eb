#include "tests/unit/policy/login_client.h"

namespace sallyport::policy::test {

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
