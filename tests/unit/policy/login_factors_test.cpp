#include "tests/unit/policy/login_client.h"

namespace sallyport::policy::test {

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

}  // namespace sallyport::policy::test
