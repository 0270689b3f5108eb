#include "recorder/replay/session_opener.h"

#include <string>

#include "platform/crypto/hash.h"
#include "platform/crypto/hkdf.h"

namespace sallyport::replay {
namespace {

constexpr std::uint32_t k_max_segment_step = 1U << 18;  ///< more at once than a seek into the longest recording needs (two seconds each)

}  // namespace

void LineKeys::add(std::uint32_t channel, std::uint64_t line, std::uint64_t sequence, Secret key) {
  lines_[{channel, line}].insert_or_assign(sequence, Settled{std::move(key), 0});
}

void LineKeys::add_dropped(std::uint32_t channel, std::uint64_t line, std::uint64_t sequence, std::uint64_t bytes) {
  lines_[{channel, line}].insert_or_assign(sequence, Settled{Secret(), bytes});
}

std::optional<LineKeys::Fate> LineKeys::after(std::uint32_t channel, std::uint64_t line, std::uint64_t sequence) const {
  const auto known = lines_.find({channel, line});
  if (known == lines_.end()) return std::nullopt;
  const auto settled = known->second.upper_bound(sequence);
  if (settled == known->second.end()) return std::nullopt;
  return Fate{settled->second.key.empty() ? nullptr : &settled->second.key, settled->second.dropped_bytes};
}

Result<SessionOpener> SessionOpener::make(const seal::Label& label, const Secret& session_key) {
  if (session_key.size() != crypto::k_aead_key_size) return fail(Errc::invalid, "a session key has 32 bytes");
  SessionOpener opener(label);
  opener.chain_ = crypto::hkdf_sha256(session_key.reveal(), bytes_of(seal::text_of(label)), "sallyport chain v1", crypto::k_aead_key_size);
  return opener;
}

/// The cipher of `segment`; going back is not possible, the keys are gone.
Result<void> SessionOpener::move_to(std::uint32_t segment) {
  if (cipher_ && segment == segment_) return {};
  std::uint32_t next = cipher_ ? segment_ + 1 : segment_;
  if (segment < next || segment - next > k_max_segment_step)
    return fail(Errc::corrupt, "key segment " + std::to_string(segment) + " cannot follow " + std::to_string(segment_));
  for (;; ++next) {
    const Secret present = std::move(chain_);
    chain_ = crypto::hkdf_sha256(present.reveal(), {}, "sallyport next v1", crypto::k_aead_key_size);
    if (next != segment) continue;
    const Secret key = crypto::hkdf_sha256(present.reveal(), {}, "sallyport segment v1", crypto::k_aead_key_size);
    cipher_.emplace(key.reveal());
    segment_ = segment;
    return {};
  }
}

Result<ByteView> SessionOpener::decompress(ByteView frame) {
  if (!zstd_) zstd_.emplace();
  unpacked_.resize(seal::k_max_data);
  auto size = zstd_->decompress(frame, unpacked_);
  if (!size) return tl::unexpected(size.error());
  return ByteView(unpacked_).first(*size);
}

Result<SessionOpener::Opened> SessionOpener::open(const StoredEntry& entry, const crypto::Tag& previous, const LineKeys* lines) {
  if ((entry.header.flags & seal::k_flag_sealed) == 0) {
    if (!plain_tag_is_right(label_, entry, previous)) return fail(Errc::corrupt, "the entry's tag is wrong");
    return Opened{entry.body()};
  }
  const crypto::Tag tag = entry.tag();
  const auto additional = seal::additional_data(label_, entry.header_bytes(), previous);
  plain_.resize(entry.body().size());
  if (entry.header.kind == seal::EntryKind::typed || entry.header.kind == seal::EntryKind::held) {
    const auto fate = lines == nullptr ? std::nullopt : lines->after(entry.header.channel, entry.header.extra, entry.header.sequence);
    if (!fate || fate->key == nullptr) return fail(Errc::sealed, "the line's key is not there");
    crypto::Aes256Gcm line(fate->key->reveal());
    if (!line.open(crypto::nonce_of(entry.header.sequence), additional, entry.body(), tag, plain_.data()))
      return fail(Errc::corrupt, "the seal of a typed line is broken");
    return Opened{plain_};
  }
  if (auto moved = move_to(entry.header.segment); !moved) return tl::unexpected(moved.error());
  if (!cipher_->open(crypto::nonce_of(entry.header.sequence), additional, entry.body(), tag, plain_.data()))
    return fail(Errc::corrupt, "the seal is broken");
  if ((entry.header.flags & seal::k_flag_compressed) == 0) return Opened{plain_};
  auto unpacked = decompress(plain_);
  if (!unpacked) return tl::unexpected(unpacked.error());
  return Opened{*unpacked};
}

bool plain_tag_is_right(const seal::Label& label, const StoredEntry& entry, const crypto::Tag& previous) {
  const auto wanted = seal::plain_tag(seal::additional_data(label, entry.header_bytes(), previous), entry.body());
  return crypto::equal_constant_time(wanted, entry.tag());
}

}  // namespace sallyport::replay
