#include "policy/authority/store.h"

#include <catch2/catch.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "policy/authority/session.h"

namespace sallyport::authority::test {
namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/sallyport-store-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  [[nodiscard]] std::string file() const { return (path / "authority.db").string(); }
  std::filesystem::path path;
};

struct Opened {
  explicit Opened(const std::string& path) {
    auto made = Store::open(io, path, remembered);
    REQUIRE(made.has_value());
    store = std::move(*made);
  }
  /// Runs the loop until `done` was called.
  template <class Ask>
  Result<void> wait(Ask ask) {
    std::optional<Result<void>> result;
    ask([&](Result<void> got) { result = std::move(got); });
    while (!result) io.run_one_for(std::chrono::milliseconds(50));
    return *result;
  }
  boost::asio::io_context io{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work = boost::asio::make_work_guard(io);
  Remembered remembered;
  std::unique_ptr<Store> store;
};

SessionRow row_of(const std::string& label) {
  SessionRow row;
  row.label = label;
  row.state = "granted";
  row.boot_id = "b";
  row.principal = "engineer";
  row.target = "recs-1";
  row.account = "deploy";
  row.factors = "key:1700000000000000";
  row.opened_us = 5;
  return row;
}

}  // namespace

TEST_CASE("live sessions and their channels come back after the process has gone", "[store]") {
  const Folder folder;
  {
    Opened opened(folder.file());
    opened.store->put_session(row_of("A"));
    opened.store->put_session(row_of("B"));
    opened.store->put_channel({"A", 1, "exec", false, false, "uptime", "", 0, "", 7});
    opened.store->put_channel({"A", 1, "agent", false, false, "", "", 0, "", 8});
    opened.store->put_channel({"B", 2, "shell", false, false, "", "", 0, "", 9});
    opened.store->remove_channel("A", 9);
    SessionRow ended = row_of("B");
    ended.ended_us = 10;
    ended.outcome = "closed";
    opened.store->end_session(ended);
  }
  Opened again(folder.file());
  REQUIRE(again.remembered.live.size() == 1);
  CHECK(again.remembered.live[0].label == "A");
  CHECK(again.remembered.live[0].principal == "engineer");
  REQUIRE(again.remembered.channels.size() == 2);
  CHECK(again.remembered.channels[0].session == "A");
}

TEST_CASE("a one-time code's step is used once, and only forward", "[store]") {
  const Folder folder;
  Opened opened(folder.file());
  const auto use = [&](std::int64_t step) {
    return opened.wait([&](Store::Done done) { opened.store->use_totp_step("engineer", step, std::move(done)); });
  };
  CHECK(use(100).has_value());
  CHECK(use(100).error().code == Errc::conflict);
  CHECK(use(99).error().code == Errc::conflict);
  CHECK(use(101).has_value());
}

TEST_CASE("what was enrolled and is removed does not come back by being used", "[store]") {
  const Folder folder;
  {
    Opened opened(folder.file());
    const EnrolmentRow passkey{"passkey", "engineer", "P1", "counter 1", 1}, hers{"key", "engineer", "K1", "", 1}, invite{"invite", "engineer", "I1", "", 1}, others{"passkey", "approver", "P2", "counter 7", 1};
    CHECK(opened.wait([&](Store::Done done) { opened.store->change_enrolments({passkey, hers, invite, others}, {}, {}, std::move(done)); }).has_value());
    CHECK(opened.wait([&](Store::Done done) { opened.store->use_enrolment({"passkey", "engineer", "P1", "counter 2", 2}, std::move(done)); }).has_value());
    // The removal is on its way when she signs in, and a new key of hers was just enrolled.
    std::optional<Result<void>> used;
    opened.store->change_enrolments({{"key", "engineer", "K2", "", 3}}, {}, {}, [](const Result<void>&) {});
    opened.store->remove_enrolments_of("engineer", "none", [](const Result<void>&) {});
    opened.store->use_enrolment({"passkey", "engineer", "P1", "counter 3", 3}, [&](const Result<void>& got) { used = got; });
    CHECK(opened.wait([&](Store::Done done) { opened.store->use_enrolment({"passkey", "approver", "P2", "counter 8", 3}, std::move(done)); }).has_value());
    REQUIRE(used.has_value());
    REQUIRE_FALSE(used->has_value());
    CHECK(used->error().code == Errc::denied);
  }
  Opened again(folder.file());
  std::vector<std::string> left;
  for (const EnrolmentRow& row : again.remembered.enrolments) left.push_back(row.kind + " " + row.principal + " " + row.value);
  std::sort(left.begin(), left.end());
  CHECK(left == std::vector<std::string>{"invite engineer ", "passkey approver counter 8"});
}

TEST_CASE("a policy version stands or falls with its intent, and one job's failure is not another's", "[store]") {
  const Folder folder;
  {
    Opened opened(folder.file());
    CHECK(opened.wait([&](Store::Done done) { opened.store->open_intent({"I1", "policy.apply", "{}", 1, false}, std::move(done)); }).has_value());
    PolicyVersion version;
    version.version = 1;
    version.files = {{"a.yaml", "x"}, {"k.krl", std::string("\0\xff", 2)}};
    CHECK(opened.wait([&](Store::Done done) { opened.store->apply_policy(version, "I1", std::move(done)); }).has_value());
    const auto twice = opened.wait([&](Store::Done done) { opened.store->apply_policy(version, "I1", std::move(done)); });
    CHECK(twice.error().code == Errc::conflict);
    opened.store->put_session(row_of("A"));
    CHECK(opened.wait([&](Store::Done done) { opened.store->remove_lock("none", "I1", std::move(done)); }).error().code == Errc::not_found);
  }
  Opened again(folder.file());
  REQUIRE(again.remembered.policy.has_value());
  REQUIRE(again.remembered.policy->files.size() == 2);
  CHECK(again.remembered.policy->files[1].content == std::string("\0\xff", 2));
  REQUIRE(again.remembered.intents.size() == 1);
  CHECK(again.remembered.intents[0].done);
  CHECK(again.remembered.live.size() == 1);
}

TEST_CASE("factors and certificate limits survive being written down", "[store]") {
  const std::vector<policy::ProvenFactor> factors{{policy::FactorKind::key, WallTime(std::chrono::microseconds(17)), true},
                                                  {policy::FactorKind::totp, WallTime(std::chrono::microseconds(18)), false}};
  const auto back = decode_factors(encode_factors(factors));
  REQUIRE(back.size() == 2);
  CHECK(back[0].user_verified);
  CHECK(back[0].proven == factors[0].proven);
  CHECK(back[1].kind == policy::FactorKind::totp);
  CHECK_FALSE(back[1].user_verified);
  CHECK(decode_factors("").empty());
  CHECK(decode_factors("nonsense,key,:5").empty());
  policy::CertificateLimits limits;
  limits.permit_pty = false;
  limits.force_command = "rrsync -ro /srv:pfax";
  const auto read = decode_certificate(encode_certificate(limits));
  REQUIRE(read.has_value());
  CHECK_FALSE(read->permit_pty);
  CHECK(read->permit_port_forwarding);
  CHECK(read->force_command == limits.force_command);
  CHECK_FALSE(decode_certificate(encode_certificate(std::nullopt)).has_value());
}

}  // namespace sallyport::authority::test
