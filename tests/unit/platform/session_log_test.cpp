// Sealed entries: the bytes of docs/format/journal.md, opened here by hand.
#include "platform/seal/session_log.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "platform/crypto/hkdf.h"
#include "platform/crypto/random.h"
#include "platform/crypto/ulid.h"
#include "tests/unit/step_clock.h"

using namespace sallyport;
using namespace sallyport::seal;
using Put = SessionLog::Put;

namespace {

struct Opened {
  EntryHeader header;
  Bytes body;  // unsealed, unpacked; empty when it cannot be opened
  bool is_open = false;
};

/// Reads as the format page says, knowing nothing of SessionLog.
class Reader {
 public:
  Reader(std::string label, Bytes session_key) : label_(std::move(label)) {
    chain_ = crypto::hkdf_sha256(session_key, bytes_of(label_), "sallyport chain v1", 32);
  }
  Opened open(ByteView entry, const Secret* line_key = nullptr) {
    Opened opened;
    opened.header = *read_entry_header(entry.first<48>());
    REQUIRE(opened.header.size + 64 == entry.size());
    Bytes aad = copy_of(bytes_of(label_));
    aad.insert(aad.end(), entry.begin(), entry.begin() + 48);
    aad.insert(aad.end(), previous_.begin(), previous_.end());
    const ByteView body = entry.subspan(48, opened.header.size);
    crypto::Tag tag{};
    std::copy(entry.end() - 16, entry.end(), tag.begin());
    previous_ = tag;
    if ((opened.header.flags & k_flag_sealed) == 0) {
      Bytes text = copy_of(bytes_of("sallyport plain entry v1"));
      text.insert(text.end(), aad.begin(), aad.end());
      text.insert(text.end(), body.begin(), body.end());
      const auto hash = crypto::sha256(text);
      REQUIRE(std::equal(tag.begin(), tag.end(), hash.begin()));
      opened.body = copy_of(body);
      opened.is_open = true;
      return opened;
    }
    while (segment_ < static_cast<int>(opened.header.segment)) {
      key_ = crypto::hkdf_sha256(chain_.reveal(), {}, "sallyport segment v1", 32);
      chain_ = crypto::hkdf_sha256(chain_.reveal(), {}, "sallyport next v1", 32);
      ++segment_;
    }
    if (opened.header.kind == EntryKind::typed && line_key == nullptr) return opened;
    crypto::Aes256Gcm cipher(line_key != nullptr ? line_key->reveal() : key_.reveal());
    Bytes plain(body.size());
    crypto::Nonce nonce{};
    for (std::size_t i = 0; i < 8; ++i) nonce[i] = static_cast<std::byte>(opened.header.sequence >> (8 * i));
    REQUIRE(cipher.open(nonce, aad, body, tag, plain.data()));
    if ((opened.header.flags & k_flag_compressed) != 0) {
      crypto::ZstdDecompressor zstd;
      Bytes unpacked(k_max_data);
      unpacked.resize(zstd.decompress(plain, unpacked).value());
      plain = unpacked;
    }
    opened.body = plain;
    opened.is_open = true;
    return opened;
  }

 private:
  std::string label_;
  Secret chain_;
  Secret key_;
  int segment_ = -1;
  crypto::Tag previous_{};
};

struct LogFixture {
  LogFixture() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sallyport-log-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    const Fd file = create_ring_file(folder + "/r", session, k_ring_default_capacity).value();
    mapping = RingMapping::map(file.get()).value();
    consumer.emplace(RingConsumer::adopt(mapping.span(), session, 0).value());
    log.emplace(RingProducer::adopt(mapping.span()).value(), session, Secret(key), clock);
    reader.emplace(session.str(), key);
  }
  ~LogFixture() { std::filesystem::remove_all(folder); }
  std::vector<Bytes> take() {
    std::vector<Bytes> entries;
    for (;;) {
      Bytes entry;
      const auto next = consumer->next(entry);
      REQUIRE(next != RingConsumer::Next::broken);
      if (next == RingConsumer::Next::nothing) break;
      entries.push_back(std::move(entry));
    }
    consumer->free_up_to(consumer->position());
    return entries;
  }
  std::vector<Opened> read() {
    std::vector<Opened> all;
    for (const auto& entry : take()) all.push_back(reader->open(entry));
    return all;
  }

  test::StepClock clock;
  SessionId session = crypto::make_session_id(system_clock(), crypto::system_random());
  Bytes key = crypto::random_bytes(crypto::system_random(), 32);
  std::string folder;
  RingMapping mapping;
  std::optional<RingConsumer> consumer;
  std::optional<SessionLog> log;
  std::optional<Reader> reader;
};

Bytes text(std::string_view value) { return copy_of(bytes_of(value)); }

}  // namespace

TEST_CASE("every kind of entry opens as the format page says", "[platform][session_log]") {
  LogFixture f;
  const Bytes wrapped = crypto::random_bytes(crypto::system_random(), 300);
  REQUIRE(f.log->append_header(R"({"principal":"engineer"})", wrapped) == Put::stored);
  REQUIRE(f.log->append_event(R"({"name":"channel.opened"})") == Put::stored);
  REQUIRE(f.log->append_data(1, Stream::in, text("ls\n")) == Put::stored);
  REQUIRE(f.log->append_data(1, Stream::out, text("a b\n")) == Put::stored);
  REQUIRE(f.log->append_data(1, Stream::err, text("oh")) == Put::stored);
  REQUIRE(f.log->append_data(1, Stream::out, text("more")) == Put::stored);
  REQUIRE(f.log->append_resize(1, 80, 24, 640, 480) == Put::stored);
  REQUIRE(f.log->append_bulk_marker(1, Stream::out, 8, 1 << 20, crypto::sha256("bulk")) == Put::stored);
  REQUIRE(f.log->append_data(1, Stream::out, text("after")) == Put::stored);
  REQUIRE(f.log->append_exit(1, 3, "") == Put::stored);
  REQUIRE(f.log->append_exit(2, 0, "TERM") == Put::stored);
  REQUIRE(f.log->append_end("the \"client\" left") == Put::stored);
  CHECK(f.log->sequence() == 12);
  const auto all = f.read();
  REQUIRE(all.size() == 12);
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK(all[i].header.sequence == i + 1);
    CHECK(all[i].is_open);
    CHECK(all[i].header.boot_us == 1'000'000);
  }
  CHECK(all[0].header.kind == EntryKind::header);
  CHECK(get_number<std::uint32_t>(all[0].body.data()) == 24);
  CHECK(Bytes(all[0].body.begin() + 4 + 24, all[0].body.end()) == wrapped);
  CHECK(all[3].header.kind == EntryKind::data_out);
  CHECK(text_of(all[3].body) == "a b\n");
  CHECK(all[4].header.kind == EntryKind::data_err);
  CHECK(all[5].header.extra == 4);
  CHECK(get_number<std::uint32_t>(all[6].body.data() + 8) == 640);
  CHECK(all[7].header.extra == 8);
  CHECK(get_number<std::uint64_t>(all[7].body.data() + 8) == 1 << 20);
  CHECK(all[8].header.extra == 8 + (1 << 20));
  CHECK(text_of(all[9].body) == R"({"status":3})");
  CHECK(text_of(all[10].body) == R"({"signal":"TERM","core":false})");
  CHECK(text_of(all[11].body) == R"({"reason":"the \"client\" left"})");
}

TEST_CASE("output of 256 bytes and more is compressed when that pays, input and noise never", "[platform][session_log]") {
  LogFixture f;
  REQUIRE(f.log->append_header("{}", {}) == Put::stored);
  const Bytes dull(20'000, std::byte{'x'});
  const Bytes noise = crypto::random_bytes(crypto::system_random(), 4000);
  REQUIRE(f.log->append_data(1, Stream::out, dull) == Put::stored);
  REQUIRE(f.log->append_data(1, Stream::out, Bytes(255, std::byte{'x'})) == Put::stored);
  REQUIRE(f.log->append_data(1, Stream::in, dull) == Put::stored);
  REQUIRE(f.log->append_data(1, Stream::out, noise) == Put::stored);
  const auto all = f.read();
  CHECK((all[1].header.flags & k_flag_compressed) != 0);
  CHECK(all[1].header.size < 200);
  CHECK(all[1].body == dull);
  CHECK((all[2].header.flags & k_flag_compressed) == 0);
  CHECK((all[3].header.flags & k_flag_compressed) == 0);
  CHECK(all[4].body == noise);
  CHECK((all[4].header.flags & k_flag_compressed) == 0);
  CHECK(all[4].header.extra == 20'255);
}

TEST_CASE("a typed line opens only with its own key, which is written when it was echoed", "[platform][session_log]") {
  LogFixture f;
  REQUIRE(f.log->append_header("{}", {}) == Put::stored);
  REQUIRE(f.log->append_input_typed(1, 7, text("l")) == Put::stored);
  REQUIRE(f.log->append_input_typed(1, 7, text("s\r")) == Put::stored);
  REQUIRE(f.log->append_input_typed(1, 8, text("hunter2\r")) == Put::stored);
  REQUIRE(f.log->reveal_line(1, 7) == Put::stored);
  REQUIRE(f.log->drop_line(1, 8, 8) == Put::stored);
  REQUIRE(f.log->reveal_line(1, 8) == Put::stored);  // too late: nothing is written
  const auto raw = f.take();
  REQUIRE(raw.size() == 6);
  Reader first(f.session.str(), f.key);
  std::vector<Opened> all;
  for (const auto& entry : raw) all.push_back(first.open(entry));
  CHECK(all[4].header.kind == EntryKind::line_key);
  CHECK(all[4].header.extra == 7);
  CHECK(all[5].header.kind == EntryKind::line_dropped);
  CHECK(get_number<std::uint64_t>(all[5].body.data()) == 8);
  const Secret line_key{ByteView(all[4].body)};
  Reader second(f.session.str(), f.key);
  (void)second.open(raw[0]);
  CHECK(text_of(second.open(raw[1], &line_key).body) == "l");
  CHECK(text_of(second.open(raw[2], &line_key).body) == "s\r");
}

TEST_CASE("segments move on by age and by size, and each has a key of its own", "[platform][session_log]") {
  LogFixture f;
  REQUIRE(f.log->append_header("{}", {}) == Put::stored);
  REQUIRE(f.log->append_data(1, Stream::in, text("one")) == Put::stored);
  f.clock.pass(std::chrono::milliseconds(1900));
  REQUIRE(f.log->append_data(1, Stream::in, text("two")) == Put::stored);
  f.clock.pass(std::chrono::milliseconds(200));
  REQUIRE(f.log->append_data(1, Stream::in, text("three")) == Put::stored);
  auto all = f.read();
  CHECK(all[1].header.segment == 0);
  CHECK(all[2].header.segment == 0);
  CHECK(all[3].header.segment == 1);
  CHECK(text_of(all[3].body) == "three");
  std::uint32_t last = 1;
  const Bytes chunk = crypto::random_bytes(crypto::system_random(), k_max_data);
  for (int i = 0; i < 70; ++i) {
    REQUIRE(f.log->append_data(1, Stream::in, chunk) == Put::stored);
    for (const auto& opened : f.read()) {
      CHECK(opened.body == chunk);
      CHECK(opened.header.segment <= last + 1);
      last = opened.header.segment;
    }
  }
  CHECK(last == 3);
  f.clock.pass(std::chrono::seconds(60));
  f.log->rest();
  REQUIRE(f.log->append_data(1, Stream::in, text("later")) == Put::stored);
  CHECK(f.read()[0].header.segment == 4);
}

TEST_CASE("a full ring says no_room, writes nothing, and goes on where it was", "[platform][session_log]") {
  LogFixture f;
  REQUIRE(f.log->append_header("{}", {}) == Put::stored);
  const Bytes chunk = crypto::random_bytes(crypto::system_random(), 30'000);
  std::uint64_t stored = 0;
  Put put = Put::stored;
  while ((put = f.log->append_data(1, Stream::out, chunk)) == Put::stored) ++stored;
  CHECK(put == Put::no_room);
  CHECK(stored == 8);
  CHECK(f.log->bell_needed());
  CHECK(f.log->offset(1, Stream::out) == stored * chunk.size());
  CHECK(f.log->room() < chunk.size());
  CHECK(f.read().size() == stored + 1);
  CHECK(f.consumer->take_want_space());
  REQUIRE(f.log->append_data(1, Stream::out, chunk) == Put::stored);
  const auto rest = f.read();
  REQUIRE(rest.size() == 1);
  CHECK(rest[0].header.extra == stored * chunk.size());
  CHECK(rest[0].body == chunk);
}

TEST_CASE("a dropped line's key is gone even when there is no room to say so", "[platform][session_log]") {
  LogFixture f;
  REQUIRE(f.log->append_header("{}", {}) == Put::stored);
  REQUIRE(f.log->append_input_typed(1, 1, text("secret\r")) == Put::stored);
  const Bytes chunk = crypto::random_bytes(crypto::system_random(), 1000);
  while (f.log->append_data(1, Stream::in, chunk) == Put::stored) {
  }
  while (f.log->append_event("{\"fill\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}") == Put::stored) {
  }
  while (f.log->append_event("{}") == Put::stored) {
  }
  CHECK(f.log->drop_line(1, 1, 7) == Put::no_room);
  (void)f.take();
  CHECK(f.log->drop_line(1, 1, 7) == Put::stored);
}

TEST_CASE("the log fails closed on misuse and stays failed", "[platform][session_log]") {
  LogFixture f;
  SECTION("data before the header") {
    CHECK(f.log->append_data(1, Stream::in, text("x")) == Put::failed);
    CHECK(f.log->append_header("{}", {}) == Put::failed);
  }
  SECTION("a second header") {
    REQUIRE(f.log->append_header("{}", {}) == Put::stored);
    CHECK(f.log->append_header("{}", {}) == Put::failed);
  }
  SECTION("anything after the end") {
    REQUIRE(f.log->append_header("{}", {}) == Put::stored);
    REQUIRE(f.log->append_end("done") == Put::stored);
    CHECK(f.log->append_event("{}") == Put::failed);
  }
  SECTION("a bulk marker that leaves a hole") {
    REQUIRE(f.log->append_header("{}", {}) == Put::stored);
    CHECK(f.log->append_bulk_marker(1, Stream::out, 5, 10, {}) == Put::failed);
  }
  SECTION("too much at once") {
    REQUIRE(f.log->append_header("{}", {}) == Put::stored);
    CHECK(f.log->append_data(1, Stream::in, Bytes(k_max_data + 1)) == Put::failed);
  }
  SECTION("another session's ring") {
    const SessionId other = crypto::make_session_id(system_clock(), crypto::system_random());
    const Fd file = create_ring_file(f.folder + "/o", other, k_ring_default_capacity).value();
    auto mapping = RingMapping::map(file.get()).value();
    SessionLog wrong(RingProducer::adopt(mapping.span()).value(), f.session, Secret(f.key), f.clock);
    CHECK(wrong.append_header("{}", {}) == Put::failed);
  }
  SECTION("a damaged ring") {
    REQUIRE(f.log->append_header("{}", {}) == Put::stored);
    f.consumer->free_up_to(1 << 20);
    CHECK(f.log->append_data(1, Stream::in, text("x")) == Put::failed);
  }
  CHECK_FALSE((f.log->failure().empty() && f.log->append_event("{}") == Put::stored));
}

TEST_CASE("very many open lines drop the oldest, nothing grows without bound", "[platform][session_log]") {
  LogFixture f;
  REQUIRE(f.log->append_header("{}", {}) == Put::stored);
  std::size_t dropped = 0;
  for (std::uint64_t line = 1; line <= 1000; ++line) {
    REQUIRE(f.log->append_input_typed(1, line, text("a")) == Put::stored);
    if (line % 100 == 0)
      for (const auto& opened : f.read()) dropped += opened.header.kind == EntryKind::line_dropped ? 1U : 0U;
  }
  CHECK(dropped == 1000 - SessionLog::k_most_open_lines);
}
