#include <catch2/catch.hpp>

#include "policy/identity/login.h"

using namespace sallyport;
using namespace sallyport::policy;

namespace {

constexpr WallTime k_now{std::chrono::hours(500'000)};
constexpr ProvenFactor k_passkey{FactorKind::passkey, k_now, false, false};

/// A browser of ann, whom the identity provider has named.
struct Browser {
  std::shared_ptr<const Snapshot> snapshot;
  Locks locks;
  Throttle throttle;
  Enrolments enrolled;
  LoginTimes now{k_now, BootTime(std::chrono::hours(1))};
  std::optional<Login> login;

  explicit Browser(std::vector<std::string> enrol) {
    Documents documents;
    Principal ann;
    ann.name = PrincipalId("ann");
    ann.enrol = std::move(enrol);
    documents.principals = {ann};
    std::vector<Diagnostic> problems;
    snapshot = Snapshot::compile(std::move(documents), problems);
    REQUIRE(problems.empty());
    enrolled.add_passkey("ann", {"id", "blue", -7, "key", 0, k_now, {}});
    LoginContext context;
    context.at_least = 2;
    context.can_show_keys = false;
    context.can_show_passkeys = true;
    context.enrolled = &enrolled;
    login.emplace(std::move(context));
  }
  LoginAnswer named() {
    SignOnWord word;
    word.state = SignOnWord::State::proven;
    word.principal = PrincipalId("ann");
    word.proven = k_now;
    return std::get<LoginAnswer>(login->begin_signed_on(word, *snapshot, locks, throttle, now));
  }
  LoginAnswer show(const std::optional<ProvenFactor>& factor, const std::string& code = "") {
    return std::get<LoginAnswer>(login->take_passkey(factor, code, "why", *snapshot, locks, throttle, now));
  }
};

}  // namespace

TEST_CASE("who has a passkey shows it in a browser, or gives a recovery code", "[policy][login][passkey]") {
  const std::string kind = GENERATE("passkeys", "verified-passkeys");
  Browser browser({kind});
  const LoginAnswer first = browser.named();
  REQUIRE(first.result == LoginAnswer::Result::partial);
  CHECK(first.methods_left == std::vector<std::string>{"passkey", "keyboard-interactive"});
  const LoginAnswer second = browser.show(k_passkey);
  REQUIRE(second.result == LoginAnswer::Result::success);
  CHECK(second_factor_time(second.identity->factors) == k_now);
  CHECK(browser.show(k_passkey).result == LoginAnswer::Result::disconnect);
}

TEST_CASE("a passkey alone opens nothing", "[policy][login][passkey]") {
  Browser browser({"passkeys"});
  CHECK(browser.show(k_passkey).result != LoginAnswer::Result::success);
  CHECK_FALSE(second_factor_time({k_passkey}));
}

TEST_CASE("a wrong passkey is counted and leaves the login open, six end it", "[policy][login][passkey]") {
  Browser browser({"passkeys"});
  REQUIRE(browser.named().result == LoginAnswer::Result::partial);
  for (unsigned i = 1; i < k_max_login_attempts; ++i) {
    const LoginAnswer wrong = browser.show(std::nullopt, "SP-9311");
    REQUIRE(wrong.result == LoginAnswer::Result::refused);
    CHECK(wrong.event.code == "SP-9311");
    CHECK(wrong.event.counted);
  }
  CHECK(browser.show(std::nullopt, "SP-9311").result == LoginAnswer::Result::disconnect);
}

TEST_CASE("a passkey counts only while the policy lets her enrol them", "[policy][login][passkey]") {
  Browser browser({"keys", "totp"});
  CHECK(browser.named().result == LoginAnswer::Result::success);  // nothing else that she could give
  CHECK_FALSE(browser.enrolled.has_passkeys(*browser.snapshot->find_principal("ann")));
}

TEST_CASE("passkeys are kept by whose they are", "[policy][enrolment][passkey]") {
  Enrolments enrolled;
  enrolled.add_passkey("ann", {"one", "blue", -7, "k", 3, k_now, {}});
  enrolled.add_passkey("bob", {"two", "red", -8, "k", 0, k_now, {}});
  CHECK(enrolled.owns_passkey("one"));
  CHECK_FALSE(enrolled.owns_passkey("three"));
  CHECK_FALSE(enrolled.remove_passkey("ann", "two"));
  enrolled.use_passkey("ann", "one", 9, k_now);
  CHECK(enrolled.passkeys_of("ann").front().counter == 9);
  CHECK(enrolled.passkeys_of("bob").front().counter == 0);
  enrolled.forget("ann");
  CHECK(enrolled.passkeys_of("ann").empty());
  CHECK(enrolled.remove_passkey("bob", "two"));
}
