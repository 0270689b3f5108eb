#include "recorder/journal/frame.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "platform/crypto/crc32c.h"
#include "platform/crypto/ulid.h"

namespace sallyport::recorder {
namespace {

using seal::get_number;
using seal::put_number;

constexpr std::string_view k_file_magic = "SPJRNL01";
constexpr std::uint32_t k_version = 1;
constexpr std::uint32_t k_frame_magic = 0x31465053;
constexpr std::size_t k_entries_fixed = seal::k_label_bytes + 2 + 4 + 8;
constexpr std::size_t k_event_fixed = 60;
constexpr std::uint16_t k_short_form = 1;
constexpr std::size_t k_head_bytes = 88;
constexpr std::uint16_t k_flag_ended = 1;
constexpr std::uint16_t k_flag_truncated = 2;
constexpr std::uint16_t k_flag_has_end_entry = 4;

template <class Number>
void append_number(Bytes& out, Number value) {
  std::array<std::byte, sizeof(Number)> bytes{};
  put_number(bytes.data(), value);
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void append_bytes(Bytes& out, ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }
void append_label(Bytes& out, const seal::Label& label) { append_bytes(out, bytes_of(seal::text_of(label))); }

/// Takes fields off the front; once too short, stays failed and gives zeros.
class Taker {
 public:
  explicit Taker(ByteView bytes) : rest_(bytes) {}
  template <class Number>
  Number number() {
    const ByteView part = take(sizeof(Number));
    return part.empty() ? Number{} : get_number<Number>(part.data());
  }
  ByteView take(std::size_t count) {
    if (count > rest_.size()) {
      failed_ = true;
      rest_ = {};
    }
    if (failed_) return {};
    const ByteView part = rest_.first(count);
    rest_ = rest_.subspan(count);
    return part;
  }
  std::optional<seal::Label> label() { return seal::label_of(text_of(take(seal::k_label_bytes))); }
  crypto::Hash256 hash() {
    crypto::Hash256 hash{};
    const ByteView part = take(hash.size());
    std::copy(part.begin(), part.end(), hash.begin());
    return hash;
  }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] ByteView rest() const { return rest_; }

 private:
  ByteView rest_;
  bool failed_ = false;
};

}  // namespace

void put_file_header(Bytes& out, const FileHeader& header) {
  const std::size_t at = out.size();
  append_bytes(out, bytes_of(k_file_magic));
  append_number(out, k_version);
  append_number(out, static_cast<std::uint32_t>(k_file_header_bytes));
  append_number(out, header.number);
  append_number(out, header.first_frame);
  append_number(out, header.wall_us);
  out.resize(at + k_file_header_bytes - 4);
  append_number(out, crypto::crc32c(ByteView(out).subspan(at)));
}

std::optional<FileHeader> read_file_header(ByteView bytes) {
  if (bytes.size() < k_file_header_bytes) return std::nullopt;
  if (std::memcmp(bytes.data(), k_file_magic.data(), k_file_magic.size()) != 0) return std::nullopt;
  if (get_number<std::uint32_t>(bytes.data() + 8) != k_version) return std::nullopt;
  if (get_number<std::uint32_t>(bytes.data() + 12) != k_file_header_bytes) return std::nullopt;
  if (get_number<std::uint32_t>(bytes.data() + 60) != crypto::crc32c(bytes.first(60))) return std::nullopt;
  FileHeader header;
  header.number = get_number<std::uint64_t>(bytes.data() + 16);
  header.first_frame = get_number<std::uint64_t>(bytes.data() + 24);
  header.wall_us = get_number<std::int64_t>(bytes.data() + 32);
  return header;
}

std::size_t begin_frame(Bytes& out, FrameType type, std::uint64_t number) {
  const std::size_t at = out.size();
  append_number(out, k_frame_magic);
  append_number(out, std::uint32_t{0});
  append_number(out, std::uint32_t{0});
  append_number(out, static_cast<std::uint32_t>(type));
  append_number(out, number);
  return at;
}

void end_frame(Bytes& out, std::size_t begun_at) {
  put_number(out.data() + begun_at + 8, static_cast<std::uint32_t>(out.size() - begun_at - k_frame_header_bytes));
  put_number(out.data() + begun_at + 4, crypto::crc32c(ByteView(out).subspan(begun_at + 8)));
}

FrameReader::Next FrameReader::next(Frame& frame) {
  const ByteView rest = frames_.subspan(offset_);
  if (rest.empty()) return Next::end;
  if (rest.size() < k_frame_header_bytes) return Next::incomplete;
  if (get_number<std::uint32_t>(rest.data()) != k_frame_magic) return Next::damaged;
  const auto size = get_number<std::uint32_t>(rest.data() + 8);
  if (size > k_max_payload) return Next::damaged;
  if (rest.size() < k_frame_header_bytes + size) return Next::incomplete;
  if (get_number<std::uint32_t>(rest.data() + 4) != crypto::crc32c(rest.subspan(8, k_frame_header_bytes - 8 + size))) return Next::damaged;
  frame.type = static_cast<FrameType>(get_number<std::uint32_t>(rest.data() + 12));
  frame.number = get_number<std::uint64_t>(rest.data() + 16);
  frame.payload = rest.subspan(k_frame_header_bytes, size);
  offset_ += k_frame_header_bytes + size;
  return Next::frame;
}

std::optional<EntriesReader> EntriesReader::open(ByteView payload) {
  Taker taker(payload);
  EntriesReader reader;
  const auto label = taker.label();
  const auto form = taker.number<std::uint16_t>();
  reader.count_ = taker.number<std::uint32_t>();
  reader.ring_end_ = taker.number<std::uint64_t>();
  if (taker.failed() || !label || form > k_short_form) return std::nullopt;
  reader.label_ = *label;
  reader.rest_ = taker.rest();
  reader.short_ = form == k_short_form;
  return reader;
}

std::optional<ByteView> EntriesReader::next() {
  if (given_ == count_ || !whole_) return std::nullopt;
  if (short_) {
    const auto entry = take_short_entry(rest_, before_, scratch_);
    whole_ = entry.has_value();
    if (entry) ++given_;
    return entry;
  }
  Taker taker(rest_);
  const auto length = taker.number<std::uint32_t>();
  const ByteView entry = taker.take(length);
  if (taker.failed() || length > seal::k_max_entry) {
    whole_ = false;
    return std::nullopt;
  }
  rest_ = taker.rest();
  ++given_;
  return entry;
}

EntriesWriter::EntriesWriter(Bytes& out, const seal::Label& label, std::uint64_t frame_number)
    : out_(out), frame_at_(begin_frame(out, FrameType::entries, frame_number)) {
  append_label(out_, label);
  append_number(out_, k_short_form);
  append_number(out_, std::uint32_t{0});
  append_number(out_, std::uint64_t{0});
}

void EntriesWriter::add(ByteView entry) {
  if (is_worth_shortening(entry)) {
    put_short_entry(out_, before_, entry);
    ++count_;
    return;
  }
  const std::size_t at = begin_entry();
  append_bytes(out_, entry);
  end_entry(at);
}

std::size_t EntriesWriter::begin_entry() {
  out_.resize(out_.size() + k_whole_entry_prefix);
  return out_.size();
}

void EntriesWriter::end_entry(std::size_t begun_at) {
  const ByteView entry = ByteView(out_).subspan(begun_at);
  if (is_worth_shortening(entry)) {
    shortened_.assign(entry.begin(), entry.end());
    take_back(begun_at);
    put_short_entry(out_, before_, shortened_);
  } else {
    before_.take_whole(entry);
    put_whole_entry_prefix(out_.data() + begun_at - k_whole_entry_prefix, entry.size());
  }
  ++count_;
}

void EntriesWriter::take_back(std::size_t begun_at) { out_.resize(begun_at - k_whole_entry_prefix); }

bool EntriesWriter::finish(std::uint64_t ring_end) {
  if (count_ == 0) {
    out_.resize(frame_at_);
    return false;
  }
  std::byte* const payload = out_.data() + frame_at_ + k_frame_header_bytes;
  put_number(payload + seal::k_label_bytes + 2, count_);
  put_number(payload + seal::k_label_bytes + 6, ring_end);
  end_frame(out_, frame_at_);
  return true;
}

void put_event(Bytes& out, const AuditEvent& event) {
  append_number(out, event.leaf);
  append_number(out, event.wall_us);
  append_number(out, event.boot_us);
  append_bytes(out, bytes_of(event.id));
  append_number(out, static_cast<std::uint8_t>(event.said_by));
  append_number(out, static_cast<std::uint8_t>(event.session.size()));
  append_number(out, static_cast<std::uint16_t>(event.name.size()));
  append_number(out, std::uint16_t{0});
  append_number(out, static_cast<std::uint32_t>(event.json.size()));
  append_bytes(out, bytes_of(event.session));
  append_bytes(out, bytes_of(event.name));
  append_bytes(out, bytes_of(event.json));
}

std::optional<AuditEvent> read_event(ByteView payload) {
  if (payload.size() < k_event_fixed) return std::nullopt;
  Taker taker(payload);
  AuditEvent event;
  event.leaf = taker.number<std::uint64_t>();
  event.wall_us = taker.number<std::int64_t>();
  event.boot_us = taker.number<std::int64_t>();
  event.id = text_of(taker.take(seal::k_label_bytes));
  event.said_by = static_cast<SaidBy>(taker.number<std::uint8_t>());
  const auto session = taker.number<std::uint8_t>();
  const auto name = taker.number<std::uint16_t>();
  const auto zero = taker.number<std::uint16_t>();
  const auto json = taker.number<std::uint32_t>();
  if (zero != 0 || (session != 0 && session != seal::k_label_bytes) || !crypto::is_ulid(event.id)) return std::nullopt;
  event.session = text_of(taker.take(session));
  event.name = text_of(taker.take(name));
  event.json = text_of(taker.take(json));
  if (taker.failed() || !taker.rest().empty()) return std::nullopt;
  return event;
}

void put_head(Bytes& out, const SessionHead& head) {
  append_number(out, head.leaf);
  append_number(out, head.wall_us);
  append_number(out, head.entries);
  append_bytes(out, head.root);
  append_number(out, head.segment);
  append_number(out, static_cast<std::uint8_t>(head.why));
  append_number(out, std::uint8_t{0});
  append_label(out, head.label);
}

std::optional<SessionHead> read_head(ByteView payload) {
  if (payload.size() != k_head_bytes) return std::nullopt;
  Taker taker(payload);
  SessionHead head;
  head.leaf = taker.number<std::uint64_t>();
  head.wall_us = taker.number<std::int64_t>();
  head.entries = taker.number<std::uint64_t>();
  head.root = taker.hash();
  head.segment = taker.number<std::uint32_t>();
  const auto why = taker.number<std::uint8_t>();
  const auto zero = taker.number<std::uint8_t>();
  const auto label = taker.label();
  if (why < 1 || why > 4 || zero != 0 || !label) return std::nullopt;
  head.why = static_cast<HeadWhy>(why);
  head.label = *label;
  return head;
}

crypto::Hash256 leaf_of(FrameType type, ByteView payload) {
  Bytes leaf;
  leaf.reserve(payload.size() + 1);
  append_number(leaf, static_cast<std::uint8_t>(type));
  append_bytes(leaf, payload);
  return crypto::merkle_leaf(leaf);
}

std::optional<seal::EntryHeader> SessionTrail::header_of(ByteView entry) {
  if (entry.size() < seal::k_entry_overhead || entry.size() > seal::k_max_entry) return std::nullopt;
  const auto header = seal::read_entry_header(entry.first<seal::k_entry_header_bytes>());
  if (!header || header->size != entry.size() - seal::k_entry_overhead) return std::nullopt;
  return header;
}

std::optional<std::string_view> SessionTrail::take(ByteView entry) {
  const auto header = header_of(entry);
  if (!header) return "an entry of a wrong form";
  if (header->sequence != last_sequence + 1) return "an entry out of sequence";
  if (is_final() || has_end_entry) return "an entry after the end";
  if ((header->sequence == 1) != (header->kind == seal::EntryKind::header)) return "a session that does not begin with its header";
  if (header->segment < segment || header->segment > segment + 1) return "a segment out of order";
  last_sequence = header->sequence;
  segment = header->segment;
  has_end_entry = header->kind == seal::EntryKind::end;
  tree.append(entry);
  return std::nullopt;
}

void put_state(Bytes& out, const crypto::MerkleTree& log, const std::vector<const SessionTrail*>& trails) {
  const auto put_tree = [&out](const crypto::MerkleTree& tree) {
    append_number(out, static_cast<std::uint32_t>(tree.frontier().size()));
    for (const auto& peak : tree.frontier()) append_bytes(out, peak);
  };
  append_number(out, log.size());
  put_tree(log);
  append_number(out, static_cast<std::uint32_t>(trails.size()));
  for (const SessionTrail* trail : trails) {
    append_label(out, trail->label);
    append_number(out, static_cast<std::uint16_t>((trail->ended ? k_flag_ended : 0) | (trail->truncated ? k_flag_truncated : 0) |
                                                  (trail->has_end_entry ? k_flag_has_end_entry : 0)));
    append_number(out, trail->last_sequence);
    append_number(out, trail->ring_end);
    append_number(out, trail->segment);
    append_number(out, trail->head_entries);
    put_tree(trail->tree);
  }
}

std::optional<NodeState> read_state(ByteView payload) {
  Taker taker(payload);
  const auto take_peaks = [&taker]() -> std::optional<std::vector<crypto::Hash256>> {
    const auto count = taker.number<std::uint32_t>();
    if (taker.failed() || count > 64) return std::nullopt;
    std::vector<crypto::Hash256> peaks(count);
    for (auto& peak : peaks) peak = taker.hash();
    return peaks;
  };
  NodeState state;
  state.leaves = taker.number<std::uint64_t>();
  auto frontier = take_peaks();
  if (!frontier || frontier->size() != static_cast<std::size_t>(std::popcount(state.leaves))) return std::nullopt;
  state.frontier = std::move(*frontier);
  const auto count = taker.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < count && !taker.failed(); ++i) {
    SessionTrail trail;
    const auto label = taker.label();
    const auto flags = taker.number<std::uint16_t>();
    trail.last_sequence = taker.number<std::uint64_t>();
    trail.ring_end = taker.number<std::uint64_t>();
    trail.segment = taker.number<std::uint32_t>();
    trail.head_entries = taker.number<std::uint64_t>();
    auto peaks = take_peaks();
    if (!label || !peaks) return std::nullopt;
    auto tree = crypto::MerkleTree::resume(trail.last_sequence, std::move(*peaks));
    if (!tree) return std::nullopt;
    trail.label = *label;
    trail.ended = (flags & k_flag_ended) != 0;
    trail.truncated = (flags & k_flag_truncated) != 0;
    trail.has_end_entry = (flags & k_flag_has_end_entry) != 0;
    trail.tree = std::move(*tree);
    state.trails.push_back(std::move(trail));
  }
  if (taker.failed() || !taker.rest().empty()) return std::nullopt;
  return state;
}

}  // namespace sallyport::recorder
