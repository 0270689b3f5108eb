// The recorder as a process: rings, audit events, checkpoints, restarts, refusals.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "platform/crypto/random.h"
#include "recorder/journal/journal.h"
#include "recorder_node.h"

using namespace sallyport;
using namespace sallyport::recorder;
using namespace sallyport::recorder::test;
using Put = seal::SessionLog::Put;
using seal::Stream;

namespace {

Bytes text(std::string_view value) { return copy_of(bytes_of(value)); }

void ring_if_needed(PlayedSession& session, bool sync = false) {
  if (!session.log->bell_needed() && !sync) return;
  control::Envelope envelope;
  envelope.mutable_ring_bell()->set_sync(sync);
  (void)session.link.send(envelope);
}

/// As a session does: when the ring is full, ring and hold until the recorder, however busy the machine, has made room.
template <class Append>
void store(PlayedSession& session, Append append) {
  Put put = append();
  for (int tries = 0; put == Put::no_room && tries < 2000; ++tries) {
    if (tries % 100 == 0) {
      control::Envelope bell;
      bell.mutable_ring_bell()->set_end(false);
      (void)session.link.send(bell);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    put = append();
  }
  REQUIRE(put == Put::stored);
  ring_if_needed(session);
}

void put(PlayedSession& session, std::string_view out) {
  store(session, [&] { return session.log->append_data(1, Stream::out, text(out)); });
}

void begin(PlayedSession& session) {
  store(session, [&] { return session.log->append_header(R"({"principal":"engineer"})", text("wrapped")); });
}

void end(PlayedSession& session) {
  store(session, [&] { return session.log->append_end("done"); });
}

/// What the session hears: the first message that `wanted` likes.
template <class Wanted>
bool hears(RecorderNode& node, PlayedSession& session, Wanted wanted, int milliseconds = 5000) {
  return node.pump_until(
      [&] {
        for (;;) {
          auto received = session.link.receive();
          if (!received || !*received) return false;
          if (wanted((*received)->envelope)) return true;
        }
      },
      milliseconds);
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

bool ring_exists(const RecorderNode& node, const PlayedSession& session) {
  return std::filesystem::exists(node.ring_dir + "/" + session.id.str() + ".ring");
}

}  // namespace

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

TEST_CASE("a new recorder goes on where the killed one was, without gap or duplicate", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  auto unused = node.make_session();
  begin(*session);
  for (int round = 0; round < 5; ++round) {
    put(*session, "before-" + std::to_string(round) + " ");
    node.kill9();
    put(*session, "while-" + std::to_string(round) + " ");
    node.start();
  }
  CHECK(hears(node, *session, [](const auto& envelope) { return envelope.ring_space().durable() && envelope.ring_space().sequence() == 11; }));
  begin(*unused);
  end(*unused);
  end(*session);
  REQUIRE(node.pump_until([&] { return node.recorded.size() == 2; }));
  CHECK(node.stop() == 0);
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  std::string expected;
  for (int round = 0; round < 5; ++round) expected += "before-" + std::to_string(round) + " while-" + std::to_string(round) + " ";
  CHECK(open_session(session->id.str(), session->key, journal.entries.at(session->id.str())).out == expected);
  CHECK(journal.count_events("recording.ring_refused") == 0);
}

TEST_CASE("rings that a crash of everything left behind are drained and closed at the next start", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto complete = node.make_session();
  auto cut = node.make_session();
  auto unused = node.make_session();
  begin(*complete);
  begin(*cut);
  REQUIRE(node.pump_until([&] { return read_journal(node.journal_dir).entries.size() == 2; }));
  node.kill9();
  put(*complete, "in the ring only");
  end(*complete);
  put(*cut, "in the ring only, too");
  for (auto* session : {&complete, &cut, &unused}) node.session_gone(**session);
  node.start();
  REQUIRE(node.pump_until([&] { return node.recorded.size() == 2; }));
  CHECK(node.pump_until([&] { return std::filesystem::is_empty(node.ring_dir); }));
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(open_session(complete->id.str(), complete->key, journal.entries.at(complete->id.str())).out == "in the ring only");
  CHECK(open_session(cut->id.str(), cut->key, journal.entries.at(cut->id.str())).out == "in the ring only, too");
  CHECK(journal.heads.at(complete->id.str()).back().why == HeadWhy::end);
  CHECK(journal.heads.at(cut->id.str()).back().why == HeadWhy::truncated);
  CHECK(journal.count_events("recording.recovered") == 2);
}

TEST_CASE("a session that is handed over again long after the grace has lost nothing", "[recorder][service]") {
  RecorderNode node;
  node.settings.set("leftover_grace_ms", "20");
  node.start();
  auto late = node.make_session();
  auto gone = node.make_session();
  begin(*late);
  begin(*gone);
  put(*late, "before, ");
  REQUIRE(node.pump_until([&] { return read_journal(node.journal_dir).entries.size() == 2; }));
  node.kill9();
  put(*late, "without a recorder, ");
  node.session_gone(*gone);
  node.start(false);
  // The grace is over for certain when the one that nobody holds is closed; the held one is looked at several times more.
  REQUIRE(node.pump_until([&] { return node.recorded.size() == 1; }));
  CHECK_FALSE(node.pump_until([&] { return node.recorded.size() != 1 || !ring_exists(node, *late); }, 200));
  put(*late, "after the grace, ");
  node.attach_sessions();
  put(*late, "attached");
  end(*late);
  ring_if_needed(*late);
  REQUIRE(node.pump_until([&] { return node.recorded.size() == 2; }));
  CHECK(node.recorded[1].session() == late->id.str());
  CHECK(node.recorded[1].complete());
  node.session_gone(*late);
  CHECK(node.pump_until([&] { return std::filesystem::is_empty(node.ring_dir); }));
  CHECK(node.stop() == 0);
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(journal.count_events("recording.ring_refused") == 0);
  CHECK(open_session(late->id.str(), late->key, journal.entries.at(late->id.str())).out == "before, without a recorder, after the grace, attached");
  CHECK(journal.heads.at(late->id.str()).back().why == HeadWhy::end);
}

TEST_CASE("draining a ring twice changes nothing, also when its file comes back from the dead", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  begin(*session);
  put(*session, "once");
  const std::string path = node.ring_dir + "/" + session->id.str() + ".ring";
  REQUIRE(node.pump_until([&] { return read_journal(node.journal_dir).entries.size() == 1; }));
  std::filesystem::copy_file(path, node.folder + "/copy");
  end(*session);
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  node.kill9();
  node.session_gone(*session);
  std::filesystem::copy_file(node.folder + "/copy", path, std::filesystem::copy_options::overwrite_existing);  // the kill may have come before its removal
  const auto before = read_journal(node.journal_dir).entries;
  node.start();
  CHECK(node.pump_until([&] { return !std::filesystem::exists(path); }));
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(journal.entries == before);
}

TEST_CASE("a swapped ring is refused, told and alarmed", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto honest = node.make_session();
  auto swapped = node.make_session();
  begin(*honest);
  begin(*swapped);
  REQUIRE(node.pump_until([&] { return read_journal(node.journal_dir).entries.size() == 2; }));
  node.kill9();
  const std::string path = node.ring_dir + "/" + swapped->id.str() + ".ring";
  SECTION("the ring of another session under its name") {
    std::filesystem::remove(path);
    std::filesystem::copy_file(node.ring_dir + "/" + honest->id.str() + ".ring", path);
    swapped->ring_file = Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  }
  SECTION("another file than the one that was handed") {
    std::filesystem::copy_file(path, path + ".new");
    std::filesystem::rename(path + ".new", path);
  }
  SECTION("entries of another session behind its own header page") {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    const std::string other = read_file(node.ring_dir + "/" + honest->id.str() + ".ring");
    const std::string own = read_file(path);
    // The next slot, as the other ring has it: same position, foreign label.
    put(*honest, "foreign");
    const std::string now = read_file(node.ring_dir + "/" + honest->id.str() + ".ring");
    file.seekp(4096);
    file.write(now.data() + 4096, 8192);
    file.seekp(128);
    file.write(now.data() + 128, 8);
  }
  node.start();
  CHECK(hears(node, *swapped, [](const auto& envelope) { return envelope.has_recording_failed(); }));
  put(*honest, "still recorded");
  end(*honest);
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  CHECK(node.recorded[0].session() == honest->id.str());
  node.session_gone(*swapped);
  CHECK(node.pump_until([&] { return node.recorded.size() == 2; }));
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(journal.count_events("recording.ring_refused") == 1);
  CHECK(std::filesystem::exists(path + ".refused"));
}

TEST_CASE("a ring older than the journal is refused as stale", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  const std::string path = node.ring_dir + "/" + session->id.str() + ".ring";
  begin(*session);
  REQUIRE(node.pump_until([&] { return !read_journal(node.journal_dir).entries.empty(); }));
  std::filesystem::copy_file(path, node.folder + "/old");
  const Bytes noise = crypto::random_bytes(crypto::system_random(), 30'000);
  for (int i = 0; i < 6; ++i) REQUIRE(session->log->append_data(1, Stream::out, noise) == Put::stored);
  ring_if_needed(*session);
  REQUIRE(node.pump_until([&] { return read_journal(node.journal_dir).entries.at(session->id.str()).size() == 7; }));
  node.kill9();
  node.session_gone(*session);
  std::filesystem::copy_file(node.folder + "/old", path, std::filesystem::copy_options::overwrite_existing);
  node.start();
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  CHECK_FALSE(node.recorded[0].complete());
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  REQUIRE(journal.count_events("recording.ring_refused") == 1);
}

TEST_CASE("a session that writes nonsense into its ring loses its own recording only", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto honest = node.make_session();
  auto hostile = node.make_session();
  begin(*honest);
  begin(*hostile);
  put(*hostile, "good");
  REQUIRE(node.pump_until([&] { return read_journal(node.journal_dir).entries.size() == 2; }));
  put(*hostile, "to be spoiled");
  auto bytes = hostile->mapping.span();
  for (std::size_t at = seal::k_ring_header_bytes; at < bytes.size(); at += 7) bytes[at] ^= std::byte{0x55};
  std::uint64_t head = 1 << 20;
  std::memcpy(bytes.data() + 128, &head, sizeof head);
  control::Envelope bell;
  bell.mutable_ring_bell();
  REQUIRE(hostile->link.send(bell));
  CHECK(hears(node, *hostile, [](const auto& envelope) { return envelope.has_recording_failed(); }));
  put(*honest, "fine");
  end(*honest);
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  CHECK(node.recorded[0].complete());
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(journal.count_events("recording.ring_refused") == 1);
}

TEST_CASE("a session that misuses its control link is cut off", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  begin(*session);
  control::Envelope forged;
  forged.mutable_append_event()->set_name("policy.applied");
  forged.mutable_append_event()->set_json("{}");
  REQUIRE(session->link.send(forged));
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.count_events("policy.applied") == 0);
  CHECK(journal.count_events("control.violated") == 1);
}

TEST_CASE("a write that fails ends the sessions, refuses events, and heals when there is room again", "[recorder][service]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  auto unused = node.make_session();
  begin(*session);
  put(*session, "kept");
  REQUIRE(node.status().healthy());
  rlimit limit{};
  REQUIRE(::prlimit(node.pid(), RLIMIT_FSIZE, nullptr, &limit) == 0);
  const rlimit tight{2048, limit.rlim_max};
  REQUIRE(::prlimit(node.pid(), RLIMIT_FSIZE, &tight, nullptr) == 0);
  const Bytes noise = crypto::random_bytes(crypto::system_random(), 5000);
  REQUIRE(session->log->append_data(1, Stream::out, noise) == Put::stored);
  ring_if_needed(*session);
  CHECK(hears(node, *session, [](const auto& envelope) { return envelope.has_recording_failed(); }));
  CHECK_FALSE(node.status().healthy());
  const auto refused = node.append("auth.attempted", "{}", true);
  CHECK(refused.failure().errc() == static_cast<std::uint32_t>(Errc::unavailable));
  CHECK(refused.failure().code() == "SP-4004");
  begin(*unused);
  CHECK(hears(node, *unused, [](const auto& envelope) { return envelope.has_recording_failed(); }));
  REQUIRE(::prlimit(node.pid(), RLIMIT_FSIZE, &limit, nullptr) == 0);
  REQUIRE(node.pump_until([&] { return node.status().healthy(); }));
  node.session_gone(*session);
  node.session_gone(*unused);
  REQUIRE(node.pump_until([&] { return node.recorded.size() == 2; }));
  CHECK(node.append("auth.attempted", "{}", true).has_event_appended());
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(journal.tail.empty());
  const auto read = open_session(session->id.str(), session->key, journal.entries.at(session->id.str()));
  CHECK(read.out == "kept" + std::string(text_of(noise)));  // nothing that was stored is lost
  CHECK(journal.count_events("recorder.recovered") >= 1);
}

TEST_CASE("too little space refuses new sessions and says why", "[recorder][service]") {
  RecorderNode node;
  node.settings.set("min_free_bytes", "900000000000000");
  node.start();
  const auto status = node.status();
  CHECK_FALSE(status.healthy());
  CHECK(status.reason().find("SP-4002") != std::string::npos);
  CHECK(status.free_bytes() > 0);
  CHECK_FALSE(node.told_status.empty());
  auto session = node.make_session();
  begin(*session);
  CHECK(hears(node, *session, [](const auto& envelope) { return envelope.has_recording_failed(); }));
}

TEST_CASE("a torn journal tail is cut, kept and told; everything before it stands", "[recorder][service]") {
  RecorderNode node;
  node.start();
  for (int i = 0; i < 10; ++i) (void)node.append("auth.attempted", "{\"n\":" + std::to_string(i) + "}", true);
  node.kill9();
  const std::string path = node.journal_dir + "/" + journal_file_name(1);
  const auto size = std::filesystem::file_size(path);
  std::string expected_event = "journal.tail_cut";
  std::size_t kept = 10;
  SECTION("half a frame") {
    std::filesystem::resize_file(path, size - 20);
    kept = 9;
  }
  SECTION("half a header") {
    std::ofstream(path, std::ios::app | std::ios::binary) << "SPF1abc";
  }
  SECTION("zeros behind the last frame") {
    std::filesystem::resize_file(path, size + 4096);
    expected_event = "journal.damaged";
  }
  SECTION("a flipped bit in the last frame") {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(size - 3));
    file.put('#');
    file.close();
    expected_event = "journal.damaged";
    kept = 9;
  }
  node.start();
  CHECK(node.append("auth.attempted", "{}", true).has_event_appended());
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(journal.tail.empty());
  CHECK(journal.count_events("auth.attempted") == kept + 1);
  CHECK(journal.count_events(expected_event) == 1);
}

TEST_CASE("journal files roll, and a restart needs only the last one", "[recorder][service]") {
  RecorderNode node;
  node.settings.set("journal_roll_bytes", "200000");
  node.start();
  auto session = node.make_session();
  begin(*session);
  const Bytes noise = crypto::random_bytes(crypto::system_random(), 20'000);
  std::string expected;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 10; ++i) {
      REQUIRE(node.pump_until([&] { return session->log->append_data(1, Stream::out, noise) == Put::stored; }));
      expected += text_of(noise);
      ring_if_needed(*session);
      (void)node.append("auth.attempted", "{}", false);
    }
    node.kill9();
    node.start();
  }
  end(*session);
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  node.stop();
  CHECK(journal_files(node.journal_dir).size() >= 4);
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(open_session(session->id.str(), session->key, journal.entries.at(session->id.str())).out == expected);
  CHECK(journal.count_events("auth.attempted") == 40);
  const auto note = crypto::parse_note(journal.checkpoints.back());
  CHECK(crypto::parse_checkpoint(note->body)->size == journal.leaves);
}

TEST_CASE("a new journal file that a crash left without its state is put aside", "[recorder][service]") {
  RecorderNode node;
  node.start();
  (void)node.append("auth.attempted", "{}", true);
  node.kill9();
  std::ofstream(node.journal_dir + "/" + journal_file_name(2), std::ios::binary) << "SPJRNL01";
  node.start();
  CHECK(node.append("auth.attempted", "{}", true).has_event_appended());
  node.stop();
  const auto journal = read_journal(node.journal_dir);
  CHECK(journal.wrong.empty());
  CHECK(journal.count_events("auth.attempted") == 2);
}

TEST_CASE("a journal that contradicts itself is not written to", "[recorder][service]") {
  RecorderNode node;
  node.settings.set("journal_roll_bytes", "2000");
  node.start();
  for (int i = 0; i < 60; ++i) (void)node.append("auth.attempted", "{}", false);
  node.kill9();
  REQUIRE(journal_files(node.journal_dir).size() > 3);
  std::filesystem::remove(node.journal_dir + "/" + journal_file_name(2));
  node.start();
  const auto status = node.status();
  CHECK_FALSE(status.healthy());
  CHECK(status.reason().find("00000002.journal is missing") != std::string::npos);
  CHECK(node.append("auth.attempted", "{}", false).has_failure());
}

TEST_CASE("without a vault the checkpoint waits, and is made when it is there", "[recorder][service]") {
  RecorderNode node;
  node.settings.set("checkpoint_interval_ms", "200");
  node.signs = false;
  node.start();
  (void)node.append("auth.attempted", "{}", true);
  CHECK_FALSE(node.pump_until([&] { return std::filesystem::exists(node.folder + "/witness"); }, 500));
  node.signs = true;
  node.kill9();
  node.start();
  CHECK(node.pump_until([&] { return std::filesystem::exists(node.folder + "/witness"); }));
  node.stop();
  CHECK(read_journal(node.journal_dir).wrong.empty());
}

TEST_CASE("a witness that cannot be written is an event, not an end", "[recorder][service]") {
  RecorderNode node;
  node.settings.set("witness_files", node.folder + "/no/such/folder/w");
  node.settings.set("checkpoint_interval_ms", "100");
  node.start();
  (void)node.append("auth.attempted", "{}", true);
  CHECK(node.pump_until([&] { return node.checkpoints_signed >= 1; }));
  (void)node.append("auth.attempted", "{}", true);
  CHECK(node.pump_until([&] { return read_journal(node.journal_dir).count_events("checkpoint.witness_failed") >= 1; }));
  CHECK(node.status().healthy());
}

TEST_CASE("a second recorder on the same journal does not write", "[recorder][service]") {
  RecorderNode node;
  node.start();
  (void)node.append("auth.attempted", "{}", true);
  const auto second = Journal::open({node.journal_dir}, system_clock(), crypto::system_random());
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::conflict);
}

TEST_CASE("an idle recorder with many sessions uses no processor time", "[recorder][service]") {
  RecorderNode node;
  node.settings.set("ring_sleep_after_ms", "200");
  node.settings.set("checkpoint_interval_ms", "60000");
  node.start();
  std::vector<std::unique_ptr<PlayedSession>> sessions;
  for (int i = 0; i < 100; ++i) {
    sessions.push_back(node.make_session(true, seal::k_ring_min_capacity));
    begin(*sessions.back());
  }
  REQUIRE(node.pump_until([&] { return node.status().live_rings() == 100; }));
  const auto cpu_ticks = [&] {
    std::istringstream stat(read_file("/proc/" + std::to_string(node.pid()) + "/stat"));
    std::string word;
    long ticks = 0;
    for (int i = 1; i <= 15 && stat >> word; ++i)
      if (i >= 14) ticks += std::stol(word);
    return ticks;
  };
  (void)node.pump_until([] { return false; }, 6000);  // the first checkpoint, the last tick
  const long before = cpu_ticks();
  (void)node.pump_until([] { return false; }, 2000);
  CHECK(cpu_ticks() - before <= 1);
  // And a bell wakes it at once.
  put(*sessions[7], "awake");
  CHECK(node.pump_until([&] { return read_journal(node.journal_dir).entries.at(sessions[7]->id.str()).size() == 2; }, 1000));
}
