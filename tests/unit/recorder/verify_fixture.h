// tests/unit/recorder/verify_fixture.h -- a small journal whose every part verify has something to say about.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "recorder/replay/verify.h"
#include "tests/unit/recorder/journal_maker.h"

namespace sallyport::test {

[[nodiscard]] inline bool has(const replay::VerifyReport& report, std::string_view kind) {
  return std::any_of(report.findings.begin(), report.findings.end(), [&](const replay::Finding& finding) { return finding.kind == kind; });
}
[[nodiscard]] inline bool says_not_checked(const replay::VerifyReport& report, std::string_view what) {
  return std::any_of(report.not_checked.begin(), report.not_checked.end(), [&](const std::string& line) { return line == what; });
}
inline constexpr std::string_view k_roll_back = "roll-back (no outside checkpoint)";

/// Three sessions, interleaved; all ended; a checkpoint in the middle and one at the end.
struct VerifyFixture {
  explicit VerifyFixture(bool short_form = false) {
    made.short_form = short_form;
    auto& one = made.begin(R"({"principal":"engineer","account":"deploy","target":"recs-1"})");
    auto& two = made.begin(R"({"principal":"auditor","account":"deploy","target":"recs-2"})");
    made.event("session.started", R"({"principal":"engineer"})", one.id.str());
    for (int round = 0; round < 6; ++round) {
      for (auto* session : {&one, &two}) {
        const std::string text = "round " + std::to_string(round) + " of " + session->id.str() + "\r\n";
        REQUIRE(session->log->append_data(0, seal::Stream::out, bytes_of(text)) == seal::SessionLog::Put::stored);
        REQUIRE(session->log->append_input_typed(0, static_cast<std::uint64_t>(round), bytes_of("l")) == seal::SessionLog::Put::stored);
        REQUIRE(session->log->append_input_typed(0, static_cast<std::uint64_t>(round), bytes_of("s")) == seal::SessionLog::Put::stored);
        REQUIRE(session->log->append_input_typed(0, static_cast<std::uint64_t>(round), bytes_of("\r")) == seal::SessionLog::Put::stored);
        if (round % 2 == 0) REQUIRE(session->log->reveal_line(0, static_cast<std::uint64_t>(round)) == seal::SessionLog::Put::stored);
        else REQUIRE(session->log->drop_line(0, static_cast<std::uint64_t>(round), 3) == seal::SessionLog::Put::stored);
        REQUIRE(session->log->append_event(R"({"event":"file.read","path":"/srv/x"})") == seal::SessionLog::Put::stored);
        made.drain(*session);
        made.clock.pass(900'000);
      }
      if (round == 2) made.checkpoint();
      made.event("policy.applied", R"({"version":)" + std::to_string(round) + "}");
    }
    auto& three = made.begin(R"({"principal":"engineer","account":"root","target":"recs-1"})");
    made.drain(three);
    for (auto* session : {&one, &two, &three}) made.end(*session);
    final_note = made.checkpoint();
  }

  replay::VerifyOptions options(const std::filesystem::path& journal, bool outside) const {
    replay::VerifyOptions result;
    result.journal = journal;
    result.patience = std::chrono::milliseconds(0);
    result.checkpoint_keys = {made.note_key()};
    if (outside) result.outside = {{crypto::parse_checkpoint(crypto::parse_note(final_note).value().body).value(), "witness"}};
    return result;
  }
  replay::VerifyReport verify(const std::vector<MadeFrame>& frames, bool outside) const {
    TemporaryFolder folder;
    write_journal(folder.path(), frames, 12);
    auto report = replay::verify_journal(options(folder.path(), outside));
    REQUIRE(report);
    return std::move(*report);
  }

  JournalMaker made;
  std::string final_note;
};

[[nodiscard]] inline std::string session_of(const MadeFrame& frame) { return std::string(text_of(ByteView(frame.payload).first(26))); }

}  // namespace sallyport::test
