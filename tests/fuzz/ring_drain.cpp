// A ring whose every byte a hostile session process chose, drained as the recorder drains it. The first 16 bytes say where
// the recorder stands and whether the checks are made right (so that what lies behind them is reached, too).
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "platform/crypto/crc32c.h"
#include "platform/seal/ring.h"
#include "recorder/journal/frame.h"

namespace {

constexpr std::string_view k_label = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
constexpr std::uint64_t k_commit_key = 0x53616C6C79706F72;

/// Gives the slots from `position` on right commit words and checks, for as long as their lengths allow.
void make_right(std::span<std::byte> data, std::uint64_t position, int slots) {
  const std::uint32_t label_crc = sallyport::crypto::crc32c(sallyport::bytes_of(k_label));
  for (; slots > 0; --slots) {
    const std::size_t at = position % data.size();
    const std::uint64_t commit = position ^ k_commit_key;
    std::memcpy(data.data() + at, &commit, sizeof commit);
    std::uint32_t length = 0;
    std::memcpy(&length, data.data() + at + 8, sizeof length);
    if ((length & 0x80000000U) != 0) {
      position += data.size() - at;
      continue;
    }
    if (length > data.size() - at - 16) return;
    const auto crc = sallyport::crypto::crc32c(sallyport::ByteView(data).subspan(at + 16, length),
                                               sallyport::crypto::crc32c(sallyport::ByteView(data).subspan(at + 8, 4), label_crc));
    std::memcpy(data.data() + at + 12, &crc, sizeof crc);
    position += (16 + length + 15) / 16 * 16;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  if (size < 16) return 0;
  alignas(64) static std::array<std::byte, seal::k_ring_header_bytes + seal::k_ring_min_capacity> ring;
  ring.fill(std::byte{0});
  const std::uint32_t version = 1;
  const std::uint32_t header_bytes = 4096;
  const std::uint64_t capacity = seal::k_ring_min_capacity;
  std::memcpy(ring.data(), "SPRING01", 8);
  std::memcpy(ring.data() + 8, &version, 4);
  std::memcpy(ring.data() + 12, &header_bytes, 4);
  std::memcpy(ring.data() + 16, &capacity, 8);
  std::memcpy(ring.data() + 24, k_label.data(), k_label.size());
  std::uint64_t position = 0;
  std::memcpy(&position, data, sizeof position);
  position = position / 16 * 16 % (std::uint64_t{1} << 61);
  const bool right = (data[8] & 1) != 0;
  const std::span<std::byte> slots = std::span(ring).subspan(seal::k_ring_header_bytes);
  const std::size_t at = position % slots.size();
  const std::size_t first = std::min(size - 16, slots.size() - at);
  std::memcpy(slots.data() + at, data + 16, first);
  std::memcpy(slots.data(), data + 16 + first, std::min(size - 16 - first, slots.size() - first));
  std::memcpy(ring.data() + 128, data + 8, 8);  // a head that says anything
  if (right) make_right(slots, position, 64);

  auto consumer = seal::RingConsumer::adopt(ring, SessionId(std::string(k_label)), position);
  if (!consumer) std::abort();
  recorder::SessionTrail trail;
  trail.label = *seal::label_of(k_label);
  Bytes entry;
  for (int taken = 0;; ++taken) {
    entry.clear();
    const std::uint64_t before = consumer->position();
    const auto next = consumer->next(entry);
    if (next != seal::RingConsumer::Next::entry) {
      if (!entry.empty() || consumer->position() != before) std::abort();
      break;
    }
    if (entry.size() > seal::k_max_entry || entry.size() < seal::k_entry_overhead) std::abort();
    if (consumer->position() <= before || consumer->position() - before > capacity + seal::k_max_entry) std::abort();
    const std::uint64_t sequence = trail.last_sequence;
    const auto wrong = trail.take(entry);
    if (!wrong && trail.last_sequence != sequence + 1) std::abort();
    if (wrong && trail.last_sequence != sequence) std::abort();
    if (taken > 100'000) std::abort();  // positions only grow: it must come to an end
  }
  consumer->free_up_to(consumer->position());
  (void)consumer->take_want_space();
  (void)consumer->go_to_sleep();
  return 0;
}
