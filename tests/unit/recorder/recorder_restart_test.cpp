// The recorder as a process: killed and started anew, rings that were left behind, rings and links that lie.
#include <fcntl.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "platform/crypto/random.h"
#include "recorder/journal/journal.h"
#include "played_session.h"

using namespace sallyport;
using namespace sallyport::recorder;
using namespace sallyport::recorder::test;

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
