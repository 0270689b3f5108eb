#include "recorder/journal/short_entries.h"

namespace sallyport::recorder {
namespace {

using seal::get_number;
using seal::put_number;

constexpr std::size_t k_longest_short_body = 1024;
constexpr unsigned k_flags = 3;
constexpr unsigned k_channel = 4;
constexpr unsigned k_segment = 8;
constexpr unsigned k_extra = 16;
constexpr unsigned k_boot = 32;
constexpr unsigned k_sequence = 64;
constexpr unsigned k_whole = 128;

std::uint64_t zigzag(std::uint64_t difference) { return (difference << 1) ^ (0 - (difference >> 63)); }
std::uint64_t from_zigzag(std::uint64_t value) { return (value >> 1) ^ (0 - (value & 1)); }
std::uint64_t unsigned_of(std::int64_t value) { return static_cast<std::uint64_t>(value); }

void put_varint(Bytes& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::byte>(value | 0x80));
  out.push_back(static_cast<std::byte>(value));
}

std::optional<std::uint64_t> take_varint(ByteView& rest) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (rest.empty()) return std::nullopt;
    const auto byte = std::to_integer<std::uint64_t>(rest.front());
    rest = rest.subspan(1);
    if (shift == 63 && byte > 1) return std::nullopt;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::optional<seal::EntryHeader> header_of(ByteView entry) {
  if (entry.size() < seal::k_entry_overhead) return std::nullopt;
  return seal::read_entry_header(entry.first<seal::k_entry_header_bytes>());
}

}  // namespace

void EntryBefore::take(const seal::EntryHeader& taken) noexcept {
  header = taken;
  const auto kind = static_cast<std::size_t>(taken.kind);
  if (kind < extra.size()) extra[kind] = taken.extra;
}

void EntryBefore::take_whole(ByteView entry) noexcept {
  if (const auto known = header_of(entry)) take(*known);
}

bool is_worth_shortening(ByteView entry) noexcept {
  const auto header = header_of(entry);
  return header && header->size == entry.size() - seal::k_entry_overhead && header->size <= k_longest_short_body && header->flags <= k_flags &&
         static_cast<std::size_t>(header->kind) < EntryBefore{}.extra.size();
}

void put_whole_entry_prefix(std::byte* to, std::size_t entry_bytes) noexcept {
  *to = static_cast<std::byte>(k_whole);
  put_number(to + 1, static_cast<std::uint32_t>(entry_bytes));
}

void put_short_entry(Bytes& out, EntryBefore& before, ByteView entry) {
  const auto header = header_of(entry);
  const seal::EntryHeader& last = before.header;
  const std::uint64_t wall = unsigned_of(header->wall_us) - unsigned_of(last.wall_us);
  const std::uint64_t boot = unsigned_of(header->boot_us) - unsigned_of(last.boot_us) - wall;
  const std::uint64_t extra = header->extra - before.extra[static_cast<std::size_t>(header->kind)];
  const unsigned mark = header->flags | (header->channel != last.channel ? k_channel : 0U) | (header->segment != last.segment ? k_segment : 0U) |
                        (extra != 0 ? k_extra : 0U) | (boot != 0 ? k_boot : 0U) | (header->sequence != last.sequence + 1 ? k_sequence : 0U);
  out.push_back(static_cast<std::byte>(mark));
  out.push_back(static_cast<std::byte>(header->kind));
  if (mark & k_sequence) put_varint(out, header->sequence);
  put_varint(out, zigzag(wall));
  if (mark & k_boot) put_varint(out, zigzag(boot));
  if (mark & k_channel) put_varint(out, header->channel);
  if (mark & k_segment) put_varint(out, header->segment);
  if (mark & k_extra) put_varint(out, zigzag(extra));
  put_varint(out, header->size);
  const ByteView sealed = entry.subspan(seal::k_entry_header_bytes);
  out.insert(out.end(), sealed.begin(), sealed.end());
  before.take(*header);
}

std::optional<ByteView> take_short_entry(ByteView& rest, EntryBefore& before, Bytes& scratch) {
  if (rest.empty()) return std::nullopt;
  const auto mark = std::to_integer<unsigned>(rest.front());
  rest = rest.subspan(1);
  if (mark == k_whole) {
    if (rest.size() < 4) return std::nullopt;
    const auto length = get_number<std::uint32_t>(rest.data());
    if (length < seal::k_entry_overhead || length > seal::k_max_entry || length > rest.size() - 4) return std::nullopt;
    const ByteView entry = rest.subspan(4, length);
    rest = rest.subspan(4 + std::size_t{length});
    const auto header = seal::read_entry_header(entry.first<seal::k_entry_header_bytes>());
    if (!header) return std::nullopt;
    before.take(*header);
    return entry;
  }
  if ((mark & ~(k_flags | k_channel | k_segment | k_extra | k_boot | k_sequence)) != 0 || rest.empty()) return std::nullopt;
  seal::EntryHeader header = before.header;
  const auto kind = std::to_integer<std::uint8_t>(rest.front());
  rest = rest.subspan(1);
  if (kind >= before.extra.size()) return std::nullopt;
  bool sound = true;
  const auto number = [&](std::uint64_t limit) -> std::uint64_t {
    const auto value = take_varint(rest);
    if (!value || *value > limit) sound = false;
    return sound ? *value : 0;
  };
  header.sequence = mark & k_sequence ? number(UINT64_MAX) : header.sequence + 1;
  header.kind = static_cast<seal::EntryKind>(kind);
  header.flags = static_cast<std::uint8_t>(mark & k_flags);
  const std::uint64_t wall = from_zigzag(number(UINT64_MAX));
  const std::uint64_t boot = mark & k_boot ? from_zigzag(number(UINT64_MAX)) : 0;
  header.wall_us = static_cast<std::int64_t>(unsigned_of(header.wall_us) + wall);
  header.boot_us = static_cast<std::int64_t>(unsigned_of(header.boot_us) + wall + boot);
  if (mark & k_channel) header.channel = static_cast<std::uint32_t>(number(UINT32_MAX));
  if (mark & k_segment) header.segment = static_cast<std::uint32_t>(number(UINT32_MAX));
  header.extra = before.extra[kind] + (mark & k_extra ? from_zigzag(number(UINT64_MAX)) : 0);
  header.size = static_cast<std::uint32_t>(number(seal::k_max_body));
  const std::size_t sealed = std::size_t{header.size} + crypto::k_aead_tag_size;
  if (!sound || sealed > rest.size()) return std::nullopt;
  scratch.resize(seal::k_entry_header_bytes);
  seal::write_entry_header(header, std::span<std::byte, seal::k_entry_header_bytes>(scratch.data(), seal::k_entry_header_bytes));
  scratch.insert(scratch.end(), rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(sealed));
  rest = rest.subspan(sealed);
  before.take(header);
  return ByteView(scratch);
}

}  // namespace sallyport::recorder
