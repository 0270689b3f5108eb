// How a stream that moves bulk is recorded: in full, by hash while it is fast, in full again.
#include <catch2/catch.hpp>
#include <filesystem>

#include "gateway/ssh/tape.h"
#include "platform/crypto/random.h"
#include "platform/seal/ring.h"
#include "recorder/replay/frames.h"
#include "recorder/replay/session_opener.h"
#include "tests/unit/step_clock.h"

using namespace sallyport;
using namespace sallyport::gateway;
using Put = Tape::Put;

namespace {

constexpr std::size_t k_kib = 1024, k_mib = 1024 * k_kib;

/// One range of a stream, as a reader of the recording finds it.
struct Range {
  seal::EntryKind kind{};
  std::uint64_t first = 0, length = 0;
  bool operator==(const Range&) const = default;
};

struct Fixture {
  Fixture() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sallyport-tape-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    const Fd file = seal::create_ring_file(folder + "/r", session, seal::k_ring_default_capacity).value();
    mapping = seal::RingMapping::map(file.get()).value();
    consumer.emplace(seal::RingConsumer::adopt(mapping.span(), session, 0).value());
    opener.emplace(replay::SessionOpener::make(label, Secret(key)).value());
    auto ends = control::Link::make_pair().value();
    recorder_end = std::move(ends.second);
    tape.emplace(io, std::move(ends.first), clock);
    tape->open(std::make_unique<seal::SessionLog>(seal::RingProducer::adopt(mapping.span()).value(), session, Secret(key), clock));
    REQUIRE(tape->header("{}", {}) == Put::stored);
    channel.id = 1;
    channel.full_recording_bytes = 256 * k_kib;
  }
  ~Fixture() { std::filesystem::remove_all(folder); }

  /// Bytes that no compression makes smaller and that say where they stand.
  Bytes next_bytes(std::size_t count, std::uint64_t at) const {
    Bytes bytes(count);
    for (std::size_t i = 0; i < count; ++i) {
      std::uint64_t mixed = (at + i) * 0x9e3779b97f4a7c15ULL;
      mixed ^= mixed >> 29;
      bytes[i] = static_cast<std::byte>((mixed * 0xbf58476d1ce4e5b9ULL) >> 56);
    }
    return bytes;
  }

  Put write(std::size_t count, bool is_stderr = false) {
    StreamTape& stream = is_stderr ? channel.err : channel.out;
    const Bytes bytes = next_bytes(count, stream.total);
    std::size_t done = 0;
    for (;;) {
      const Put put = tape->output(channel, is_stderr, bytes, done);
      read();
      if (put == Put::no_room) continue;
      if (put == Put::stored) REQUIRE(done == count);
      return put;
    }
  }

  /// In reads of 32 KiB, as they come from a connection; no time passes.
  void write_fast(std::size_t count) {
    for (std::size_t left = count; left > 0; left -= std::min(left, 32 * k_kib)) REQUIRE(write(std::min(left, 32 * k_kib)) == Put::stored);
  }

  /// What the ring holds, opened as a reader of the recording does, each range proven to be what was written there.
  void read() {
    Bytes whole;
    while (whole.clear(), consumer->next(whole) == seal::RingConsumer::Next::entry) {
      replay::StoredEntry entry;
      entry.whole = whole;
      entry.header = *seal::read_entry_header(entry.header_bytes());
      const auto opened = opener->open(entry, previous, nullptr);
      REQUIRE(opened);
      previous = entry.tag();
      const auto kind = entry.header.kind;
      if (kind == seal::EntryKind::data_out || kind == seal::EntryKind::data_err || kind == seal::EntryKind::data_in) {
        REQUIRE(copy_of(opened->body) == next_bytes(opened->body.size(), entry.header.extra));
        put(kind == seal::EntryKind::data_err ? err : kind == seal::EntryKind::data_in ? in : out, {kind, entry.header.extra, opened->body.size()});
      } else if (kind == seal::EntryKind::bulk_marker) {
        const auto marker = replay::parse_bulk_marker(opened->body);
        REQUIRE(marker);
        REQUIRE(marker->sha256 == crypto::sha256(next_bytes(marker->length, entry.header.extra)));
        put(marker->stream == 2 ? err : out, {kind, entry.header.extra, marker->length});
      }
    }
    consumer->free_up_to(consumer->position());
  }

  /// Neighbours of one kind count as one; nothing is left out and nothing stands twice.
  static void put(std::vector<Range>& ranges, Range range) {
    REQUIRE(range.first == (ranges.empty() ? 0 : ranges.back().first + ranges.back().length));
    if (!ranges.empty() && ranges.back().kind == range.kind && range.kind != seal::EntryKind::bulk_marker) ranges.back().length += range.length;
    else ranges.push_back(range);
  }

  std::string folder;
  SessionId session{"01ARZ3NDEKTSV4RRFFQ69G5FAV"};
  seal::Label label = *seal::label_of(session.view());
  Bytes key = Bytes(32, std::byte{7});
  test::StepClock clock;
  boost::asio::io_context io;
  Fd recorder_end;
  seal::RingMapping mapping;
  std::optional<seal::RingConsumer> consumer;
  std::optional<replay::SessionOpener> opener;
  crypto::Tag previous{};
  std::optional<Tape> tape;
  Channel channel;
  std::vector<Range> in, out, err;
};

constexpr auto k_data = seal::EntryKind::data_out;
constexpr auto k_hash = seal::EntryKind::bulk_marker;

}  // namespace

TEST_CASE_METHOD(Fixture, "a stream is recorded in full, by hash while it is fast, and in full again", "[tape]") {
  write_fast(256 * k_kib);  // what is always in full
  clock.pass(std::chrono::seconds(2));
  write_fast(512 * k_kib);  // beyond it, but slow
  clock.pass(std::chrono::seconds(2));
  REQUIRE(write(512 * k_kib, true) == Put::stored);  // the other stream counts for itself
  REQUIRE(out == std::vector<Range>{{k_data, 0, 768 * k_kib}});

  write_fast(3 * k_mib);  // a MiB within the second, then by hash
  read();
  REQUIRE(out == std::vector<Range>{{k_data, 0, 768 * k_kib + k_mib}});
  clock.pass(std::chrono::seconds(1));
  write_fast(64 * k_kib);  // the second before was fast
  REQUIRE(out.size() == 1);
  clock.pass(std::chrono::seconds(1));
  REQUIRE(write(10) == Put::stored);  // the second before was not
  const std::uint64_t hashed = 2 * k_mib + 64 * k_kib;
  REQUIRE(out == std::vector<Range>{{k_data, 0, 1792 * k_kib}, {k_hash, 1792 * k_kib, hashed}, {k_data, 1792 * k_kib + hashed, 10}});

  clock.pass(std::chrono::seconds(5));
  write_fast(2 * k_mib);
  REQUIRE(tape->finish_streams(channel) == Put::stored);
  read();
  REQUIRE(out.size() == 4);
  REQUIRE(out.back().kind == k_hash);
  REQUIRE(out.back().first + out.back().length == channel.out.total);
  std::uint64_t in_full = 0;
  for (const Range& range : out) in_full += range.kind == k_data ? range.length : 0;
  REQUIRE(in_full == channel.out.full);
  REQUIRE(err == std::vector<Range>{{seal::EntryKind::data_err, 0, 512 * k_kib}});
}

TEST_CASE_METHOD(Fixture, "a pause ends hash mode even when much came before it", "[tape]") {
  write_fast(3 * k_mib);
  clock.pass(std::chrono::seconds(30));
  REQUIRE(write(1) == Put::stored);
  REQUIRE(out.size() == 3);
  REQUIRE(out.back() == Range{k_data, 3 * k_mib, 1});
}

TEST_CASE_METHOD(Fixture, "one hash covers 64 MiB at most", "[tape]") {
  write_fast(130 * k_mib);
  REQUIRE(tape->finish_streams(channel) == Put::stored);
  read();
  REQUIRE(out.size() == 4);
  for (std::size_t i = 1; i < out.size(); ++i) {
    REQUIRE(out[i].kind == k_hash);
    REQUIRE(out[i].length <= 64 * k_mib);
  }
}

TEST_CASE_METHOD(Fixture, "a terminal, standard input and bulk: full are always in full; bulk: end ends", "[tape]") {
  SECTION("terminal") {
    channel.pty = true;
    write_fast(4 * k_mib);
    REQUIRE(out == std::vector<Range>{{k_data, 0, 4 * k_mib}});
  }
  SECTION("bulk: full") {
    channel.bulk = control::BULK_FULL;
    write_fast(4 * k_mib);
    REQUIRE(out == std::vector<Range>{{k_data, 0, 4 * k_mib}});
  }
  SECTION("standard input") {
    for (int i = 0; i < 128; ++i) {
      const Bytes bytes = next_bytes(32 * k_kib, channel.in.total);
      std::size_t done = 0;
      while (tape->input(channel, bytes, done) == Put::no_room) read();
      REQUIRE(done == bytes.size());
      read();
    }
    REQUIRE(in == std::vector<Range>{{seal::EntryKind::data_in, 0, 4 * k_mib}});
  }
  SECTION("bulk: end") {
    channel.bulk = control::BULK_END;
    Put put = Put::stored;
    for (int i = 0; i < 128 && put == Put::stored; ++i) put = write(32 * k_kib);
    REQUIRE(put == Put::too_bulky);
    REQUIRE(out == std::vector<Range>{{k_data, 0, channel.out.total}});
    REQUIRE(channel.out.total <= k_mib);
  }
}
