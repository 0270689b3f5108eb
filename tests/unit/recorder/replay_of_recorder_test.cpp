// What the recorder process wrote, read by replay: also while it writes, and after it was killed.
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "platform/crypto/hex.h"
#include "recorder/replay/kept_checkpoints.h"
#include "recorder/replay/playback.h"
#include "recorder/replay/verify.h"
#include "recorder_node.h"
#include "tests/unit/recorder/journal_maker.h"

using namespace sallyport;
using namespace sallyport::recorder::test;
using Put = seal::SessionLog::Put;
using seal::Stream;

namespace {

void tell_news(PlayedSession& session) {
  if (!session.log->bell_needed()) return;
  control::Envelope bell;
  bell.mutable_ring_bell();
  (void)session.link.send(bell);
}

void say(RecorderNode& node, PlayedSession& session, std::string_view text) {
  while (session.log->append_data(1, Stream::out, bytes_of(text)) != Put::stored) {
    REQUIRE(session.log->failure().empty());
    tell_news(session);
    node.pump_until([] { return false; }, 5);
  }
  tell_news(session);
}

replay::VerifyOptions options_for(const RecorderNode& node, const PlayedSession& session) {
  replay::VerifyOptions options;
  options.journal = node.journal_dir;
  options.checkpoint_keys = {node.checkpoint_key};
  options.is_live = [&node](const SessionId& id) { return std::filesystem::exists(node.ring_dir + "/" + id.str() + ".ring"); };
  options.unwrap = [&session](const SessionId& id, ByteView) -> std::optional<Secret> {
    return id == session.id ? std::optional<Secret>(Secret(ByteView(session.key))) : std::nullopt;
  };
  return options;
}

void check_clean(const replay::VerifyReport& report) {
  for (const auto& finding : report.findings) UNSCOPED_INFO(finding.kind << " " << finding.session << " " << finding.text);
  CHECK(report.is_clean());
}

}  // namespace

TEST_CASE("a recorder's journal verifies while it is written, after kill -9 and after a restart", "[recorder][replay]") {
  RecorderNode node;
  node.start();
  auto session = node.make_session();
  REQUIRE(session->log->append_header(R"({"principal":"engineer","account":"deploy","target":"recs-1"})", bytes_of("wrapped")) == Put::stored);
  std::string sent;
  const auto talk = [&](int lines) {
    for (int i = 0; i < lines; ++i) {
      const std::string line = "line " + std::to_string(sent.size()) + "\r\n";
      sent += line;
      say(node, *session, line);
    }
  };
  for (int round = 0; round < 5; ++round) {
    talk(50);
    node.append("policy.applied", "{}", false);
    node.pump_until([] { return false; }, 120);
    const auto report = replay::verify_journal(options_for(node, *session));
    REQUIRE(report);
    check_clean(*report);
  }
  node.kill9();
  {
    auto report = replay::verify_journal(options_for(node, *session));
    REQUIRE(report);
    check_clean(*report);
    CHECK(report->sessions.at(0).state == "live");
  }
  node.start();
  talk(50);
  REQUIRE(session->log->append_exit(1, 0, "") == Put::stored);
  REQUIRE(session->log->append_end("client closed") == Put::stored);
  tell_news(*session);
  REQUIRE(node.pump_until([&] { return !node.recorded.empty(); }));
  node.session_gone(*session);
  REQUIRE(node.stop() == 0);

  const auto witness = replay::read_checkpoint_file(node.folder + "/witness");
  REQUIRE(witness);
  auto options = options_for(node, *session);
  for (const auto& note : *witness) {
    REQUIRE(crypto::verify_note(note, options.checkpoint_keys));
    options.outside.push_back({crypto::parse_checkpoint(note.body).value(), "witness"});
  }
  const auto report = replay::verify_journal(options);
  REQUIRE(report);
  check_clean(*report);
  CHECK(report->not_checked.empty());
  CHECK(report->sessions.at(0).state == "complete");
  CHECK(report->sessions.at(0).seals_checked);
  CHECK(report->sessions.at(0).signed_entries == session->log->sequence());

  replay::PlayOptions play;
  play.walk.journal = node.journal_dir;
  play.walk.session = session->id;
  play.walk.key = Secret(ByteView(session->key));
  play.speed = 0;
  std::string out;
  REQUIRE(replay::play_session(play, [&](std::string_view bytes) { return out += bytes, true; }, [](std::string_view) { return true; }));
  CHECK(out == sent);

  const std::string command = "python3 " SALLYPORT_SOURCE_DIR "/docs/format/sallyport_reader.py " + node.journal_dir + " --vkey " +
                              crypto::vkey_of(node.checkpoint_key) + " --checkpoint " + node.folder + "/witness --session " + session->id.str() + " --key " +
                              crypto::to_hex(session->key) + " > " + node.folder + "/python.out 2> " + node.folder + "/python.err";
  CHECK(std::system(command.c_str()) == 0);
  std::ifstream python(node.folder + "/python.out");
  const std::string lines(std::istreambuf_iterator<char>(python), {});
  CHECK(std::count(lines.begin(), lines.end(), '\n') == static_cast<std::ptrdiff_t>(session->log->sequence()));
}

// Not run by itself: prints how fast a large journal is verified. SALLYPORT_VERIFY_MB sets its size.
TEST_CASE("verifying goes at the speed of reading", "[.speed]") {
  const char* wanted = std::getenv("SALLYPORT_VERIFY_MB");
  const std::uint64_t megabytes = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 512;
  sallyport::test::JournalMaker made;
  auto& session = made.begin("{}", 4 * 1024 * 1024);
  const Bytes block = crypto::random_bytes(crypto::system_random(), 32 * 1024);
  for (std::uint64_t done = 0; done < megabytes * 1'000'000; done += block.size()) {
    while (session.log->append_data(1, Stream::out, block) != Put::stored) made.drain(session);
    made.clock.pass(300);
  }
  made.drain(session);
  made.end(session);
  made.checkpoint();
  sallyport::test::TemporaryFolder folder;
  made.write(folder.path(), 64);
  replay::VerifyOptions options;
  options.journal = folder.path();
  options.checkpoint_keys = {made.note_key()};
  for (const bool seals : {false, false, true}) {
    if (seals) options.unwrap = [&](const SessionId&, ByteView) { return std::optional<Secret>(session.key.clone()); };
    const auto began = std::chrono::steady_clock::now();
    const auto report = replay::verify_journal(options);
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    REQUIRE(report);
    CHECK(report->is_clean());
    WARN((seals ? "with every seal opened: " : "from files and public keys: ") << static_cast<double>(report->bytes) / 1e6 / took << " MB/s, "
                                                                               << static_cast<double>(report->bytes) / 1e6 << " MB in " << took << " s");
  }
}
