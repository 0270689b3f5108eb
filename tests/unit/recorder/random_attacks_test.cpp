// Attacks at random, on a journal of the test's own and on one that a real gateway recorded: none is missed.
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
#include "tests/unit/recorder/verify_fixture.h"

using namespace sallyport;
using namespace sallyport::replay;
using namespace sallyport::test;

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
          return (frame.type == 1 && session_of(frame) == victim) || (frame.type == 3 && text_of(ByteView(frame.payload).subspan(62, 26)) == victim);
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
  VerifyFixture fixture(true);
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
  std::printf("%d attacks on a log of %zu frames: %d missed; without an outside checkpoint %d found, %d said to be not checked\n", rounds, log.frames.size(),
              missed, found_without, said_not_checked);
  for (const auto& [name, count] : kinds) std::printf("  %6d  %s\n", count, name.c_str());
  CHECK(missed == 0);
  if (rounds >= 100) CHECK(said_not_checked > 0);
}
