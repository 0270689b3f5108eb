// The recorder as a process: recordings, audit events, what sessions hear.
#include <catch2/catch.hpp>
#include <csignal>

#include "platform/crypto/random.h"
#include "recorder/journal/journal.h"
#include "played_session.h"

using namespace sallyport;
using namespace sallyport::recorder;
using namespace sallyport::recorder::test;

TEST_CASE("a session is recorded from header to end, its ring is removed and its head signed", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  begin(*session);
  put(*session, "hello ");
  put(*session, "world");
  end(*session);
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  CHECK(node.recorded[0].session() == session->id.str());
  CHECK(node.recorded[0].complete());
  CHECK(node.recorded[0].entries() == 4);
  CHECK(node.pump_until([&] { return !ring_exists(node, *session); }));
  node.session_gone(*session);
  CHECK(node.stop() == 0);
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(journal.tail.empty());
  const auto& entries = journal.entries.at(session->id.str());
  CHECK(open_session(session->id.str(), session->key, entries).out == "hello world");
  CHECK(journal.heads.at(session->id.str()).back().why == HeadWhy::end);
  REQUIRE(journal.checkpoints.size() == 1);
  const auto note = crypto::parse_note(journal.checkpoints[0]);
  REQUIRE(note);
  CHECK(crypto::verify_note(*note, std::span(&node.checkpoint_key, 1)));
  CHECK(crypto::parse_checkpoint(note->body)->size == journal.leaves);
  CHECK(read_file(node.folder + "/witness") == journal.checkpoints[0] + "\n");
}

TEST_CASE("audit events are numbered, told by their id, and durable when asked", "[recorder][service]") {
  RecorderNode node;
  node.start();
  const auto first = node.append("session.started", R"({"a":1})", false).event_appended();
  const auto second = node.append("policy.applied", R"({"b":2})", true).event_appended();
  CHECK(second.sequence() == first.sequence() + 1);
  CHECK(first.id().size() == 26);
  CHECK(node.append("Bad Name", "{}", false).failure().errc() == static_cast<std::uint32_t>(Errc::invalid));
  CHECK(node.append("a.b", "no json", false).failure().errc() == static_cast<std::uint32_t>(Errc::invalid));
  node.kill9();  // what was answered stands
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.count_events("session.started") == 1);
  CHECK(journal.events.back().id == second.id());
  CHECK(journal.events.back().said_by == SaidBy::authority);
}

TEST_CASE("the keeper's own events come over a link of their own", "[recorder][service]") {
  RecorderNode node;
  node.start();
  node.append_as_keeper("service.restarted");
  (void)node.append("auth.attempted", "{}", true);
  REQUIRE(node.pump_until([&] { return read_journal(node.journal_dir).count_events("service.restarted") == 1; }));
  CHECK(node.stop() == 0);
  for (const auto& event : read_journal(node.journal_dir).events)
    if (event.name == "service.restarted") CHECK(event.said_by == SaidBy::keeper);
}

TEST_CASE("a synced session hears when its entries are durable", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  begin(*session);
  put(*session, "x");
  ring_if_needed(*session, true);
  CHECK(hears(node, *session, [](const auto& envelope) { return envelope.ring_space().durable() && envelope.ring_space().sequence() == 2; }));
  end(*session);
  ring_if_needed(*session, true);
  CHECK(hears(node, *session, [](const auto& envelope) { return envelope.ring_space().durable() && envelope.ring_space().sequence() == 3; }));
}

TEST_CASE("a held session is woken when its ring was drained", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  begin(*session);
  const Bytes noise = crypto::random_bytes(crypto::system_random(), 32'000);
  std::size_t moved = 0;
  int holds = 0;
  while (moved < 20'000'000) {
    const Put verdict = session->log->append_data(1, Stream::out, noise);
    REQUIRE(verdict != Put::failed);
    ring_if_needed(*session);
    if (verdict == Put::stored) {
      moved += noise.size();
      continue;
    }
    ++holds;
    REQUIRE(hears(node, *session, [](const auto& envelope) { return envelope.has_ring_space(); }));
  }
  CHECK(holds > 0);
  end(*session);
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  CHECK(node.stop() == 0);
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(open_session(session->id.str(), session->key, journal.entries.at(session->id.str())).out.size() == moved);
  CHECK(journal.heads.at(session->id.str()).size() > 15);  // one per segment of 1 MiB
}

TEST_CASE("a recorder that stands still holds the session, and nothing is lost when it goes on", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  begin(*session);
  REQUIRE(node.pump_until([&] { return node.status().live_rings() == 1; }));
  REQUIRE(::kill(node.pid(), SIGSTOP) == 0);
  const Bytes noise = crypto::random_bytes(crypto::system_random(), 20'000);
  std::string expected;
  while (session->log->append_data(1, Stream::out, noise) == Put::stored) {
    ring_if_needed(*session);
    expected += text_of(noise);
  }
  ring_if_needed(*session);
  CHECK(expected.size() > 200'000);
  for (int i = 0; i < 100; ++i) CHECK(session->log->append_data(1, Stream::out, noise) == Put::no_room);
  REQUIRE(::kill(node.pid(), SIGCONT) == 0);
  CHECK(hears(node, *session, [](const auto& envelope) { return envelope.has_ring_space(); }));
  REQUIRE(session->log->append_data(1, Stream::out, noise) == Put::stored);
  expected += text_of(noise);
  end(*session);
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(open_session(session->id.str(), session->key, journal.entries.at(session->id.str())).out == expected);
}

TEST_CASE("one session that reads nothing does not hold the others", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto deaf = node.make_session();
  auto other = node.make_session();
  begin(*deaf);
  begin(*other);
  const Bytes noise = crypto::random_bytes(crypto::system_random(), 30'000);
  // A full queue of bells and, because it always wants durability, a full queue of answers that it never reads.
  for (int i = 0; i < 3000; ++i) {
    control::Envelope bell;
    bell.mutable_ring_bell()->set_sync(true);
    (void)deaf->link.send(bell);
    (void)deaf->log->append_data(1, Stream::out, noise);
    if (i % 100 == 0) (void)node.pump_until([] { return false; }, 2);
  }
  for (int i = 0; i < 20; ++i) {
    put(*other, "x");
    (void)node.append("auth.attempted", "{}", true);
  }
  end(*other);
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  CHECK(node.recorded[0].session() == other->id.str());
  CHECK(node.stop() == 0);
  CHECK(read_journal(node.journal_dir).wrong.empty());
}

TEST_CASE("a session whose process died without an end is reported as truncated", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  begin(*session);
  put(*session, "half");
  node.session_gone(*session);
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  CHECK_FALSE(node.recorded[0].complete());
  CHECK(node.pump_until([&] { return !ring_exists(node, *session); }));
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(journal.count_events("session.truncated") == 1);
  CHECK(journal.heads.at(session->id.str()).back().why == HeadWhy::truncated);
  CHECK(open_session(session->id.str(), session->key, journal.entries.at(session->id.str())).out == "half");
}

TEST_CASE("a kit that was never used leaves no trace", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  node.session_gone(*session);
  CHECK(node.pump_until([&] { return !ring_exists(node, *session); }));
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.entries.empty());
  CHECK(journal.heads.empty());
  CHECK(journal.count_events("session.truncated") == 0);
}
