#include "policy/identity/login.h"
#include "policy/identity/password.h"
#include "tests/unit/policy/policy_fixture.h"

namespace sallyport::policy::test {
namespace {

using R = LoginAnswer::Result;

constexpr std::string_view k_policy =
    "principals:\n"
    "  - {name: engineer, directory: [groups, password]}\n"
    "  - {name: stranger}\n";

std::string problems_in(const std::string& yaml) { return describe(load_text(yaml).problems); }

LoginContext from_the_office() {
  LoginContext context;
  context.source = *IpAddress::parse("10.0.0.1");
  return context;
}

struct Connection {
  Login login{from_the_office()};
  Locks locks;
  Throttle throttle;
  LoginTimes now{k_noon, std::chrono::hours(1)};

  Login::Step take(const Snapshot& snapshot, const std::string& user, LoginAttempt::Method method, std::string_view password) {
    LoginAttempt attempt;
    attempt.user = user;
    attempt.method = method;
    if (method == LoginAttempt::Method::password) attempt.password = Secret(password);
    else if (!password.empty()) attempt.responses.emplace_back(password);
    return login.take(std::move(attempt), snapshot, locks, throttle, now);
  }
};

}  // namespace

TEST_CASE("whose password is the directory's is asked there, and nobody else", "[policy][directory]") {
  const auto snapshot = must_load(std::string(k_policy));
  Connection hers;
  const auto step = hers.take(*snapshot, "engineer", LoginAttempt::Method::password, "right");
  REQUIRE(std::holds_alternative<PasswordCheck>(step));
  CHECK(std::get<PasswordCheck>(step).directory == "engineer");
  const auto in = hers.login.resume(true, *snapshot, hers.locks, hers.throttle, hers.now);
  REQUIRE(std::get<LoginAnswer>(in).result == R::success);
  CHECK(std::get<LoginAnswer>(in).identity->factors.front().kind == FactorKind::password);
  for (const char* user : {"stranger", "unknown"}) {
    Connection other;
    const auto check = other.take(*snapshot, user, LoginAttempt::Method::password, "right");
    REQUIRE(std::holds_alternative<PasswordCheck>(check));
    CHECK(std::get<PasswordCheck>(check).directory.empty());
    CHECK(std::get<LoginAnswer>(other.login.resume(true, *snapshot, other.locks, other.throttle, other.now)).result == R::refused);
  }
}

TEST_CASE("a directory that is taken from her while it is asked proves nothing", "[policy][directory]") {
  const auto before = must_load(std::string(k_policy));
  const auto after = must_load("principals:\n  - {name: engineer, directory: [groups]}\n");
  Connection hers;
  CHECK(std::holds_alternative<PasswordCheck>(hers.take(*before, "engineer", LoginAttempt::Method::password, "right")));
  CHECK(std::get<LoginAnswer>(hers.login.resume(true, *after, hers.locks, hers.throttle, hers.now)).result == R::refused);
}

TEST_CASE("a password that could not be checked is refused, told where that is possible, and is no wrong guess", "[policy][directory]") {
  const auto snapshot = must_load(std::string(k_policy));
  Connection plain;
  CHECK(std::holds_alternative<PasswordCheck>(plain.take(*snapshot, "engineer", LoginAttempt::Method::password, "right")));
  const auto refused = std::get<LoginAnswer>(plain.login.resume_unchecked("SP-9320", "away", *snapshot, plain.throttle, plain.now));
  CHECK(refused.result == R::refused);
  CHECK(refused.event.code == "SP-9320");
  Connection asked;
  CHECK(std::get<LoginAnswer>(asked.take(*snapshot, "engineer", LoginAttempt::Method::keyboard_interactive, "")).result == R::ask);
  CHECK(std::holds_alternative<PasswordCheck>(asked.take(*snapshot, "engineer", LoginAttempt::Method::keyboard_interactive, "right")));
  const auto told = std::get<LoginAnswer>(asked.login.resume_unchecked("SP-9320", "away", *snapshot, asked.throttle, asked.now));
  CHECK(told.result == R::ask);
  CHECK(told.instruction.find("SP-9320") != std::string::npos);
  CHECK(told.prompts.empty());
  CHECK(std::get<LoginAnswer>(asked.take(*snapshot, "engineer", LoginAttempt::Method::keyboard_interactive, "")).result == R::refused);
}

TEST_CASE("what is left to the directory is for people, and one password is enough", "[policy][directory]") {
  CHECK(problems_in("principals:\n  - {name: a, directory: [mail]}\n").find("groups or password") != std::string::npos);
  CHECK(problems_in("principals:\n  - {name: a, type: machine, networks: [10.0.0.0/8], directory: [groups]}\n").find("`directory` is for people") != std::string::npos);
  const std::string hash = *make_password_hash(Secret(std::string_view("correct horse")), "0123456789abcdef");
  CHECK(problems_in("principals:\n  - {name: a, password: \"" + hash + "\", directory: [password]}\n").find("not both") != std::string::npos);
}

}  // namespace sallyport::policy::test
