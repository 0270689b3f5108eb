// Attacks on a journal, by hand and at random, and what verify says.
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <random>
#include <set>

#include "platform/crypto/hex.h"
#include "recorder/replay/journal_files.h"
#include "recorder/replay/verify.h"
#include "tests/unit/recorder/journal_maker.h"

using namespace sallyport;
using namespace sallyport::replay;
using namespace sallyport::test;

namespace {

using seal::SessionLog;
using seal::Stream;

bool has(const VerifyReport& report, std::string_view kind) {
  return std::any_of(report.findings.begin(), report.findings.end(), [&](const Finding& finding) { return finding.kind == kind; });
}
bool says_not_checked(const VerifyReport& report, std::string_view what) {
  return std::any_of(report.not_checked.begin(), report.not_checked.end(), [&](const std::string& line) { return line == what; });
}
constexpr std::string_view k_roll_back = "roll-back (no outside checkpoint)";

/// Three sessions, interleaved; all ended; a checkpoint in the middle and one at the end.
struct Fixture {
  explicit Fixture(bool short_form = false) {
    made.short_form = short_form;
    auto& one = made.begin(R"({"principal":"engineer","account":"deploy","target":"recs-1"})");
    auto& two = made.begin(R"({"principal":"auditor","account":"deploy","target":"recs-2"})");
    made.event("session.started", R"({"principal":"engineer"})", one.id.str());
    for (int round = 0; round < 6; ++round) {
      for (auto* session : {&one, &two}) {
        const std::string text = "round " + std::to_string(round) + " of " + session->id.str() + "\r\n";
        REQUIRE(session->log->append_data(0, Stream::out, bytes_of(text)) == SessionLog::Put::stored);
        REQUIRE(session->log->append_input_typed(0, static_cast<std::uint64_t>(round), bytes_of("l")) == SessionLog::Put::stored);
        REQUIRE(session->log->append_input_typed(0, static_cast<std::uint64_t>(round), bytes_of("s")) == SessionLog::Put::stored);
        REQUIRE(session->log->append_input_typed(0, static_cast<std::uint64_t>(round), bytes_of("\r")) == SessionLog::Put::stored);
        if (round % 2 == 0) REQUIRE(session->log->reveal_line(0, static_cast<std::uint64_t>(round)) == SessionLog::Put::stored);
        else REQUIRE(session->log->drop_line(0, static_cast<std::uint64_t>(round), 3) == SessionLog::Put::stored);
        REQUIRE(session->log->append_event(R"({"event":"file.read","path":"/srv/x"})") == SessionLog::Put::stored);
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

  VerifyOptions options(const std::filesystem::path& journal, bool outside) const {
    VerifyOptions result;
    result.journal = journal;
    result.patience = std::chrono::milliseconds(0);
    result.checkpoint_keys = {made.note_key()};
    if (outside) result.outside = {{crypto::parse_checkpoint(crypto::parse_note(final_note).value().body).value(), "witness"}};
    return result;
  }
  VerifyReport verify(const std::vector<MadeFrame>& frames, bool outside) const {
    TemporaryFolder folder;
    write_journal(folder.path(), frames, 12);
    auto report = verify_journal(options(folder.path(), outside));
    REQUIRE(report);
    return std::move(*report);
  }

  JournalMaker made;
  std::string final_note;
};

std::string session_of(const MadeFrame& frame) { return std::string(text_of(ByteView(frame.payload).first(26))); }

}  // namespace

TEST_CASE("an unharmed journal verifies, seals included, and says what it cannot know") {
  Fixture fixture;
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
  Fixture fixture;
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
  Fixture fixture;
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
  Fixture fixture;
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

namespace {

struct Attack {
  std::string name;
  bool needs_outside = false;  ///< a clean result without an outside checkpoint is allowed
  std::string kind{};          ///< it is found as this, also without an outside checkpoint
};

/// What is attacked, and what the attacker holds: with the checkpoint key she can sign anew.
struct AttackedLog {
  std::vector<MadeFrame> frames;
  std::vector<std::string> sessions;
  std::string origin;
  const crypto::Ed25519PrivateKey* key = nullptr;
  std::size_t frames_per_file = 12;
};

class Attacker {
 public:
  Attacker(const AttackedLog& log, std::uint64_t seed) : log_(log), random_(seed) {}

  /// Spoils a fresh copy of the journal in `folder`.
  Attack strike(const std::filesystem::path& folder) {
    for (;;) {
      frames_ = log_.frames;
      std::filesystem::remove_all(folder);
      const Attack attack = pick(16) < 7 ? strike_files(folder) : strike_frames(folder);
      if (!attack.name.empty()) return attack;
    }
  }

 private:
  std::size_t pick(std::size_t count) { return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_); }
  std::size_t pick_frame(std::initializer_list<std::uint32_t> types) {
    for (;;) {
      const std::size_t at = pick(frames_.size());
      if (std::find(types.begin(), types.end(), frames_[at].type) != types.end()) return at;
    }
  }
  std::filesystem::path file(const std::filesystem::path& folder, std::uint64_t number) { return folder / journal_file_name(number); }
  static std::string load(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void store(const std::filesystem::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

  Attack strike_files(const std::filesystem::path& folder) {
    write_journal(folder, frames_, log_.frames_per_file);
    const std::uint64_t count = (frames_.size() + log_.frames_per_file - 1) / log_.frames_per_file;
    const std::uint64_t number = 1 + pick(count);
    const auto path = file(folder, number);
    std::string text = load(path);
    const std::size_t at = pick(text.size());
    switch (pick(7)) {
      case 0:
        text[at] = static_cast<char>(text[at] ^ (1 << pick(8)));
        store(path, text);
        return {"flip a bit in file " + std::to_string(number) + " at " + std::to_string(at)};
      case 1: {
        const std::string before = text;
        for (std::size_t i = at; i < std::min(text.size(), at + 1 + pick(300)); ++i) text[i] = 0;
        if (text == before) return {};
        store(path, text);
        return {"zero bytes"};
      }
      case 2:
        text.resize(at);
        store(path, text);
        return {"cut file " + std::to_string(number) + " at " + std::to_string(at), number == count};
      case 3:
        if (number == count) return {};
        std::filesystem::remove(path);
        return {"remove file " + std::to_string(number)};
      case 4: {
        const std::uint64_t other = 1 + pick(count);
        if (other == number) return {};
        store(path, load(file(folder, other)));
        store(file(folder, other), text);
        return {"swap two files"};
      }
      case 5:
        text.insert(at, std::string(1 + pick(100), static_cast<char>(pick(256))));
        store(path, text);
        return {"insert bytes"};
      default: {
        const std::size_t length = 1 + pick(200);
        if (at + length >= text.size()) return {};
        text.erase(at, length);
        store(path, text);
        return {"remove bytes from the middle"};
      }
    }
  }

  // Frame numbers and checksums are always right here: the attacker knows the format.
  Attack strike_frames(const std::filesystem::path& folder) {
    const Attack attack = change_frames();
    if (!attack.name.empty()) write_journal(folder, frames_, log_.frames_per_file);
    return attack;
  }


  Attack change_frames() {
    switch (pick(12)) {
      case 0: {
        frames_.erase(frames_.begin() + static_cast<std::ptrdiff_t>(pick_frame({1, 2, 3})));
        return {"remove a frame"};
      }
      case 1: {
        auto& payload = frames_[pick_frame({1, 2, 3, 4})].payload;
        payload[pick(payload.size())] ^= static_cast<std::byte>(1 << pick(8));
        // ring_end is the recorder's own note and proves nothing.
        return frames_changed_outside_ring_end() ? Attack{"flip a bit inside a frame"} : Attack{};
      }
      case 2: {  // one entry out of the middle, count put right
        MadeFrame& frame = frames_[pick_frame({1})];
        auto entries = entries_in(frame.payload);
        entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(pick(entries.size())));
        put_entries(frame.payload, entries);
        return {"remove an entry"};
      }
      case 3: {  // two entries change places
        MadeFrame& frame = frames_[pick_frame({1})];
        auto entries = entries_in(frame.payload);
        if (entries.size() < 2) return {};
        const std::size_t first = pick(entries.size() - 1);
        std::swap(entries[first], entries[first + 1]);
        put_entries(frame.payload, entries);
        return {"reorder entries"};
      }
      case 4: {  // the label of a frame becomes another session's
        MadeFrame& frame = frames_[pick_frame({1})];
        const std::string& other = log_.sessions[pick(log_.sessions.size())];
        if (session_of(frame) == other) return {};
        std::copy_n(bytes_of(other).begin(), 26, frame.payload.begin());
        return {"give a frame to another session"};
      }
      case 5: {  // two frames of entries change their labels
        MadeFrame& first = frames_[pick_frame({1})];
        MadeFrame& second = frames_[pick_frame({1})];
        if (session_of(first) == session_of(second)) return {};
        std::swap_ranges(first.payload.begin(), first.payload.begin() + 26, second.payload.begin());
        return {"swap between sessions"};
      }
      case 6: {
        const std::size_t first = pick_frame({2, 3});
        const std::size_t second = pick_frame({2, 3});
        if (first == second) return {};
        std::swap(frames_[first], frames_[second]);
        return {"reorder leaves"};
      }
      case 7: {  // a whole session goes, heads and all, numbers of leaves closed up
        const std::string victim = log_.sessions[pick(log_.sessions.size())];
        std::erase_if(frames_, [&](const MadeFrame& frame) {
          return (frame.type == 1 && session_of(frame) == victim) ||
                 (frame.type == 3 && text_of(ByteView(frame.payload).subspan(62, 26)) == victim);
        });
        const bool resign = pick(2) == 0;
        if (resign) {
          rebuild_log(frames_, log_.origin, *log_.key);
        } else {
          std::uint64_t leaf = 0;
          for (auto& frame : frames_)
            if (frame.type == 2 || frame.type == 3) seal::put_number(frame.payload.data(), ++leaf);
        }
        return {resign ? "remove a session and sign anew" : "remove a session", resign};
      }
      case 8: {  // the tail goes
        frames_.resize(2 + pick(frames_.size() - 2));
        return {"cut the tail to " + std::to_string(frames_.size()) + " of " + std::to_string(log_.frames.size()) + " frames", true};
      }
      case 9: {  // the times of one session change, from some entry on; tags, heads and signatures are made anew
        const std::string victim = log_.sessions[pick(log_.sessions.size())];
        const std::int64_t by = pick_time();
        if (!move_session(victim, 1 + pick(20), by)) return {};
        rebuild_log(frames_, log_.origin, *log_.key);
        return {"move a session's clock", false, "clock-moved"};
      }
      case 10: {  // all times change from here on
        const std::size_t from = pick_frame({1, 2});
        const auto first_event = std::find_if(frames_.begin(), frames_.end(), [](const MadeFrame& frame) { return frame.type == 2; });
        if (first_event == frames_.end() || static_cast<std::ptrdiff_t>(from) <= first_event - frames_.begin()) return {};
        const std::int64_t by = pick_time();
        for (std::size_t i = from; i < frames_.size(); ++i)
          if (frames_[i].type == 2 || frames_[i].type == 3) add_time(frames_[i].payload.data() + 8, by);
        move_entries(from, by);
        rebuild_log(frames_, log_.origin, *log_.key);
        return {"move the clock", false, "clock-moved"};
      }
      default: {  // content changed, everything computed and signed anew with the stolen key
        MadeFrame& frame = frames_[pick_frame({2})];
        frame.payload.back() ^= std::byte{1};
        rebuild_log(frames_, log_.origin, *log_.key);
        return {"sign anew", true};
      }
    }
  }

  /// Ten seconds to a day, either way.
  std::int64_t pick_time() { return static_cast<std::int64_t>(10'000'000 + pick(86'400) * 1'000'000) * (pick(2) == 0 ? 1 : -1); }
  static void add_time(std::byte* at, std::int64_t by) { seal::put_number(at, seal::get_number<std::int64_t>(at) + by); }

  /// What has no seal gets its tag anew.
  void change_entries(const std::function<std::int64_t(std::size_t frame, const std::string& session, std::uint64_t entry)>& by) {
    std::map<std::string, crypto::Tag> previous;
    for (std::size_t i = 0; i < frames_.size(); ++i) {
      if (frames_[i].type != 1) continue;
      const std::string session = session_of(frames_[i]);
      auto entries = entries_in(frames_[i].payload);
      for (Bytes& whole : entries) {
        add_time(whole.data() + 16, by(i, session, seal::get_number<std::uint64_t>(whole.data())));
        const ByteView all(whole);
        const ByteView body = all.subspan(seal::k_entry_header_bytes, all.size() - seal::k_entry_header_bytes - 16);
        if ((std::to_integer<unsigned>(whole[9]) & seal::k_flag_sealed) == 0) {
          const auto additional = seal::additional_data(*seal::label_of(session), all.first<seal::k_entry_header_bytes>(), previous[session]);
          const crypto::Tag tag = seal::plain_tag(additional, body);
          std::copy(tag.begin(), tag.end(), whole.end() - 16);
        }
        std::copy(whole.end() - 16, whole.end(), previous[session].begin());
      }
      put_entries(frames_[i].payload, entries);
    }
  }
  bool move_session(const std::string& victim, std::uint64_t from, std::int64_t by) {
    bool moved = false;
    change_entries([&](std::size_t, const std::string& session, std::uint64_t entry) {
      const bool is_meant = session == victim && entry >= from;
      moved = moved || is_meant;
      return is_meant ? by : 0;
    });
    return moved;
  }
  void move_entries(std::size_t from, std::int64_t by) {
    change_entries([&](std::size_t frame, const std::string&, std::uint64_t) { return frame >= from ? by : 0; });
  }

  bool frames_changed_outside_ring_end() {
    for (std::size_t i = 0; i < frames_.size(); ++i) {
      Bytes before = log_.frames[i].payload, after = frames_[i].payload;
      if (frames_[i].type == 1) std::fill_n(before.begin() + 32, 8, std::byte{0}), std::fill_n(after.begin() + 32, 8, std::byte{0});
      if (before != after) return true;
    }
    return false;
  }

  const AttackedLog& log_;
  std::mt19937_64 random_;
  std::vector<MadeFrame> frames_;
};

}  // namespace

TEST_CASE("random attacks are found, or are of the kind that only an outside checkpoint shows, which is said") {
  const char* wanted = std::getenv("SALLYPORT_ATTACKS");
  const int rounds = wanted != nullptr ? std::atoi(wanted) : 500;
  const char* seeded = std::getenv("SALLYPORT_ATTACK_SEED");
  const std::uint64_t seed = seeded != nullptr ? std::strtoull(seeded, nullptr, 10) : 20261122;
  Fixture fixture(true);
  AttackedLog log{fixture.made.frames, {}, fixture.made.origin, &fixture.made.key};
  for (const auto& session : fixture.made.sessions) log.sessions.push_back(session->id.str());
  Attacker attacker(log, seed);
  std::map<std::string, int> only_outside;
  for (int round = 0; round < rounds; ++round) {
    TemporaryFolder folder;
    const Attack attack = attacker.strike(folder.path());
    INFO("seed " << seed << ", round " << round << ": " << attack.name);
    const auto without = verify_journal(fixture.options(folder.path(), false));
    const auto with = verify_journal(fixture.options(folder.path(), true));
    if (!without || !with) {  // nothing of it is left to be read
      CHECK(without.error().code == Errc::not_found);
      continue;
    }
    CHECK_FALSE(with->is_clean());
    if (!attack.kind.empty()) CHECK(has(*without, attack.kind));
    if (!attack.needs_outside) {
      CHECK_FALSE(without->is_clean());
    } else if (without->is_clean()) {
      CHECK(says_not_checked(*without, k_roll_back));
      ++only_outside[attack.name.substr(0, 12)];
    }
  }
  CHECK(only_outside.size() >= 2);
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

// A journal that a real gateway recorded (tests/e2e/test_attacks.py records it and calls this):
//   SALLYPORT_ATTACK_LOG    its folder
//   SALLYPORT_ATTACK_VKEY   file with the first checkpoint key
//   SALLYPORT_ATTACK_NOTES  witness file: checkpoints kept outside
//   SALLYPORT_ATTACK_SEED_HEX  the checkpoint key's seed, as stolen from the vault
//   SALLYPORT_ATTACKS       how many
TEST_CASE("random attacks on a real log are found", "[.][real-log]") {
  const auto given = [](const char* name) {
    const char* value = std::getenv(name);
    REQUIRE(value != nullptr);
    return std::string(value);
  };
  const auto text_in = [](const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const int rounds = std::atoi(given("SALLYPORT_ATTACKS").c_str());
  std::string line = text_in(given("SALLYPORT_ATTACK_VKEY"));
  line.erase(line.find_last_not_of("\r\n") + 1);
  const auto vkey = crypto::parse_vkey(line);
  REQUIRE(vkey);
  const auto seed_bytes = crypto::from_hex(given("SALLYPORT_ATTACK_SEED_HEX"));
  REQUIRE(seed_bytes);
  const auto stolen = crypto::Ed25519PrivateKey::from_seed(*seed_bytes);
  REQUIRE(stolen);
  AttackedLog log{{}, {}, vkey->name, &*stolen};
  auto files = JournalFiles::open(given("SALLYPORT_ATTACK_LOG"));
  REQUIRE(files);
  std::size_t last_checkpoint = 0;
  std::set<std::string> sessions;
  std::string newest_note;
  while (const auto frame = files->next()) {
    REQUIRE(frame->crc_right);
    if (frame->header.type == 5) continue;  // the recorder's own note at the head of each file; proves nothing
    log.frames.push_back({frame->header.type, copy_of(frame->payload)});
    if (frame->header.type == 1) sessions.insert(std::string(text_of(frame->payload.first(26))));
    if (frame->header.type != 4) continue;
    last_checkpoint = log.frames.size();
    newest_note = std::string(text_of(frame->payload));
  }
  log.frames.resize(last_checkpoint);  // what stands behind it is under no checkpoint yet, and verify says so
  log.sessions.assign(sessions.begin(), sessions.end());
  log.frames_per_file = log.frames.size() / 6 + 1;
  REQUIRE(log.sessions.size() >= 3);
  REQUIRE(text_in(given("SALLYPORT_ATTACK_NOTES")).find(newest_note) != std::string::npos);
  const auto check = [&](const std::filesystem::path& folder, bool outside) {
    VerifyOptions options;
    options.journal = folder;
    options.patience = std::chrono::milliseconds(0);
    options.checkpoint_keys = {*vkey};
    if (outside) {
      auto note = crypto::parse_note(newest_note).value();
      auto checkpoint = crypto::parse_checkpoint(note.body).value();
      options.outside.push_back({std::move(checkpoint), "witness", std::move(note)});
    }
    return verify_journal(options);
  };
  {
    TemporaryFolder folder;
    write_journal(folder.path(), log.frames, log.frames_per_file);
    const auto unharmed = check(folder.path(), true);
    REQUIRE(unharmed);
    for (const auto& finding : unharmed->findings) UNSCOPED_INFO(finding.kind << ": " << finding.text);
    REQUIRE(unharmed->is_clean());
    REQUIRE(unharmed->leaves == unharmed->signed_leaves);
  }
  Attacker attacker(log, 20261123);
  std::map<std::string, int> kinds;
  int missed = 0, said_not_checked = 0, found_without = 0;
  for (int round = 0; round < rounds; ++round) {
    TemporaryFolder folder;
    const Attack attack = attacker.strike(folder.path());
    INFO("round " << round << ": " << attack.name);
    ++kinds[attack.name.substr(0, attack.name.find_first_of("0123456789"))];
    const auto without = check(folder.path(), false);
    const auto with = check(folder.path(), true);
    if (!without || !with) {  // nothing of it is left to be read
      CHECK((without ? with : without).error().code == Errc::not_found);
      continue;
    }
    if (with->is_clean()) ++missed;
    if (!attack.kind.empty()) CHECK(has(*without, attack.kind));
    CHECK_FALSE(with->is_clean());
    if (!without->is_clean()) {
      ++found_without;
      continue;
    }
    CHECK(attack.needs_outside);
    CHECK(says_not_checked(*without, k_roll_back));
    ++said_not_checked;
  }
  std::printf("%d attacks on a log of %zu frames: %d missed; without an outside checkpoint %d found, %d said to be not checked\n", rounds, log.frames.size(), missed, found_without,
              said_not_checked);
  for (const auto& [name, count] : kinds) std::printf("  %6d  %s\n", count, name.c_str());
  CHECK(missed == 0);
  if (rounds >= 100) CHECK(said_not_checked > 0);
}
