// Connections that stand half open must not keep a legitimate engineer out.
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

#include "fake_keeper.h"

using namespace sallyport;
using namespace sallyport::tests;
using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr milliseconds k_longest_login{15'000};  // each fork copies the sanitizer's page tables
#else
constexpr milliseconds k_longest_login{2000};
#endif
constexpr milliseconds k_longest_flood{120'000};  // 1,000 forks of a busy machine

std::string source(int number) {
  return "127.0." + std::to_string(10 + number / 250) + "." + std::to_string(1 + number % 250);
}

void allow_many_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

// Neither case leaves anything to chance, although early drop draws its victims. A victim is one of the older half of what stands, and
// the newcomer never is one (admission.h): who is last in the queue is not drawn before as many came behind her as stand in front. And
// the kernel hands connections over in the order they came: once the last of a flood was greeted, all of it has been judged. So each
// flood is waited for in that way; a login that is measured before has the whole flood's forks in front of it, and a login that is
// judged before has met nothing.

TEST_CASE("a login takes under two seconds while 1,000 half-open connections stand", "[gateway][listener][flood]") {
  allow_many_descriptors();
  FakeKeeper keeper;
  std::vector<Client> flood;
  for (int i = 0; i < 1000; ++i) flood.push_back(keeper.connect(source(i)));
  REQUIRE(hello(flood.back(), k_longest_flood));
  for (int login = 0; login < 5; ++login) {
    const auto before = Steady::now();
    Client engineer = keeper.connect("127.0.0.2");
    const auto said = hello(engineer, k_longest_login);
    REQUIRE(said);
    usleep(200'000);  // a key exchange and a signature under load
    keeper.prove(said->session);
    engineer.send("echo in\n");
    CHECK(engineer.line(k_longest_login) == "in");
    const auto took = std::chrono::duration_cast<milliseconds>(Steady::now() - before);
    CHECK(took < k_longest_login);
    engineer.send("exit 0\n");
  }
}

TEST_CASE("a flood that goes on does not take the place of who is being proven", "[gateway][listener][flood]") {
  allow_many_descriptors();
  FakeKeeper keeper(
      FakeKeeper::Options{{{"max_unauthenticated", "128"}, {"early_drop_from", "64"}}, {}, true, true, false});
  std::vector<Client> flood;
  for (int i = 0; i < 128; ++i) flood.push_back(keeper.connect(source(i)));
  REQUIRE(hello(flood.back(), k_longest_flood));
  int survived = 0;
  for (int login = 0; login < 20; ++login) {
    Client engineer = keeper.connect("127.0.0.2");
    const auto said = hello(engineer, k_longest_login);
    REQUIRE(said);
    for (int i = 0; i < 40; ++i)
      flood.push_back(keeper.connect(source(200 + (login * 40 + i) % 800)));  // 40 more while she logs in
    REQUIRE(hello(flood.back(), k_longest_flood));
    keeper.prove(said->session);
    engineer.send("echo in\n");
    if (engineer.line(k_longest_login) == "in") ++survived;  // who was ended reads so at once
    engineer.send("exit 0\n");
  }
  CHECK(survived == 20);
}
