// Frames, trails and state: the journal's own bytes.
#include "recorder/journal/journal.h"

#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "platform/crypto/random.h"
#include "platform/crypto/ulid.h"
#include "recorder_node.h"

using namespace sallyport;
using namespace sallyport::recorder;

namespace {

seal::Label some_label() { return *seal::label_of(crypto::make_ulid(system_clock(), crypto::system_random())); }

Bytes entry(std::uint64_t sequence, seal::EntryKind kind, std::uint32_t segment = 0, std::size_t body = 10) {
  Bytes bytes(seal::k_entry_overhead + body);
  seal::write_entry_header({.sequence = sequence, .kind = kind, .segment = segment, .size = static_cast<std::uint32_t>(body)},
                           std::span(bytes).first<seal::k_entry_header_bytes>());
  return bytes;
}

}  // namespace

TEST_CASE("frames come back as they were put, and every flipped byte is noticed", "[recorder][journal]") {
  Bytes bytes;
  const std::size_t at = begin_frame(bytes, FrameType::checkpoint, 42);
  for (const char c : std::string_view("a note")) bytes.push_back(static_cast<std::byte>(c));
  end_frame(bytes, at);
  Frame frame;
  FrameReader reader(bytes);
  REQUIRE(reader.next(frame) == FrameReader::Next::frame);
  CHECK(frame.number == 42);
  CHECK(frame.type == FrameType::checkpoint);
  CHECK(text_of(frame.payload) == "a note");
  CHECK(reader.next(frame) == FrameReader::Next::end);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    Bytes spoiled = bytes;
    spoiled[i] ^= std::byte{4};
    FrameReader again(spoiled);
    CHECK(again.next(frame) != FrameReader::Next::frame);
    CHECK(again.offset() == 0);
  }
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    FrameReader cut(ByteView(bytes).first(size));
    CHECK(cut.next(frame) == FrameReader::Next::incomplete);
  }
}

TEST_CASE("events, heads and state come back as they were put", "[recorder][journal]") {
  AuditEvent event;
  event.leaf = 7;
  event.wall_us = -5;
  event.boot_us = 6;
  event.id = crypto::make_ulid(system_clock(), crypto::system_random());
  event.said_by = SaidBy::vault;
  event.session = std::string(seal::text_of(some_label()));
  event.name = "secret.put";
  event.json = R"({"name":"pw/recs-1/root"})";
  Bytes bytes;
  put_event(bytes, event);
  const auto again = read_event(bytes);
  REQUIRE(again);
  CHECK(again->wall_us == -5);
  CHECK(again->session == event.session);
  CHECK(again->json == event.json);
  for (std::size_t size = 0; size < bytes.size(); ++size) CHECK_FALSE(read_event(ByteView(bytes).first(size)));

  SessionHead head;
  head.leaf = 9;
  head.entries = 3;
  head.root = crypto::sha256("root");
  head.why = HeadWhy::truncated;
  head.label = some_label();
  bytes.clear();
  put_head(bytes, head);
  CHECK(bytes.size() == 88);
  REQUIRE(read_head(bytes));
  CHECK(read_head(bytes)->root == head.root);
  bytes[60] = std::byte{9};
  CHECK_FALSE(read_head(bytes));

  crypto::MerkleTree log;
  for (int i = 0; i < 13; ++i) log.append(bytes_of("leaf"));
  SessionTrail trail;
  trail.label = some_label();
  REQUIRE_FALSE(trail.take(entry(1, seal::EntryKind::header)));
  REQUIRE_FALSE(trail.take(entry(2, seal::EntryKind::end)));
  trail.ring_end = 320;
  bytes.clear();
  put_state(bytes, log, {&trail});
  const auto state = read_state(bytes);
  REQUIRE(state);
  CHECK(state->leaves == 13);
  REQUIRE(state->trails.size() == 1);
  CHECK(state->trails[0].tree.root() == trail.tree.root());
  CHECK(state->trails[0].has_end_entry);
  CHECK(state->trails[0].ring_end == 320);
  for (std::size_t size = 0; size < bytes.size(); ++size) CHECK_FALSE(read_state(ByteView(bytes).first(size)));
}

TEST_CASE("a trail takes only what may follow", "[recorder][journal]") {
  SessionTrail trail;
  trail.label = some_label();
  CHECK(trail.take(entry(1, seal::EntryKind::event)));   // no header
  CHECK(trail.take(entry(2, seal::EntryKind::header)));  // not the first
  REQUIRE_FALSE(trail.take(entry(1, seal::EntryKind::header)));
  CHECK(trail.take(entry(1, seal::EntryKind::header)));       // again
  CHECK(trail.take(entry(2, seal::EntryKind::header)));       // a second header
  CHECK(trail.take(entry(3, seal::EntryKind::event)));        // a gap
  CHECK(trail.take(entry(2, seal::EntryKind::data_in, 2)));   // a segment left out
  REQUIRE_FALSE(trail.take(entry(2, seal::EntryKind::data_in, 1)));
  CHECK(trail.take(entry(3, seal::EntryKind::data_in, 0)));   // back to an older segment
  Bytes lying = entry(3, seal::EntryKind::data_in, 1);
  lying.push_back(std::byte{0});
  CHECK(trail.take(lying));                                   // its size is not what it says
  CHECK(trail.take(Bytes(10)));
  REQUIRE_FALSE(trail.take(entry(3, seal::EntryKind::end, 1)));
  CHECK(trail.take(entry(4, seal::EntryKind::event, 1)));     // after the end
  CHECK(trail.tree.size() == 3);
}

TEST_CASE("a full disk: nothing half-written counts, and the journal goes on when there is room", "[recorder][journal]") {
  if (::geteuid() != 0) {
    WARN("skipped: needs root to mount a small tmpfs");
    return;
  }
  std::string pattern = (std::filesystem::temp_directory_path() / "sallyport-full-XXXXXX").string();
  const std::string folder = ::mkdtemp(pattern.data());
  if (::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=262144") != 0) {
    WARN("skipped: no right to mount a tmpfs here");
    std::filesystem::remove_all(folder);
    return;
  }
  {
    std::uint64_t written_leaves = 0;
    {
      auto journal = Journal::open({folder + "/journal"}, system_clock(), crypto::system_random()).value();
      Result<void> written;
      const std::string json = "{\"fill\":\"" + std::string(3000, 'x') + "\"}";
      for (int i = 0; i < 1000 && written; ++i) {
        (void)journal->append_event(SaidBy::authority, {}, "auth.attempted", json);
        written = journal->write();
        if (written) written_leaves = journal->log().size();
      }
      REQUIRE_FALSE(written);
      CHECK(written.error().code == Errc::unavailable);
      CHECK_FALSE(journal->write());  // it stays broken
    }
    {
      auto journal = Journal::open({folder + "/journal"}, system_clock(), crypto::system_random()).value();
      CHECK(journal->log().size() == written_leaves);
      CHECK(journal->recovery().cut_bytes == 0);
      REQUIRE(::mount("tmpfs", folder.c_str(), "tmpfs", MS_REMOUNT, "size=1048576") == 0);
      (void)journal->append_event(SaidBy::authority, {}, "auth.attempted", "{}");
      CHECK(journal->write());
    }
    const auto read = test::read_journal(folder + "/journal");
    CHECK(read.wrong.empty());
    CHECK(read.leaves == written_leaves + 1);
  }
  ::umount(folder.c_str());
  std::filesystem::remove_all(folder);
}
