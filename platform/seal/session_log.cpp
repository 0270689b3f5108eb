#include "platform/seal/session_log.h"

#include <algorithm>
#include <string>
#include <utility>

#include "platform/crypto/hkdf.h"
#include "platform/model/json_text.h"
#include "platform/model/moment.h"

namespace sallyport::seal {
namespace {

constexpr std::size_t k_compress_from = 256;      ///< shorter output hardly shrinks, and its length could tell what is in it
constexpr std::uint32_t k_give_up_after = 8;      ///< entries in a row that did not shrink
constexpr std::uint32_t k_skip = 64;              ///< entries that are then not even tried
constexpr std::size_t k_rare_below = 1024;        ///< bytes of an entry that may be at human pace
constexpr BootTime k_rare_after = std::chrono::milliseconds(20);
constexpr std::chrono::microseconds k_apart = std::chrono::milliseconds(500);  ///< the clocks moved that far from each other: looked at again

EntryKind kind_of(Stream stream) noexcept {
  switch (stream) {
    case Stream::in: return EntryKind::data_in;
    case Stream::out: return EntryKind::data_out;
    case Stream::err: return EntryKind::data_err;
  }
  return EntryKind::data_in;
}

}  // namespace

SessionLog::SessionLog(RingProducer ring, const SessionId& session, Secret session_key, Clock& clock, crypto::Random& random)
    : ring_(std::move(ring)), label_(ring_.label()), clock_(&clock), random_(&random) {
  if (session.view() != text_of(label_)) failure_ = "the ring belongs to another session";
  if (session_key.size() != crypto::k_aead_key_size) {
    failure_ = "a session key must have 32 bytes";
    return;
  }
  chain_ = crypto::hkdf_sha256(session_key.reveal(), bytes_of(text_of(label_)), "sallyport chain v1", crypto::k_aead_key_size);
  next_segment();
  segment_ = 0;
}

SessionLog::~SessionLog() = default;

void SessionLog::next_segment() {
  const Secret key = crypto::hkdf_sha256(chain_.reveal(), {}, "sallyport segment v1", crypto::k_aead_key_size);
  segment_cipher_.emplace(key.reveal());
  chain_ = crypto::hkdf_sha256(chain_.reveal(), {}, "sallyport next v1", crypto::k_aead_key_size);
  ++segment_;
  segment_bytes_ = 0;
}

void SessionLog::move_on_when_due(BootTime now) {
  if (segment_bytes_ == 0) return;
  if (segment_bytes_ >= k_segment_bytes || now - segment_began_ >= k_segment_age) next_segment();
}

SessionLog::Put SessionLog::refuse(std::string_view why) noexcept {
  if (failure_.empty()) failure_ = why;
  return Put::failed;
}

bool SessionLog::is_open(Put& verdict) noexcept {
  if (!failure_.empty()) {
    verdict = Put::failed;
  } else if (sequence_ == 0) {
    verdict = refuse("the header entry must be the first");
  } else if (ended_) {
    verdict = refuse("nothing may follow the end entry");
  } else {
    return true;
  }
  return false;
}

std::span<std::byte> SessionLog::reserve(const Entry& entry, std::size_t body_bytes) {
  return ring_.reserve(body_bytes + k_entry_overhead, entry.rare);
}

Additional SessionLog::begin_entry(const Entry& entry, std::size_t body_bytes, std::byte* at) {
  EntryHeader header;
  header.sequence = sequence_ + 1;
  header.kind = entry.kind;
  header.flags = entry.flags;
  header.channel = entry.channel;
  WallTime wall = clock_->wall();
  if (const auto moved = wall.time_since_epoch() - last_put_ - clock_offset_; moved > k_apart || moved < -k_apart) {
    const Moment now = moment_of(*clock_);  // was the clock set, or was this process put aside between the two readings?
    wall = now.wall;
    last_put_ = now.boot;
    clock_offset_ = wall.time_since_epoch() - last_put_;
  }
  header.wall_us = wall.time_since_epoch().count();
  header.boot_us = last_put_.count();
  header.segment = segment_;
  header.size = static_cast<std::uint32_t>(body_bytes);
  header.extra = entry.extra;
  // Written here first and then copied: the ring's memory is not read back.
  std::array<std::byte, k_entry_header_bytes> bytes{};
  write_entry_header(header, bytes);
  std::copy(bytes.begin(), bytes.end(), at);
  return additional_data(label_, bytes, previous_);
}

void SessionLog::finish_entry(const crypto::Tag& tag) {
  ring_.commit();
  previous_ = tag;
  ++sequence_;
}

SessionLog::Put SessionLog::put_plain(const Entry& entry, ByteView first, ByteView second) {
  const std::size_t size = first.size() + second.size();
  if (size > k_max_body) return refuse("an entry above its limit");
  last_put_ = clock_->boot();
  const auto space = reserve(entry, size);
  if (space.empty()) return ring_.is_sound() ? Put::no_room : refuse("the ring is damaged");
  const Additional additional = begin_entry(entry, size, space.data());
  Bytes body(size);
  std::copy(second.begin(), second.end(), std::copy(first.begin(), first.end(), body.begin()));
  const crypto::Tag tag = plain_tag(additional, body);
  std::copy(tag.begin(), tag.end(), std::copy(body.begin(), body.end(), space.begin() + k_entry_header_bytes));
  finish_entry(tag);
  return Put::stored;
}

SessionLog::Put SessionLog::put_sealed(const Entry& entry, ByteView body, crypto::Aes256Gcm* line_cipher) {
  if (body.size() > k_max_body) return refuse("an entry above its limit");
  const BootTime now = clock_->boot();
  Entry sealed = entry;
  sealed.flags |= k_flag_sealed;
  sealed.rare = body.size() <= k_rare_below && now - last_put_ >= k_rare_after;
  const auto space = reserve(sealed, body.size());
  if (space.empty()) return ring_.is_sound() ? Put::no_room : refuse("the ring is damaged");
  move_on_when_due(now);
  last_put_ = now;
  const Additional additional = begin_entry(sealed, body.size(), space.data());
  crypto::Tag tag{};
  std::byte* const to = space.data() + k_entry_header_bytes;
  crypto::Aes256Gcm& cipher = line_cipher != nullptr ? *line_cipher : *segment_cipher_;
  cipher.seal(crypto::nonce_of(sequence_ + 1), additional, body, to, tag);
  std::copy(tag.begin(), tag.end(), to + body.size());
  if (line_cipher == nullptr) {
    if (segment_bytes_ == 0) segment_began_ = now;
    segment_bytes_ += body.size() + 1;
  }
  finish_entry(tag);
  return Put::stored;
}

SessionLog::Put SessionLog::append_header(std::string_view json, ByteView wrapped_key) {
  if (!failure_.empty()) return Put::failed;
  if (sequence_ != 0) return refuse("a second header entry");
  Bytes first(4 + json.size());
  put_number(first.data(), static_cast<std::uint32_t>(json.size()));
  std::copy_n(bytes_of(json).begin(), json.size(), first.begin() + 4);
  return put_plain({.kind = EntryKind::header}, first, wrapped_key);
}

SessionLog::Put SessionLog::append_event(std::string_view json) {
  Put verdict{};
  if (!is_open(verdict)) return verdict;
  return put_plain({.kind = EntryKind::event}, bytes_of(json));
}

std::optional<std::size_t> SessionLog::compress(ByteView bytes) {
  if (skip_ > 0) {
    --skip_;
    return std::nullopt;
  }
  if (!compressor_) compressor_ = std::make_unique<crypto::ZstdCompressor>();
  const std::size_t worth = bytes.size() - bytes.size() / 16;
  if (compressed_.size() < worth) compressed_.resize(worth);
  const auto size = compressor_->compress(bytes, std::span(compressed_).first(worth));
  if (size) {
    did_not_shrink_ = 0;
  } else if (++did_not_shrink_ >= k_give_up_after) {
    did_not_shrink_ = k_give_up_after - 1;  // one more failure after the pause is enough
    skip_ = k_skip;
  }
  return size;
}

SessionLog::Put SessionLog::append_data(std::uint32_t channel, Stream stream, ByteView bytes) {
  Put verdict{};
  if (!is_open(verdict)) return verdict;
  if (bytes.size() > k_max_data) return refuse("more data in one entry than allowed");
  if (bytes.empty()) return Put::stored;
  // Compressing costs: not when even the whole of it would find no room and a half-size result hardly would.
  if (ring_.room() < k_entry_overhead + std::min<std::size_t>(bytes.size(), 64)) {
    (void)ring_.reserve(bytes.size() + k_entry_overhead);  // asks for space
    if (!ring_.is_sound()) return refuse("the ring is damaged");
    return Put::no_room;
  }
  Offsets& offsets = offsets_of(channel);
  std::uint64_t& offset = offsets.next[static_cast<std::size_t>(stream)];
  Entry entry{.kind = kind_of(stream), .channel = channel, .extra = offset};
  ByteView body = bytes;
  if (stream != Stream::in && bytes.size() >= k_compress_from) {
    if (const auto size = compress(bytes)) {
      entry.flags |= k_flag_compressed;
      body = ByteView(compressed_).first(*size);
    }
  }
  verdict = put_sealed(entry, body);
  if (verdict == Put::stored) offset += bytes.size();
  return verdict;
}

SessionLog::OpenLine* SessionLog::find_line(std::uint32_t channel, std::uint64_t line) noexcept {
  for (auto at = lines_.rbegin(); at != lines_.rend(); ++at)
    if (at->channel == channel && at->line == line) return &*at;
  return nullptr;
}

SessionLog::Put SessionLog::append_input_typed(std::uint32_t channel, std::uint64_t line, ByteView bytes) {
  Put verdict{};
  if (!is_open(verdict)) return verdict;
  if (bytes.size() > k_max_data) return refuse("more typed input in one entry than allowed");
  if (bytes.empty()) return Put::stored;
  OpenLine* open = find_line(channel, line);
  if (open == nullptr) {
    if (lines_.size() >= k_most_open_lines) {
      const auto& oldest = lines_.front();
      verdict = drop_line(oldest.channel, oldest.line, oldest.bytes);
      if (verdict != Put::stored) return verdict;
    }
    lines_.push_back({channel, line, 0, crypto::random_secret(*random_, crypto::k_aead_key_size)});
    open = &lines_.back();
  }
  if (!line_cipher_ || line_cipher_channel_ != channel || line_cipher_line_ != line) {
    line_cipher_.emplace(open->key.reveal());
    line_cipher_channel_ = channel;
    line_cipher_line_ = line;
  }
  verdict = put_sealed({.kind = EntryKind::typed, .channel = channel, .extra = line}, bytes, &*line_cipher_);
  if (verdict == Put::stored) open->bytes += bytes.size();
  return verdict;
}

SessionLog::Put SessionLog::append_held(std::uint32_t channel, Stream stream, ByteView bytes) {
  Put verdict{};
  if (!is_open(verdict)) return verdict;
  if (bytes.size() > k_max_data) return refuse("more held data in one entry than allowed");
  if (bytes.empty()) return Put::stored;
  std::uint64_t& offset = offsets_of(channel).next[static_cast<std::size_t>(stream)];
  const std::uint64_t number = held_number(static_cast<unsigned>(stream), offset);
  if (find_line(channel, number) == nullptr) {
    if (lines_.size() >= k_most_open_lines) {
      const auto& oldest = lines_.front();
      verdict = drop_line(oldest.channel, oldest.line, oldest.bytes);
      if (verdict != Put::stored) return verdict;
    }
    lines_.push_back({channel, number, 0, crypto::random_secret(*random_, crypto::k_aead_key_size)});
  }
  OpenLine* open = find_line(channel, number);
  crypto::Aes256Gcm cipher(open->key.reveal());
  verdict = put_sealed({.kind = EntryKind::held, .channel = channel, .extra = number}, bytes, &cipher);
  if (verdict != Put::stored) return verdict;
  open->bytes = bytes.size();
  offset += bytes.size();
  return verdict;
}

SessionLog::Put SessionLog::append_masked(std::uint32_t channel, Stream stream, std::uint64_t offset, std::uint64_t length, std::uint8_t why, ByteView instead) {
  Put verdict{};
  if (!is_open(verdict)) return verdict;
  Bytes body(16 + instead.size());
  put_number(body.data(), length);
  body[8] = static_cast<std::byte>(why);
  std::copy(instead.begin(), instead.end(), body.begin() + 16);
  return put_sealed({.kind = EntryKind::masked, .channel = channel, .extra = held_number(static_cast<unsigned>(stream), offset)}, body);
}

SessionLog::Put SessionLog::reveal_line(std::uint32_t channel, std::uint64_t line) {
  Put verdict{};
  if (!is_open(verdict)) return verdict;
  OpenLine* open = find_line(channel, line);
  if (open == nullptr) return Put::stored;
  verdict = put_sealed({.kind = EntryKind::line_key, .channel = channel, .extra = line}, open->key.reveal());
  if (verdict != Put::stored) return verdict;
  if (line_cipher_channel_ == channel && line_cipher_line_ == line) line_cipher_.reset();
  lines_.erase(lines_.begin() + (open - lines_.data()));
  return verdict;
}

SessionLog::Put SessionLog::drop_line(std::uint32_t channel, std::uint64_t line, std::uint64_t byte_count) {
  Put verdict{};
  if (!is_open(verdict)) return verdict;
  OpenLine* open = find_line(channel, line);
  if (line_cipher_channel_ == channel && line_cipher_line_ == line) line_cipher_.reset();
  if (open != nullptr) open->key = Secret();  // first: the key is gone whatever happens next
  std::array<std::byte, 8> body{};
  put_number(body.data(), byte_count);
  verdict = put_sealed({.kind = EntryKind::line_dropped, .channel = channel, .extra = line}, body);
  if (verdict == Put::stored && open != nullptr) lines_.erase(lines_.begin() + (open - lines_.data()));
  return verdict;
}

SessionLog::Put SessionLog::append_bulk_marker(std::uint32_t channel, Stream stream, std::uint64_t first_offset, std::uint64_t length,
                                               const crypto::Hash256& sha256) {
  Put verdict{};
  if (!is_open(verdict)) return verdict;
  std::uint64_t& offset = offsets_of(channel).next[static_cast<std::size_t>(stream)];
  if (first_offset != offset) return refuse("a bulk marker that does not begin where the stream ended");
  std::array<std::byte, 48> body{};
  body[0] = static_cast<std::byte>(stream);
  put_number(body.data() + 8, length);
  std::copy(sha256.begin(), sha256.end(), body.begin() + 16);
  verdict = put_sealed({.kind = EntryKind::bulk_marker, .channel = channel, .extra = first_offset}, body);
  if (verdict == Put::stored) offset += length;
  return verdict;
}

SessionLog::Put SessionLog::append_resize(std::uint32_t channel, std::uint32_t columns, std::uint32_t rows, std::uint32_t pixel_width,
                                          std::uint32_t pixel_height) {
  Put verdict{};
  if (!is_open(verdict)) return verdict;
  std::array<std::byte, 16> body{};
  put_number(body.data(), columns);
  put_number(body.data() + 4, rows);
  put_number(body.data() + 8, pixel_width);
  put_number(body.data() + 12, pixel_height);
  return put_sealed({.kind = EntryKind::resize, .channel = channel}, body);
}

SessionLog::Put SessionLog::append_exit(std::uint32_t channel, std::uint32_t status, std::string_view signal, bool core_dumped) {
  Put verdict{};
  if (!is_open(verdict)) return verdict;
  const std::string json = signal.empty()
                               ? "{\"status\":" + std::to_string(status) + "}"
                               : "{\"signal\":" + json_quote(signal.substr(0, 64)) + ",\"core\":" + (core_dumped ? "true}" : "false}");
  return put_plain({.kind = EntryKind::exit, .channel = channel}, bytes_of(json));
}

SessionLog::Put SessionLog::append_end(std::string_view reason) {
  Put verdict{};
  if (!is_open(verdict)) return verdict;
  const std::string json = "{\"reason\":" + json_quote(reason.substr(0, 1024)) + "}";
  verdict = put_plain({.kind = EntryKind::end}, bytes_of(json));
  if (verdict == Put::stored) ended_ = true;
  return verdict;
}

std::size_t SessionLog::room() noexcept {
  const std::size_t ring = ring_.room();
  return ring <= k_entry_overhead ? 0 : std::min(ring - k_entry_overhead, k_max_data);
}

std::uint64_t SessionLog::offset(std::uint32_t channel, Stream stream) const noexcept {
  for (const auto& known : offsets_)
    if (known.channel == channel) return known.next[static_cast<std::size_t>(stream)];
  return 0;
}

SessionLog::Offsets& SessionLog::offsets_of(std::uint32_t channel) {
  for (auto& known : offsets_)
    if (known.channel == channel) return known;
  offsets_.push_back({channel, {}});
  return offsets_.back();
}

void SessionLog::forget_channel(std::uint32_t channel) noexcept {
  std::erase_if(offsets_, [channel](const Offsets& known) { return known.channel == channel; });
  std::erase_if(lines_, [channel](const OpenLine& line) { return line.channel == channel; });
  if (line_cipher_channel_ == channel) line_cipher_.reset();
}

void SessionLog::rest() {
  compressor_.reset();
  compressed_ = {};
  if (failure_.empty()) move_on_when_due(clock_->boot());
}

}  // namespace sallyport::seal
