#include "recorder/replay/frames.h"

#include <algorithm>

#include "platform/crypto/crc32c.h"

namespace sallyport::replay {
namespace {

using seal::get_number;

constexpr std::size_t k_entries_fixed = 26 + 2 + 4 + 8;
constexpr std::size_t k_event_fixed = 60;
constexpr std::size_t k_head_bytes = 88;
constexpr std::string_view k_file_magic = "SPJRNL01";

crypto::Hash256 hash_at(ByteView bytes, std::size_t at) {
  crypto::Hash256 hash{};
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), hash.size(), hash.begin());
  return hash;
}

}  // namespace

std::optional<FileHeader> parse_file_header(ByteView bytes) {
  if (bytes.size() < k_file_header_bytes || text_of(bytes.first(8)) != k_file_magic || get_number<std::uint32_t>(&bytes[8]) != 1 ||
      get_number<std::uint32_t>(&bytes[12]) != k_file_header_bytes ||
      crypto::crc32c(bytes.first(60)) != get_number<std::uint32_t>(&bytes[60]))
    return std::nullopt;
  return FileHeader{get_number<std::uint64_t>(&bytes[16]), get_number<std::uint64_t>(&bytes[24]), get_number<std::int64_t>(&bytes[32])};
}

std::optional<FrameHeader> parse_frame_header(ByteView bytes) {
  if (bytes.size() < k_frame_header_bytes || get_number<std::uint32_t>(bytes.data()) != k_frame_magic) return std::nullopt;
  const FrameHeader header{get_number<std::uint32_t>(&bytes[4]), get_number<std::uint32_t>(&bytes[8]), get_number<std::uint32_t>(&bytes[12]),
                           get_number<std::uint64_t>(&bytes[16])};
  if (header.size > k_max_payload) return std::nullopt;
  return header;
}

std::uint32_t frame_crc(ByteView header, ByteView payload) noexcept {
  return crypto::crc32c(payload, crypto::crc32c(header.subspan(8, 16)));
}

std::optional<EntriesFrame> EntriesFrame::parse(ByteView payload) {
  if (payload.size() < k_entries_fixed) return std::nullopt;
  const auto label = seal::label_of(text_of(payload.first(seal::k_label_bytes)));
  if (!label || get_number<std::uint16_t>(&payload[26]) > 1) return std::nullopt;
  EntriesFrame frame;
  frame.label_ = *label;
  frame.count_ = get_number<std::uint32_t>(&payload[28]);
  frame.rest_ = payload.subspan(k_entries_fixed);
  frame.short_ = get_number<std::uint16_t>(&payload[26]) == 1;
  return frame;
}

std::uint64_t EntriesFrame::varint() {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 10 && i < rest_.size(); ++i) {
    const auto byte = std::to_integer<std::uint64_t>(rest_[i]);
    if (i == 9 && byte > 1) break;
    value += (byte & 127) << (7 * i);
    if ((byte & 128) != 0) continue;
    rest_ = rest_.subspan(i + 1);
    return value;
  }
  overrun_ = true;
  return 0;
}

std::int64_t EntriesFrame::difference() {
  const std::uint64_t value = varint();
  const auto half = static_cast<std::int64_t>(value / 2);
  return (value & 1) != 0 ? -half - 1 : half;
}

bool EntriesFrame::expand(StoredEntry& entry) {
  const auto plus = [](auto number, std::int64_t more) { return static_cast<decltype(number)>(static_cast<std::uint64_t>(number) + static_cast<std::uint64_t>(more)); };
  if (rest_.size() < 2) return false;
  const auto mark = std::to_integer<unsigned>(rest_[0]);
  const auto kind = std::to_integer<std::uint8_t>(rest_[1]);
  if ((mark & 128U) != 0 || kind >= last_extra_.size()) return false;
  rest_ = rest_.subspan(2);
  seal::EntryHeader header = last_;
  header.sequence = (mark & 64U) != 0 ? varint() : header.sequence + 1;
  header.kind = static_cast<seal::EntryKind>(kind);
  header.flags = mark & 3U;
  const std::int64_t wall = difference();
  header.wall_us = plus(header.wall_us, wall);
  header.boot_us = plus(plus(header.boot_us, wall), (mark & 32U) != 0 ? difference() : 0);
  const std::uint64_t channel = (mark & 4U) != 0 ? varint() : header.channel;
  const std::uint64_t segment = (mark & 8U) != 0 ? varint() : header.segment;
  header.extra = plus(last_extra_[kind], (mark & 16U) != 0 ? difference() : 0);
  const std::uint64_t size = varint();
  if (overrun_ || channel > UINT32_MAX || segment > UINT32_MAX || size > seal::k_max_body || rest_.size() < size + crypto::k_aead_tag_size) return false;
  header.channel = static_cast<std::uint32_t>(channel);
  header.segment = static_cast<std::uint32_t>(segment);
  header.size = static_cast<std::uint32_t>(size);
  expanded_.resize(seal::k_entry_overhead + header.size);
  seal::write_entry_header(header, std::span(expanded_).first<seal::k_entry_header_bytes>());
  std::copy_n(rest_.begin(), expanded_.size() - seal::k_entry_header_bytes, expanded_.begin() + seal::k_entry_header_bytes);
  rest_ = rest_.subspan(expanded_.size() - seal::k_entry_header_bytes);
  entry.header = header;
  entry.whole = expanded_;
  return true;
}

std::optional<StoredEntry> EntriesFrame::next() {
  if (given_ == count_) {
    if (!rest_.empty()) sound_ = false;
    return std::nullopt;
  }
  sound_ = false;
  StoredEntry entry;
  const bool is_whole = !short_ || (!rest_.empty() && rest_.front() == std::byte{128});
  if (!is_whole) {
    if (!expand(entry)) return std::nullopt;
    last_ = entry.header;
    last_extra_[static_cast<std::size_t>(entry.header.kind)] = entry.header.extra;
    ++given_;
    sound_ = true;
    return entry;
  }
  if (short_) rest_ = rest_.subspan(1);
  if (rest_.size() < 4) return std::nullopt;
  const auto length = get_number<std::uint32_t>(rest_.data());
  if (length < seal::k_entry_overhead || length > seal::k_max_entry || length > rest_.size() - 4) return std::nullopt;
  entry.whole = rest_.subspan(4, length);
  const auto header = seal::read_entry_header(entry.header_bytes());
  if (!header || header->size != length - seal::k_entry_overhead) return std::nullopt;
  entry.header = *header;
  last_ = *header;
  if (static_cast<std::size_t>(header->kind) < last_extra_.size()) last_extra_[static_cast<std::size_t>(header->kind)] = header->extra;
  rest_ = rest_.subspan(4 + length);
  ++given_;
  sound_ = true;
  return entry;
}

std::optional<AuditEvent> parse_audit_event(ByteView payload) {
  if (payload.size() < k_event_fixed || get_number<std::uint16_t>(&payload[54]) != 0) return std::nullopt;
  AuditEvent event;
  event.leaf = get_number<std::uint64_t>(payload.data());
  event.wall_us = get_number<std::int64_t>(&payload[8]);
  event.boot_us = get_number<std::int64_t>(&payload[16]);
  event.id = text_of(payload.subspan(24, 26));
  event.source = std::to_integer<std::uint8_t>(payload[50]);
  const std::size_t session = std::to_integer<std::size_t>(payload[51]);
  const std::size_t name = get_number<std::uint16_t>(&payload[52]);
  const std::size_t json = get_number<std::uint32_t>(&payload[56]);
  if ((session != 0 && session != seal::k_label_bytes) || payload.size() != k_event_fixed + session + name + json) return std::nullopt;
  event.session = text_of(payload.subspan(k_event_fixed, session));
  event.name = text_of(payload.subspan(k_event_fixed + session, name));
  event.json = text_of(payload.subspan(k_event_fixed + session + name));
  return event;
}

std::optional<SessionHead> parse_session_head(ByteView payload) {
  if (payload.size() != k_head_bytes || payload[61] != std::byte{0}) return std::nullopt;
  const auto why = std::to_integer<std::uint8_t>(payload[60]);
  const auto label = seal::label_of(text_of(payload.subspan(62, seal::k_label_bytes)));
  if (!label || why < 1 || why > 4) return std::nullopt;
  return SessionHead{get_number<std::uint64_t>(payload.data()),
                     get_number<std::int64_t>(&payload[8]),
                     get_number<std::uint64_t>(&payload[16]),
                     hash_at(payload, 24),
                     get_number<std::uint32_t>(&payload[56]),
                     static_cast<SessionHead::Why>(why),
                     *label};
}

std::optional<HeaderBody> parse_header_body(ByteView body) {
  if (body.size() < 4) return std::nullopt;
  const auto length = get_number<std::uint32_t>(body.data());
  if (length > body.size() - 4) return std::nullopt;
  return HeaderBody{text_of(body.subspan(4, length)), body.subspan(4 + std::size_t{length})};
}

std::optional<BulkMarker> parse_bulk_marker(ByteView body) {
  if (body.size() != 48 || body[0] > std::byte{2}) return std::nullopt;
  return BulkMarker{std::to_integer<std::uint8_t>(body[0]), get_number<std::uint64_t>(&body[8]), hash_at(body, 16)};
}

std::optional<Masked> parse_masked(const seal::EntryHeader& header, ByteView body) {
  if (body.size() < 16 || (header.extra & seal::k_held_bit) == 0 || seal::stream_of_held(header.extra) > 2) return std::nullopt;
  return Masked{seal::stream_of_held(header.extra), seal::offset_of_held(header.extra), get_number<std::uint64_t>(body.data()), std::to_integer<std::uint8_t>(body[8]),
                body.subspan(16)};
}

std::optional<Resize> parse_resize(ByteView body) {
  if (body.size() != 16) return std::nullopt;
  return Resize{get_number<std::uint32_t>(body.data()), get_number<std::uint32_t>(&body[4]), get_number<std::uint32_t>(&body[8]),
                get_number<std::uint32_t>(&body[12])};
}

std::string name_of(seal::EntryKind kind) {
  static constexpr std::string_view k_names[] = {"header",       "event",       "data_in", "data_out", "data_err", "typed", "line_key",
                                                 "line_dropped", "bulk_marker", "resize",  "exit",     "end"};
  const auto number = static_cast<unsigned>(kind);
  if (kind == seal::EntryKind::held) return "held";
  if (kind == seal::EntryKind::masked) return "masked";
  if (number >= 1 && number <= std::size(k_names)) return std::string(k_names[number - 1]);
  return "kind_" + std::to_string(number);
}

}  // namespace sallyport::replay
