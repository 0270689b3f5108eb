// The wall clock was set: the log owns up to it, or verify finds it.
#include <catch2/catch.hpp>

#include "recorder/replay/bundle.h"
#include "recorder/replay/verify.h"
#include "tests/unit/recorder/journal_maker.h"

using namespace sallyport;
using namespace sallyport::replay;
using namespace sallyport::test;

namespace {

using Put = seal::SessionLog::Put;
constexpr std::int64_t k_hour = 3'600'000'000;

VerifyReport verified(const JournalMaker& made, std::string stamp_ca = {}) {
  TemporaryFolder folder;
  made.write(folder.path());
  VerifyOptions options;
  options.journal = folder.path();
  options.patience = std::chrono::milliseconds(0);
  options.stamp_ca = std::move(stamp_ca);
  auto report = verify_journal(options);
  REQUIRE(report);
  return std::move(*report);
}

/// Nothing but moved clocks is found; their texts.
std::vector<std::string> moves(const VerifyReport& report) {
  std::vector<std::string> texts;
  for (const Finding& finding : report.findings) {
    CHECK(finding.kind == "clock-moved");
    texts.push_back(finding.text);
  }
  return texts;
}

void say_stepped(JournalMaker& made, std::int64_t by_us) {
  made.event("clock.stepped", R"({"by_ms":)" + std::to_string(by_us / 1000) + R"(,"wall_us":)" + std::to_string(made.clock.wall().time_since_epoch().count()) + "}");
}

void put(JournalMaker& made, MadeSession& session, int times = 1) {
  for (int i = 0; i < times; ++i) {
    made.clock.pass(100'000);
    REQUIRE(session.log->append_event("{}") == Put::stored);
  }
  made.drain(session);
}

}  // namespace

TEST_CASE("a clock that was set while a session ran, and nobody says so, is found with session, entry and time") {
  JournalMaker made;
  auto& session = made.begin("{}");
  for (const std::int64_t moved : std::initializer_list<std::int64_t>{0, 1'900'000, -k_hour}) {
    made.clock.moved_us = moved;
    REQUIRE(session.log->append_event("{}") == Put::stored);
  }
  made.drain(session);
  const auto report = verified(made);
  CHECK(moves(report) == std::vector<std::string>{"the wall clock was moved by -3601900 ms before entry 4, and the log does not say so"});
  const Finding& finding = report.findings.at(0);
  CHECK(finding.session == session.id.str());
  CHECK(finding.first_entry == 4);
  CHECK(finding.since_us == 1'800'000'000'000'000 + 1'900'000);
  CHECK(report.sessions.at(0).findings == 1);
  CHECK(report.notices.empty());
}

TEST_CASE("a step that the gateway tells is a notice, also for entries that were there before it was told") {
  JournalMaker made;
  auto& session = made.begin("{}");
  made.event("session.started", "{}");
  put(made, session, 3);
  made.clock.moved_us = -k_hour;
  put(made, session, 2);  // the gateway looks once a second
  made.event("policy.applied", "{}");
  made.clock.pass(700'000);
  say_stepped(made, -k_hour);
  put(made, session, 3);
  auto report = verified(made);
  CHECK(moves(report).empty());
  CHECK(report.notices == std::vector<std::string>{"session " + session.id.str() + ": the wall clock was moved by -3600000 ms before entry 5, as the log says"});

  SECTION("but not one of another size") {
    made.clock.moved_us += 10'000'000;
    put(made, session);
    say_stepped(made, 20'000'000);
    CHECK(moves(verified(made)).size() == 2);  // the session's and the log's
  }
  SECTION("and not one at another time") {
    made.clock.pass(600'000'000);
    put(made, session);
    made.clock.moved_us = 0;
    put(made, session);
    made.clock.moved_us = -k_hour;
    put(made, session);
    report = verified(made);
    CHECK(moves(report).size() == 1);
    CHECK(report.findings.at(0).first_entry == 11);
    CHECK(report.findings.at(0).last_entry == 11);
    CHECK(report.notices.size() == 1);
  }
}

TEST_CASE("a clock that drifts in small steps is found where the sum is no small one any more") {
  JournalMaker made;
  auto& session = made.begin("{}");
  made.event("session.started", "{}");
  for (int i = 0; i < 40; ++i) {
    made.clock.moved_us -= 200'000;
    put(made, session);
  }
  const auto report = verified(made);
  REQUIRE_FALSE(report.is_clean());
  CHECK(report.findings.front().session == session.id.str());
  CHECK(report.findings.front().first_entry > 10);
  moves(report);
}

TEST_CASE("a session whose times are all moved alike is found by the log's") {
  JournalMaker made;
  made.event("keeper.started", "{}");
  made.clock.moved_us = k_hour;
  auto& session = made.begin("{}");
  put(made, session, 3);
  made.clock.moved_us = 0;
  made.event("session.ended", "{}");
  const auto report = verified(made);
  REQUIRE(moves(report) == std::vector<std::string>{"its wall clock is 3600000 ms from the log's"});
  CHECK(report.findings.front().first_entry == 1);
  CHECK(report.findings.front().last_entry == 4);
}

TEST_CASE("a clock set between two sessions, while the gateway runs, is found in the log") {
  JournalMaker made;
  made.event("keeper.started", "{}");
  made.clock.pass(300'000'000);
  made.event("session.started", "{}");
  made.clock.moved_us = -k_hour;
  made.event("session.started", "{}");
  auto& session = made.begin("{}");
  put(made, session, 3);
  const auto report = verified(made);
  REQUIRE(moves(report) == std::vector<std::string>{"the wall clock was moved by -3600000 ms before leaf 3 of the node log, and the log does not say so"});
  CHECK(report.findings.front().leaf == 3);
  CHECK(report.findings.front().since_us == 1'800'000'300'000'000);
}

TEST_CASE("after a start of the machine the clocks differ by more; a clock set back meanwhile is found") {
  JournalMaker made;
  made.event("keeper.started", "{}");
  made.clock.pass(900'000'000);
  made.event("keeper.stopping", "{}");
  made.clock.now_us = 2'000'000;  // of the boot clock, which began anew
  made.clock.moved_us = k_hour;
  made.event("journal.opened", "{}");
  made.event("keeper.started", "{}");
  auto& session = made.begin("{}");
  put(made, session, 3);
  CHECK(moves(verified(made)).empty());

  made.clock.pass(50'000'000);
  made.event("keeper.stopping", "{}");
  made.clock.pass(10'000'000);
  made.clock.moved_us = 0;
  made.event("keeper.started", "{}");
  CHECK(moves(verified(made)) == std::vector<std::string>{"the wall clock was moved by -3600000 ms before leaf 6 of the node log, and the log does not say so"});
  made.clock.pass(1'000'000);
  say_stepped(made, -k_hour + 40'000'000);  // from the latest moment that was kept
  CHECK(moves(verified(made)).empty());
}

TEST_CASE("a journal with more moves than are kept is judged all the same") {
  JournalMaker made;
  auto& session = made.begin("{}", 4 * 1024 * 1024);
  for (int i = 0; i < 3000; ++i) {
    made.clock.moved_us = i % 2 == 0 ? k_hour : 0;
    put(made, session);
  }
  CHECK(verified(made).findings.size() == 100);
}

TEST_CASE("a bundle with a moved clock in it says that it cannot tell whether the log owned up to it") {
  JournalMaker made;
  auto& session = made.begin("{}");
  put(made, session, 3);
  made.clock.moved_us = k_hour;
  put(made, session, 3);
  made.end(session);
  made.checkpoint();
  TemporaryFolder folder;
  made.write(folder.path());
  BundleOptions options;
  options.journal = folder.path();
  options.session = session.id;
  options.to = std::chrono::hours(2);
  std::string text;
  REQUIRE(write_bundle(options, [&](std::string_view bytes) {
    text += bytes;
    return true;
  }));
  const auto report = verify_bundle(text, {made.root_key()});
  REQUIRE(report);
  CHECK(report->findings.empty());
  CHECK(report->not_checked == std::vector<std::string>{"the wall clock was moved by 3600000 ms before entry 5: whether the gateway said so stands in its log"});
}
