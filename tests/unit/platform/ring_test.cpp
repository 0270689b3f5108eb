// The ring between a session process and the recorder: room, order, wake-ups, and a producer that lies.
#include "platform/seal/ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <random>
#include <thread>

#include "platform/crypto/random.h"
#include "platform/crypto/ulid.h"

using namespace sallyport;
using namespace sallyport::seal;

namespace {

struct RingFixture {
  RingFixture() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sallyport-ring-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    file = create_ring_file(folder + "/" + session.str() + ".ring", session, k_ring_min_capacity).value();
    mapping = RingMapping::map(file.get()).value();
    producer.emplace(RingProducer::adopt(mapping.span()).value());
    consumer.emplace(RingConsumer::adopt(mapping.span(), session, 0).value());
  }
  ~RingFixture() { std::filesystem::remove_all(folder); }

  /// An entry-like body: only sizes matter to the ring.
  bool put(std::size_t bytes, unsigned char fill) {
    const auto space = producer->reserve(bytes);
    if (space.empty()) return false;
    std::memset(space.data(), fill, space.size());
    producer->commit();
    return true;
  }

  SessionId session = crypto::make_session_id(system_clock(), crypto::system_random());
  std::string folder;
  Fd file;
  RingMapping mapping;
  std::optional<RingProducer> producer;
  std::optional<RingConsumer> consumer;
};

void poke(std::span<std::byte> mapping, std::size_t at, std::uint64_t value) { std::memcpy(mapping.data() + at, &value, sizeof value); }

}  // namespace

TEST_CASE("what was committed comes out in order and whole", "[platform][ring]") {
  RingFixture ring;
  std::mt19937 random(7);
  Bytes out;
  std::vector<std::pair<std::size_t, unsigned char>> expected;
  for (int i = 0; i < 20'000; ++i) {
    const std::size_t bytes = k_entry_overhead + random() % (i % 50 == 0 ? k_max_data : 600U);
    const auto fill = static_cast<unsigned char>(random());
    if (ring.put(bytes, fill)) expected.emplace_back(bytes, fill);
    if (i % 7 != 0) continue;
    for (;;) {
      out.clear();
      const auto next = ring.consumer->next(out);
      if (next == RingConsumer::Next::nothing) break;
      REQUIRE(next == RingConsumer::Next::entry);
      REQUIRE_FALSE(expected.empty());
      REQUIRE(out.size() == expected.front().first);
      REQUIRE(std::all_of(out.begin(), out.end(), [&](std::byte b) { return b == static_cast<std::byte>(expected.front().second); }));
      expected.erase(expected.begin());
    }
    REQUIRE(expected.empty());
    ring.consumer->free_up_to(ring.consumer->position());
  }
}

TEST_CASE("a full ring holds the producer and wakes it when space is freed", "[platform][ring]") {
  RingFixture ring;
  int stored = 0;
  while (ring.put(10'000, 1)) ++stored;
  CHECK(stored == 13);
  CHECK(ring.producer->bell_needed());
  CHECK_FALSE(ring.put(10'000, 1));
  CHECK_FALSE(ring.producer->bell_needed());  // one bell for one hold
  Bytes out;
  REQUIRE(ring.consumer->next(out) == RingConsumer::Next::entry);
  CHECK_FALSE(ring.put(10'000, 1));  // read is not freed
  ring.consumer->free_up_to(ring.consumer->position());
  CHECK(ring.consumer->take_want_space());
  CHECK_FALSE(ring.consumer->take_want_space());
  // The slot of 10,016 bytes at the lap's end has room for one more only when enough is free at its beginning.
  REQUIRE(ring.consumer->next(out) == RingConsumer::Next::entry);
  ring.consumer->free_up_to(ring.consumer->position());
  CHECK(ring.put(10'000, 1));
}

TEST_CASE("the largest entry always fits into an empty ring", "[platform][ring]") {
  RingFixture ring;
  Bytes out;
  for (int i = 0; i < 200; ++i) {
    REQUIRE(ring.producer->room() >= k_max_entry);
    REQUIRE(ring.put(k_max_entry, 3));
    REQUIRE(ring.put(k_entry_overhead + static_cast<std::size_t>(i), 4));
    for (int taken = 0; taken < 2; ++taken) REQUIRE(ring.consumer->next(out) == RingConsumer::Next::entry);
    REQUIRE(ring.consumer->next(out) == RingConsumer::Next::nothing);
    ring.consumer->free_up_to(ring.consumer->position());
  }
}

TEST_CASE("room() never promises more than reserve() gives", "[platform][ring]") {
  RingFixture ring;
  std::mt19937 random(11);
  Bytes out;
  for (int i = 0; i < 20'000; ++i) {
    const std::size_t room = ring.producer->room();
    if (room >= k_entry_overhead && random() % 4 == 0) {
      REQUIRE(ring.put(room, 5));
    } else {
      (void)ring.put(k_entry_overhead + random() % 3000, 6);
    }
    out.clear();
    if (random() % 2 == 0 && ring.consumer->next(out) == RingConsumer::Next::entry) ring.consumer->free_up_to(ring.consumer->position());
  }
}

TEST_CASE("a sleeping recorder is rung once, a waking one is not", "[platform][ring]") {
  RingFixture ring;
  REQUIRE(ring.put(100, 1));
  CHECK_FALSE(ring.producer->bell_needed());
  CHECK_FALSE(ring.consumer->go_to_sleep());  // there is news
  Bytes out;
  REQUIRE(ring.consumer->next(out) == RingConsumer::Next::entry);
  CHECK(ring.consumer->go_to_sleep());
  REQUIRE(ring.put(100, 1));
  CHECK(ring.producer->bell_needed());
  REQUIRE(ring.put(100, 1));
  CHECK_FALSE(ring.producer->bell_needed());
}

TEST_CASE("more than half full rings once per half lap", "[platform][ring]") {
  RingFixture ring;
  int bells = 0;
  for (int i = 0; i < 12; ++i) {
    REQUIRE(ring.put(10'000, 1));
    if (ring.producer->bell_needed()) ++bells;
  }
  CHECK(bells == 1);
}

TEST_CASE("who was rung and has freed nothing yet is not rung again, also not for a hold", "[platform][ring]") {
  RingFixture ring;
  int bells = 0;
  while (ring.put(10'000, 1))
    if (ring.producer->bell_needed()) ++bells;
  CHECK(bells == 1);                     // at half
  CHECK_FALSE(ring.producer->bell_needed());  // not for want of room: the first bell is not answered yet
  Bytes out;
  while (ring.consumer->next(out) == RingConsumer::Next::entry) {
  }
  ring.consumer->free_up_to(ring.consumer->position());
  bells = 0;
  for (int i = 0; i < 12; ++i) {
    REQUIRE(ring.put(10'000, 1));
    if (ring.producer->bell_needed()) ++bells;
  }
  CHECK(bells == 1);  // what was told before is freed: the next half rings
}

TEST_CASE("an entry at human pace lets an empty ring begin anew", "[platform][ring]") {
  RingFixture ring;
  Bytes out;
  std::size_t furthest = 0;
  for (int i = 0; i < 5000; ++i) {
    const auto space = ring.producer->reserve(120, true);
    REQUIRE(space.size() == 120);
    furthest = std::max(furthest, static_cast<std::size_t>(space.data() - ring.mapping.span().data()));
    ring.producer->commit();
    REQUIRE(ring.consumer->next(out) == RingConsumer::Next::entry);
    ring.consumer->free_up_to(ring.consumer->position());
  }
  CHECK(furthest < k_ring_header_bytes + 20 * 1024);
}

TEST_CASE("a ring is used by one producer only", "[platform][ring]") {
  RingFixture ring;
  REQUIRE(ring.put(100, 1));
  const auto second = RingProducer::adopt(ring.mapping.span());
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::conflict);
}

TEST_CASE("a ring of another session, another size or another kind is refused", "[platform][ring]") {
  RingFixture ring;
  const SessionId other = crypto::make_session_id(system_clock(), crypto::system_random());
  CHECK_FALSE(RingConsumer::adopt(ring.mapping.span(), other, 0));
  CHECK_FALSE(RingConsumer::adopt(ring.mapping.span().first(ring.mapping.span().size() - 4096), ring.session, 0));
  CHECK_FALSE(RingConsumer::adopt(ring.mapping.span(), ring.session, 8));
  poke(ring.mapping.span(), 16, k_ring_min_capacity * 2);
  CHECK_FALSE(RingConsumer::adopt(ring.mapping.span(), ring.session, 0));
  CHECK_FALSE(RingProducer::adopt(ring.mapping.span()));
}

TEST_CASE("a ring file is allocated, private and never taken over", "[platform][ring]") {
  RingFixture ring;
  const std::string path = ring.folder + "/" + ring.session.str() + ".ring";
  CHECK(create_ring_file(path, ring.session, k_ring_min_capacity).error().code == Errc::conflict);
  CHECK(create_ring_file(ring.folder + "/x", SessionId("no label"), k_ring_min_capacity).error().code == Errc::invalid);
  CHECK(create_ring_file(ring.folder + "/x", ring.session, 1).error().code == Errc::invalid);
  CHECK(std::filesystem::status(path).permissions() == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  REQUIRE(::ftruncate(ring.file.get(), 5000) == 0);
  CHECK(RingMapping::map(ring.file.get()).error().code == Errc::corrupt);
}

TEST_CASE("a lying producer is noticed, whatever it writes", "[platform][ring]") {
  RingFixture ring;
  Bytes out;
  const auto data = ring.mapping.span().subspan(k_ring_header_bytes);
  REQUIRE(ring.put(200, 1));
  REQUIRE(ring.put(200, 2));
  SECTION("a changed byte") {
    data[16 + 50] ^= std::byte{1};
    CHECK(ring.consumer->next(out) == RingConsumer::Next::broken);
    CHECK(ring.consumer->next(out) == RingConsumer::Next::broken);
    CHECK(out.empty());
  }
  SECTION("a length beyond the lap, beyond the limit, below an entry's least") {
    for (const std::uint32_t length : {0x7fffffffU, static_cast<std::uint32_t>(k_max_entry + 1), 1U}) {
      std::memcpy(data.data() + 8, &length, 4);
      CHECK(ring.consumer->next(out) == RingConsumer::Next::broken);
    }
  }
  SECTION("a pad that does not end at the lap") {
    const std::uint32_t pad = 0x80000000U | 216;
    std::memcpy(data.data() + 8, &pad, 4);
    CHECK(ring.consumer->next(out) == RingConsumer::Next::broken);
  }
  SECTION("an entry of this ring moved to another place") {
    std::memmove(data.data() + 224 + 8, data.data() + 8, 208);
    CHECK(ring.consumer->next(out) == RingConsumer::Next::entry);
    CHECK(ring.consumer->next(out) == RingConsumer::Next::entry);  // the ring cannot tell; the sequence does
    CHECK(std::memcmp(out.data(), out.data() + 200, 200) == 0);
  }
  SECTION("a commit word of another lap is no entry") {
    poke(data, 0, (std::uint64_t{k_ring_min_capacity}) ^ 0x53616C6C79706F72);
    CHECK(ring.consumer->next(out) == RingConsumer::Next::nothing);
  }
}

TEST_CASE("an impossible tail ends the producer instead of letting it overwrite", "[platform][ring]") {
  RingFixture ring;
  REQUIRE(ring.put(1000, 1));
  ring.consumer->free_up_to(1 << 20);
  CHECK(ring.producer->room() == 0);
  CHECK_FALSE(ring.producer->is_sound());
  CHECK_FALSE(ring.put(100, 1));
}

TEST_CASE("two threads pass a million bytes through sleeping, bells and holds without a lost wake-up", "[platform][ring]") {
  RingFixture ring;
  std::atomic<int> bell{0};
  std::atomic<int> space{0};
  std::atomic<bool> gave_up{false};
  constexpr int k_entries = 60'000;
  std::thread consumer([&] {
    Bytes out;
    int taken = 0;
    while (taken < k_entries) {
      out.clear();
      const auto next = ring.consumer->next(out);
      if (next == RingConsumer::Next::entry) {
        ++taken;
        continue;
      }
      if (next == RingConsumer::Next::broken) break;
      ring.consumer->free_up_to(ring.consumer->position());
      if (ring.consumer->take_want_space()) {
        space.store(1);
        space.notify_one();
      }
      if (!ring.consumer->go_to_sleep()) continue;
      bell.wait(0);
      bell.store(0);
      ring.consumer->wake_up();
    }
    gave_up = taken != k_entries;
  });
  std::mt19937 random(3);
  for (int i = 0; i < k_entries;) {
    if (ring.put(k_entry_overhead + random() % 2000, static_cast<unsigned char>(i))) {
      ++i;
    } else {
      if (ring.producer->bell_needed()) {
        bell.store(1);
        bell.notify_one();
      }
      space.wait(0);
      space.store(0);
      continue;
    }
    if (ring.producer->bell_needed()) {
      bell.store(1);
      bell.notify_one();
    }
  }
  bell.store(1);
  bell.notify_one();
  consumer.join();
  CHECK_FALSE(gave_up);
}
