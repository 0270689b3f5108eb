// Attacks on a journal by hand, and what verify says. At random: random_attacks_test.cpp.
#include <catch2/catch.hpp>
#include <fstream>

#include "recorder/replay/journal_files.h"
#include "recorder/replay/verify.h"
#include "tests/unit/recorder/journal_maker.h"
#include "tests/unit/recorder/verify_fixture.h"

using namespace sallyport;
using namespace sallyport::replay;
using namespace sallyport::test;

using seal::SessionLog;
using seal::Stream;

TEST_CASE("an unharmed journal verifies, seals included, and says what it cannot know") {
  VerifyFixture fixture;
  auto report = fixture.verify(fixture.made.frames, false);
  for (const auto& finding : report.findings) WARN(finding.kind << " " << finding.text);
  CHECK(report.is_clean());
  CHECK(says_not_checked(report, k_roll_back));
  CHECK(report.sessions.size() == 3);
  CHECK(report.leaves == report.signed_leaves);
  for (const auto& session : report.sessions) {
    CHECK(session.state == "complete");
    CHECK(session.signed_entries == session.entries);
  }

  TemporaryFolder folder;
  fixture.made.write(folder.path(), 7);
  auto options = fixture.options(folder.path(), true);
  options.unwrap = [&](const SessionId&, ByteView wrapped) -> std::optional<Secret> {
    auto key = crypto::unwrap_with(wrapped, fixture.made.recipient.private_key_pem, fixture.made.recipient.certificate_der);
    return key ? std::optional(std::move(*key)) : std::nullopt;
  };
  auto opened = verify_journal(options);
  REQUIRE(opened);
  for (const auto& finding : opened->findings) WARN(finding.kind << " " << finding.text);
  CHECK(opened->is_clean());
  CHECK(opened->not_checked.empty());
  for (const auto& session : opened->sessions) CHECK(session.seals_checked);
}

TEST_CASE("a session without its end is truncated, or live while its ring is there") {
  JournalMaker made;
  auto& session = made.begin("{}");
  REQUIRE(session.log->append_data(1, Stream::out, bytes_of("x")) == SessionLog::Put::stored);
  made.drain(session);
  made.checkpoint();
  TemporaryFolder folder;
  made.write(folder.path());
  VerifyOptions options;
  options.journal = folder.path();
  CHECK(verify_journal(options)->sessions.at(0).state == "open");
  options.is_live = [](const SessionId&) { return true; };
  CHECK(verify_journal(options)->sessions.at(0).state == "live");
  options.is_live = [](const SessionId&) { return false; };
  const auto report = verify_journal(options);
  CHECK(report->sessions.at(0).state == "truncated");
  CHECK(report->is_clean());
  CHECK(says_not_checked(*report, "signatures (no checkpoint key)"));
}

TEST_CASE("an entry that was changed, with every checksum put right, is named with session, entry and time") {
  VerifyFixture fixture;
  auto frames = fixture.made.frames;
  const auto frame = std::find_if(frames.begin() + 8, frames.end(), [](const MadeFrame& f) { return f.type == 1; });
  const std::string session = session_of(*frame);
  frame->payload[40 + 4 + 50] ^= std::byte{1};  // in the sealed body of its first entry
  const auto report = fixture.verify(frames, false);
  REQUIRE(has(report, "entries-changed"));
  const auto& finding = *std::find_if(report.findings.begin(), report.findings.end(), [](const Finding& f) { return f.kind == "entries-changed"; });
  CHECK(finding.session == session);
  CHECK(finding.first_entry > 1);
  CHECK(finding.last_entry >= finding.first_entry);
  CHECK(finding.since_us > 1'800'000'000'000'000);
  for (const auto& other : report.findings) CHECK((other.session.empty() || other.session == session));
}

TEST_CASE("a removed session is missed by the log, also when the log's numbers are closed up") {
  VerifyFixture fixture;
  const std::string victim = fixture.made.sessions[2]->id.str();
  auto frames = fixture.made.frames;
  std::erase_if(frames, [&](const MadeFrame& frame) { return frame.type == 1 && session_of(frame) == victim; });
  const auto report = fixture.verify(frames, false);
  REQUIRE(has(report, "session-missing"));
  CHECK(report.findings.front().session == victim);

  std::erase_if(frames, [&](const MadeFrame& frame) { return frame.type == 3 && text_of(ByteView(frame.payload).subspan(62, 26)) == victim; });
  CHECK(has(fixture.verify(frames, false), "leaves-missing"));
  std::uint64_t leaf = 0;
  for (auto& frame : frames)
    if (frame.type == 2 || frame.type == 3) seal::put_number(frame.payload.data(), ++leaf);
  CHECK_FALSE(fixture.verify(frames, false).is_clean());

  rebuild_log(frames, fixture.made.origin, fixture.made.key);  // with the stolen checkpoint key
  const auto resigned = fixture.verify(frames, false);
  CHECK(resigned.is_clean());
  CHECK(says_not_checked(resigned, k_roll_back));
  CHECK_FALSE(fixture.verify(frames, true).is_clean());
  rebuild_log(frames, fixture.made.origin, crypto::Ed25519PrivateKey::generate(crypto::system_random()));
  CHECK(has(fixture.verify(frames, false), "checkpoint-signature"));
}

TEST_CASE("a roll-back to an earlier state is seen only with an outside checkpoint, and said so without") {
  VerifyFixture fixture;
  auto frames = fixture.made.frames;
  const auto first_checkpoint = std::find_if(frames.begin(), frames.end(), [](const MadeFrame& frame) { return frame.type == 4; });
  frames.erase(first_checkpoint + 1, frames.end());
  const auto without = fixture.verify(frames, false);
  CHECK(without.is_clean());
  CHECK(says_not_checked(without, k_roll_back));
  const auto with = fixture.verify(frames, true);
  CHECK(has(with, "rolled-back"));
  CHECK_FALSE(says_not_checked(with, k_roll_back));
}

TEST_CASE("who has today's checkpoint key cannot sign yesterday anew, with an outside checkpoint or without") {
  JournalMaker made;
  auto& session = made.begin(R"({"principal":"engineer","account":"deploy","target":"recs-1"})");
  std::vector<std::size_t> handovers;
  for (int hour = 0; hour < 4; ++hour) {
    REQUIRE(session.log->append_data(0, Stream::out, bytes_of("hour " + std::to_string(hour))) == SessionLog::Put::stored);
    made.drain(session);
    made.event("policy.applied", R"({"version":)" + std::to_string(hour) + "}");
    made.checkpoint();
    handovers.push_back(made.frames.size());
    made.hand_over();
  }
  made.end(session);
  made.checkpoint();
  const auto verify = [&](const std::vector<MadeFrame>& frames) {
    TemporaryFolder folder;
    write_journal(folder.path(), frames, 9);
    VerifyOptions options;
    options.journal = folder.path();
    options.patience = std::chrono::milliseconds(0);
    options.checkpoint_keys = {made.root_key()};
    auto report = verify_journal(options);
    REQUIRE(report);
    return std::move(*report);
  };
  const auto good = verify(made.frames);
  for (const auto& finding : good.findings) WARN(finding.kind << " " << finding.text);
  CHECK(good.is_clean());
  CHECK(good.handovers == 4);
  CHECK(good.signed_leaves == good.leaves);

  const auto change_first_event = [](std::vector<MadeFrame>& frames) {
    for (auto& frame : frames)
      if (frame.type == 2) {
        frame.payload.back() ^= std::byte{1};
        return;
      }
  };
  SECTION("everything computed anew and signed with the key of today") {
    auto frames = made.frames;
    change_first_event(frames);
    rebuild_log(frames, made.origin, made.key);
    const auto report = verify(frames);
    CHECK(has(report, "checkpoint-signature"));
  }
  SECTION("the handovers left as they are, all other checkpoints signed anew") {
    auto frames = made.frames;
    change_first_event(frames);
    rebuild_log(frames, made.origin, made.key);
    for (const std::size_t at : handovers) frames[at] = made.frames[at];
    const auto report = verify(frames);
    CHECK(has(report, "log-changed"));
  }
  SECTION("the handovers left out, so that only the last checkpoint is there, signed by today's key") {
    auto frames = made.frames;
    change_first_event(frames);
    std::size_t checkpoints = 0;
    for (const auto& frame : frames) checkpoints += frame.type == 4 ? 1 : 0;
    std::erase_if(frames, [&](const MadeFrame& frame) { return frame.type == 4 && --checkpoints > 0; });
    rebuild_log(frames, made.origin, made.key);
    const auto report = verify(frames);
    CHECK(has(report, "checkpoint-signature"));
  }
  SECTION("a key that had handed over signs again") {
    auto frames = made.frames;
    std::swap(frames[handovers[0] - 1].payload, frames[handovers[0]].payload);
    const auto report = verify(frames);
    CHECK(has(report, "checkpoint-signature"));
  }
}

TEST_CASE("files that are no journal give findings or an error, never a crash") {
  TemporaryFolder folder;
  VerifyOptions options;
  options.journal = folder.path() / "none";
  CHECK(verify_journal(options).error().code == Errc::not_found);
  options.journal = folder.path();
  CHECK(verify_journal(options).error().code == Errc::not_found);
  std::ofstream(folder.path() / "00000001.journal") << std::string(3'000'000, 'S');
  CHECK_FALSE(verify_journal(options)->is_clean());
  std::ofstream(folder.path() / "00000001.journal") << "";
  CHECK_FALSE(verify_journal(options)->is_clean());
  std::filesystem::create_directory(folder.path() / "00000002.journal");
  CHECK_FALSE(verify_journal(options)->is_clean());
}

TEST_CASE("a long journal is read ahead in pieces, and what is damaged in it is told in its place") {
  JournalMaker made;
  made.short_form = true;
  auto& session = made.begin("{}", 4 << 20);
  const Bytes piece(30'000, std::byte{0x5a});
  for (int i = 0; i < 400; ++i) {
    REQUIRE(session.log->append_data(1, Stream::in, piece) == SessionLog::Put::stored);
    REQUIRE(session.log->append_event("{}") == SessionLog::Put::stored);
    made.drain(session);
    if (i % 100 == 99) made.checkpoint();
  }
  made.end(session);
  made.checkpoint();
  TemporaryFolder folder;
  made.write(folder.path(), 50);
  VerifyOptions options;
  options.journal = folder.path();
  options.patience = std::chrono::milliseconds(0);
  const auto whole = verify_journal(options);
  REQUIRE(whole);
  CHECK(whole->is_clean());
  CHECK(whole->sessions.at(0).entries == session.log->sequence());
  CHECK(whole->bytes > 12'000'000);

  std::filesystem::remove(folder.path() / journal_file_name(3));
  std::filesystem::resize_file(folder.path() / journal_file_name(6), 1'000'000);
  const auto harmed = verify_journal(options);
  REQUIRE(harmed);
  std::vector<std::string> kinds;
  for (const Finding& finding : harmed->findings) kinds.push_back(finding.kind + " " + std::to_string(finding.file));
  CHECK(kinds.size() >= 4);
  CHECK(std::find(kinds.begin(), kinds.end(), "file-missing 4") != kinds.end());
  CHECK(std::find(kinds.begin(), kinds.end(), "entries-missing 4") != kinds.end());
  CHECK(std::find(kinds.begin(), kinds.end(), "bytes-unreadable 6") != kinds.end());
  CHECK(std::is_sorted(harmed->findings.begin(), harmed->findings.end(), [](const Finding& a, const Finding& b) { return a.file < b.file; }));
}
