// The seek index, the proof of what is shown, key frames, held pieces.
#include <catch2/catch.hpp>
#include <fstream>

#include "recorder/replay/picture.h"
#include "recorder/replay/playback.h"
#include "recorder/replay/seek_index.h"
#include "recorder/replay/session_walk.h"
#include "recorder/replay/shown_proof.h"
#include "tests/unit/recorder/journal_maker.h"

using namespace sallyport;
using namespace sallyport::replay;
using namespace sallyport::test;

namespace {

using seal::Stream;
using Put = seal::SessionLog::Put;

/// A session of 700 entries in small frames, another beside it, a checkpoint in the middle and one at the end.
struct Recorded {
  Recorded() {
    auto& session = made.begin(R"({"principal":"engineer","account":"deploy","target":"recs-1"})");
    auto& other = made.begin(R"({"principal":"auditor","account":"root","target":"recs-2"})");
    id = session.id;
    for (int i = 0; i < 700; ++i) {
      REQUIRE(session.log->append_data(1, Stream::out, bytes_of("line " + std::to_string(i) + "\r\n")) == Put::stored);
      made.clock.pass(1'000'000);
      if (i % 7 == 0) made.drain(session);
      if (i % 50 == 0) {
        REQUIRE(other.log->append_data(1, Stream::out, bytes_of("other\r\n")) == Put::stored);
        made.drain(other);
      }
      if (i == 350) {
        made.head(session, 2);
        made.checkpoint();
      }
    }
    made.end(session);
    made.checkpoint();
    key = session.key.clone();
    made.write(folder.path());
  }
  SeekIndex index() {
    auto opened = SeekIndex::open(":memory:", folder.path());
    REQUIRE(opened);
    REQUIRE(opened->catch_up());
    return std::move(*opened);
  }
  JournalMaker made;
  TemporaryFolder folder;
  SessionId id;
  Secret key;
};

/// Changes one bit in the body of an entry where it stands in its frame.
void spoil_entry(JournalMaker& made, const SessionId& session, std::uint64_t sequence) {
  for (MadeFrame& frame : made.frames) {
    if (frame.type != 1) continue;
    auto entries = EntriesFrame::parse(frame.payload);
    REQUIRE(entries);
    if (seal::text_of(entries->label()) != session.view()) continue;
    while (const auto entry = entries->next())
      if (entry->header.sequence == sequence) {
        frame.payload[static_cast<std::size_t>(entry->body().data() - frame.payload.data())] ^= std::byte{4};
        return;
      }
  }
  FAIL("no such entry");
}

std::vector<std::uint64_t> read_from(SeekIndex& index, const ShownProof& proof, std::uint64_t from, Result<void>* how = nullptr) {
  std::vector<std::uint64_t> sequences;
  auto read = proof.read(index, from, [&](const StoredEntry& entry, const std::optional<crypto::Tag>& previous) {
    CHECK(previous.has_value());
    sequences.push_back(entry.header.sequence);
    return true;
  });
  if (how != nullptr) *how = read;
  else CHECK(read);
  return sequences;
}

}  // namespace

TEST_CASE("the seek index finds sessions and moments, and the proof gives exactly the entries from there on") {
  Recorded recorded;
  SeekIndex index = recorded.index();
  const auto session = index.find_session(recorded.id.view().substr(0, 20), {});
  REQUIRE(session);
  CHECK(session->principal == "engineer");
  CHECK(session->state == "complete");
  CHECK(session->entries == find_session(recorded.folder.path(), recorded.id.view(), {})->entries);
  const std::vector<crypto::NoteKey> keys{recorded.made.note_key()};
  const auto proof = ShownProof::make(index, *session, keys, {});
  REQUIRE(proof);
  CHECK(proof->badge().is_signed);
  CHECK(proof->badge().proven == session->entries);
  CHECK(proof->badge().text().find("verified: ") == 0);
  for (const std::uint64_t from : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{256}, std::uint64_t{257}, std::uint64_t{600}, session->entries}) {
    const auto sequences = read_from(index, *proof, from);
    REQUIRE(sequences.size() == session->entries - from + 1);
    CHECK(sequences.front() == from);
    CHECK(sequences.back() == session->entries);
  }
  // Entry 2 is the first output, one more each second.
  const auto first_boot = index.spots(recorded.id, 1)->front().boot_us;
  CHECK(index.entry_before(recorded.id, first_boot + 100'500'000).value() == 102);
  CHECK(index.entry_before(recorded.id, first_boot - 1).value() == 0);
}

TEST_CASE("an index that is brought up to date says the same as one made at once") {
  Recorded recorded;
  const TemporaryFolder cache;
  const std::string file = (cache.path() / "seek.sqlite").string();
  for (int round = 0; round < 2; ++round) {
    auto index = SeekIndex::open(file, recorded.folder.path());
    REQUIRE(index);
    REQUIRE(index->catch_up());
    CHECK(index->tree("")->size() == recorded.index().tree("")->size());
  }
  // What is no index is put aside and begun anew.
  { std::ofstream(file, std::ios::trunc) << std::string(8192, 'x'); }
  auto index = SeekIndex::open(file, recorded.folder.path());
  REQUIRE(index);
  REQUIRE(index->catch_up());
  CHECK(index->find_session(recorded.id.view(), {})->entries > 700);
  CHECK(std::filesystem::exists(file + ".aside"));
}

TEST_CASE("a changed entry is never shown, with an index from before and with one from after") {
  for (const bool index_first : {true, false}) {
    Recorded recorded;
    const TemporaryFolder cache;
    const std::string file = (cache.path() / "seek.sqlite").string();
    if (index_first) REQUIRE(SeekIndex::open(file, recorded.folder.path())->catch_up());
    // One bit in the output of entry 400, its frame's checksum made right again by the maker.
    spoil_entry(recorded.made, recorded.id, 400);
    std::filesystem::remove_all(recorded.folder.path());
    recorded.made.write(recorded.folder.path());
    auto index = SeekIndex::open(file, recorded.folder.path());
    REQUIRE(index);
    REQUIRE(index->catch_up());
    const auto session = index->find_session(recorded.id.view(), {});
    REQUIRE(session);
    const std::vector<crypto::NoteKey> keys{recorded.made.note_key()};
    const auto proof = ShownProof::make(*index, *session, keys, {});
    if (!proof) {
      CHECK(proof.error().code == Errc::corrupt);
      continue;
    }
    Result<void> how;
    const auto sequences = read_from(*index, *proof, 1, &how);
    REQUIRE_FALSE(how);
    CHECK(how.error().code == Errc::corrupt);
    CHECK(std::find(sequences.begin(), sequences.end(), 400U) == sequences.end());
  }
}

TEST_CASE("a checkpoint of another key or from elsewhere that does not fit is refused") {
  Recorded recorded;
  SeekIndex index = recorded.index();
  const auto session = index.find_session(recorded.id.view(), {});
  REQUIRE(session);
  const auto other = crypto::make_note_key("other", crypto::Ed25519PublicKey{});
  CHECK(ShownProof::make(index, *session, std::vector{other}, {}).error().code == Errc::corrupt);
  crypto::Checkpoint outside;
  outside.size = index.tree("")->size() + 1;
  CHECK(ShownProof::make(index, *session, {}, std::vector{OutsideCheckpoint{outside, "elsewhere"}}).error().detail.find("rolled back") != std::string::npos);
  outside.size = 1;
  CHECK(ShownProof::make(index, *session, {}, std::vector{OutsideCheckpoint{outside, "elsewhere"}}).error().detail.find("contradicts") != std::string::npos);
}

TEST_CASE("the root over blocks is the tree's root at every size") {
  std::vector<crypto::Hash256> leaves, blocks;
  crypto::MerkleTree tree;
  for (std::size_t i = 0; i < 1100; ++i) {
    const auto leaf = crypto::merkle_leaf(bytes_of(std::to_string(i)));
    tree.append_leaf(leaf);
    leaves.push_back(leaf);
    if (leaves.size() == k_block_leaves) {
      blocks.push_back(crypto::merkle_root(leaves));
      leaves.clear();
    }
    REQUIRE(root_of_blocks(blocks, leaves) == tree.root());
  }
}

TEST_CASE("a key frame opens for its session, channel and entry only") {
  Recorded recorded;
  KeyFrame frame{1, 42, 1000, 3, {}};
  frame.sealed = seal_screen(recorded.key, recorded.id, frame, {100, 30, "\x1b[Hhello"});
  const auto state = open_screen(recorded.key, recorded.id, frame);
  REQUIRE(state);
  CHECK(state->columns == 100);
  CHECK(state->paint == "\x1b[Hhello");
  KeyFrame moved = frame;
  moved.sequence = 43;
  CHECK(open_screen(recorded.key, recorded.id, moved).error().code == Errc::corrupt);
  moved = frame;
  moved.sealed.back() ^= std::byte{1};
  CHECK(open_screen(recorded.key, recorded.id, moved).error().code == Errc::corrupt);
  moved.sealed.resize(10);
  CHECK(open_screen(recorded.key, recorded.id, moved).error().code == Errc::corrupt);
  CHECK(std::string(text_of(frame.sealed)).find("hello") == std::string::npos);
}

TEST_CASE("held pieces come out as data when their key is written, as asterisks when it was destroyed, and as nothing in between") {
  JournalMaker made;
  const TemporaryFolder folder;
  auto& session = made.begin(R"({"principal":"engineer"})");
  auto& log = *session.log;
  REQUIRE(log.append_data(1, Stream::out, bytes_of("ab")) == Put::stored);
  REQUIRE(log.append_held(1, Stream::out, bytes_of("cd")) == Put::stored);
  REQUIRE(log.reveal_line(1, seal::held_number(1, 2)) == Put::stored);
  REQUIRE(log.append_held(1, Stream::out, bytes_of("SECRET")) == Put::stored);
  REQUIRE(log.drop_line(1, seal::held_number(1, 4), 6) == Put::stored);
  REQUIRE(log.append_masked(1, Stream::out, 4, 6, 1, bytes_of("******")) == Put::stored);
  REQUIRE(log.append_data(1, Stream::out, bytes_of("ef")) == Put::stored);
  REQUIRE(log.append_held(1, Stream::out, bytes_of("never settled")) == Put::stored);
  made.end(session);
  made.checkpoint();
  made.write(folder.path());
  WalkOptions walk;
  walk.journal = folder.path();
  walk.session = session.id;
  walk.key = session.key.clone();
  std::string text;
  REQUIRE(walk_session(walk, [&](const WalkedEntry& entry) {
    if (entry.header.kind == seal::EntryKind::data_out && entry.state == WalkedEntry::State::open) text += text_of(entry.body);
    return true;
  }));
  CHECK(text == "abcd******ef");
  VerifyOptions verify;
  verify.journal = folder.path();
  verify.unwrap = [&](const SessionId&, ByteView) { return std::optional(session.key.clone()); };
  const auto report = verify_journal(verify);
  REQUIRE(report);
  for (const auto& finding : report->findings) UNSCOPED_INFO(finding.kind + ": " + finding.text);
  CHECK(report->is_clean());
}
