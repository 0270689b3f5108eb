// The short form of entries in a frame: what comes out is what went in, by the recorder's reader and by the readers' own, and no bytes hurt.
#include <catch2/catch.hpp>
#include <random>

#include "recorder/journal/frame.h"
#include "recorder/replay/frames.h"

using namespace sallyport;

namespace {

Bytes random_entry(std::mt19937_64& random, std::uint64_t sequence, const seal::EntryHeader& before) {
  const auto pick = [&](std::uint64_t count) { return random() % count; };
  seal::EntryHeader header = before;
  header.sequence = sequence;
  header.kind = static_cast<seal::EntryKind>(pick(20) == 0 ? 200 : 1 + pick(51));
  header.flags = static_cast<std::uint8_t>(pick(20) == 0 ? 7 : pick(4));
  if (pick(4) == 0) header.channel = static_cast<std::uint32_t>(random());
  if (pick(4) == 0) header.segment = static_cast<std::uint32_t>(random());
  const auto moved = pick(10) == 0 ? random() : pick(500'000) - 20'000;  // clocks may jump anywhere
  header.wall_us = static_cast<std::int64_t>(static_cast<std::uint64_t>(header.wall_us) + moved);
  header.boot_us = static_cast<std::int64_t>(static_cast<std::uint64_t>(header.boot_us) + (pick(3) == 0 ? random() : moved));
  if (pick(2) == 0) header.extra = pick(5) == 0 ? random() : header.extra + pick(3000);
  header.size = static_cast<std::uint32_t>(pick(8) == 0 ? pick(seal::k_max_body + 1) : pick(40));
  Bytes entry(seal::k_entry_overhead + header.size);
  seal::write_entry_header(header, std::span(entry).first<seal::k_entry_header_bytes>());
  for (std::size_t i = seal::k_entry_header_bytes; i < entry.size(); ++i) entry[i] = static_cast<std::byte>(random());
  return entry;
}

struct Read {
  std::vector<Bytes> entries;
  bool sound = false;
};

Read by_recorder(ByteView payload) {
  Read read;
  auto entries = recorder::EntriesReader::open(payload);
  if (!entries) return read;
  while (const auto entry = entries->next()) read.entries.push_back(copy_of(*entry));
  read.sound = entries->is_whole();
  return read;
}

Read by_replay(ByteView payload) {
  Read read;
  auto entries = replay::EntriesFrame::parse(payload);
  if (!entries) return read;
  while (const auto entry = entries->next()) read.entries.push_back(copy_of(entry->whole));
  read.sound = entries->is_sound();
  return read;
}

const seal::Label k_label = *seal::label_of("01ARZ3NDEKTSV4RRFFQ69G5FAV");

Bytes payload_of(const std::vector<Bytes>& entries, bool in_place) {
  Bytes out;
  recorder::EntriesWriter writer(out, k_label, 1);
  for (const Bytes& entry : entries) {
    if (!in_place) {
      writer.add(entry);
      continue;
    }
    const std::size_t at = writer.begin_entry();
    out.insert(out.end(), entry.begin(), entry.end());
    writer.end_entry(at);
  }
  REQUIRE(writer.finish(4711));
  out.erase(out.begin(), out.begin() + recorder::k_frame_header_bytes);
  return out;
}

}  // namespace

TEST_CASE("entries in the short form come out as they went in", "[recorder][journal]") {
  std::mt19937_64 random(20261123);
  for (int round = 0; round < 200; ++round) {
    std::vector<Bytes> entries;
    seal::EntryHeader before;
    std::uint64_t sequence = random() >> (random() % 64);
    for (std::uint64_t i = 0, count = 1 + random() % 30; i < count; ++i) {
      sequence += random() % 20 == 0 ? random() : 1;
      entries.push_back(random_entry(random, sequence, before));
      if (const auto header = seal::read_entry_header(ByteView(entries.back()).first<seal::k_entry_header_bytes>())) before = *header;
    }
    std::erase_if(entries, [](const Bytes& entry) { return !seal::read_entry_header(ByteView(entry).first<seal::k_entry_header_bytes>()); });
    if (entries.empty()) continue;
    const Bytes payload = payload_of(entries, false);
    REQUIRE(payload == payload_of(entries, true));
    for (const Read& read : {by_recorder(payload), by_replay(payload)}) {
      REQUIRE(read.sound);
      REQUIRE(read.entries == entries);
    }
  }
}

TEST_CASE("a typed letter costs under thirty bytes in the short form", "[recorder][journal]") {
  std::vector<Bytes> entries;
  for (std::uint64_t i = 0; i < 100; ++i) {
    seal::EntryHeader header;
    header.sequence = 1000 + i;
    header.kind = i % 2 == 0 ? seal::EntryKind::typed : seal::EntryKind::data_out;
    header.flags = seal::k_flag_sealed;
    header.channel = 1;
    header.wall_us = 1'800'000'000'000'000 + static_cast<std::int64_t>(i) * 75'000;
    header.boot_us = 9'000'000'000 + static_cast<std::int64_t>(i) * 75'000 + static_cast<std::int64_t>(i % 3);
    header.segment = 12;
    header.size = 1;
    header.extra = i % 2 == 0 ? 7 : 40'000 + i / 2;
    Bytes entry(seal::k_entry_overhead + 1, std::byte{0x5a});
    seal::write_entry_header(header, std::span(entry).first<seal::k_entry_header_bytes>());
    entries.push_back(std::move(entry));
  }
  const Bytes payload = payload_of(entries, true);
  CHECK(payload.size() < 40 + 30 * entries.size());
  CHECK(by_replay(payload).entries == entries);
}

TEST_CASE("cut and changed frames of the short form are read alike by both readers, and never past their end", "[recorder][journal]") {
  std::mt19937_64 random(7);
  std::vector<Bytes> entries;
  seal::EntryHeader before;
  for (std::uint64_t i = 0; i < 12; ++i) {
    Bytes entry(seal::k_entry_overhead + i * 3, static_cast<std::byte>(i));
    before.sequence = 5 + i;
    before.kind = i % 3 == 0 ? seal::EntryKind::typed : seal::EntryKind::data_out;
    before.wall_us += 1'000'000;
    before.size = static_cast<std::uint32_t>(i * 3);
    seal::write_entry_header(before, std::span(entry).first<seal::k_entry_header_bytes>());
    entries.push_back(std::move(entry));
  }
  const Bytes payload = payload_of(entries, false);
  for (std::size_t length = 0; length < payload.size(); ++length) {
    const Bytes cut(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK_FALSE(by_recorder(cut).sound);
    CHECK_FALSE(by_replay(cut).sound);
  }
  for (int round = 0; round < 20'000; ++round) {
    Bytes changed = payload;
    for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips) changed[26 + random() % (changed.size() - 26)] ^= static_cast<std::byte>(1U << (random() % 8));
    const Read one = by_recorder(changed);
    const Read other = by_replay(changed);
    if (one.sound && other.sound) REQUIRE(one.entries == other.entries);
    if (changed[26] == std::byte{1} && changed[27] == std::byte{0}) REQUIRE(one.sound == other.sound);
  }
}
