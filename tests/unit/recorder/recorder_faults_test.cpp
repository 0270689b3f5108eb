// The recorder as a process: full disks, torn and foreign journals, checkpoints without a vault or witness.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "platform/crypto/random.h"
#include "recorder/journal/journal.h"
#include "played_session.h"

using namespace sallyport;
using namespace sallyport::recorder;
using namespace sallyport::recorder::test;

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
