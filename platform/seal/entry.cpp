#include "platform/seal/entry.h"

#include <algorithm>

#include "platform/crypto/hash.h"
#include "platform/crypto/ulid.h"

namespace sallyport::seal {

std::optional<Label> label_of(std::string_view text) noexcept {
  if (text.size() != k_label_bytes || !crypto::is_ulid(text)) return std::nullopt;
  Label label{};
  std::copy(text.begin(), text.end(), label.begin());
  return label;
}

void write_entry_header(const EntryHeader& header, std::span<std::byte, k_entry_header_bytes> to) noexcept {
  put_number(to.data(), header.sequence);
  to[8] = static_cast<std::byte>(header.kind);
  to[9] = static_cast<std::byte>(header.flags);
  put_number(to.data() + 10, std::uint16_t{0});
  put_number(to.data() + 12, header.channel);
  put_number(to.data() + 16, header.wall_us);
  put_number(to.data() + 24, header.boot_us);
  put_number(to.data() + 32, header.segment);
  put_number(to.data() + 36, header.size);
  put_number(to.data() + 40, header.extra);
}

std::optional<EntryHeader> read_entry_header(std::span<const std::byte, k_entry_header_bytes> from) noexcept {
  EntryHeader header;
  header.sequence = get_number<std::uint64_t>(from.data());
  header.kind = static_cast<EntryKind>(from[8]);
  header.flags = std::to_integer<std::uint8_t>(from[9]);
  if (get_number<std::uint16_t>(from.data() + 10) != 0) return std::nullopt;
  if ((header.flags & ~(k_flag_compressed | k_flag_sealed)) != 0) return std::nullopt;
  header.channel = get_number<std::uint32_t>(from.data() + 12);
  header.wall_us = get_number<std::int64_t>(from.data() + 16);
  header.boot_us = get_number<std::int64_t>(from.data() + 24);
  header.segment = get_number<std::uint32_t>(from.data() + 32);
  header.size = get_number<std::uint32_t>(from.data() + 36);
  header.extra = get_number<std::uint64_t>(from.data() + 40);
  return header;
}

Additional additional_data(const Label& label, std::span<const std::byte, k_entry_header_bytes> header,
                           const crypto::Tag& previous) noexcept {
  Additional additional;
  auto at = std::transform(label.begin(), label.end(), additional.begin(), [](char c) { return static_cast<std::byte>(c); });
  at = std::copy(header.begin(), header.end(), at);
  std::copy(previous.begin(), previous.end(), at);
  return additional;
}

crypto::Tag plain_tag(const Additional& additional, ByteView body) noexcept {
  crypto::Sha256 digest;
  const crypto::Hash256 hash = digest.update("sallyport plain entry v1").update(additional).update(body).finish();
  crypto::Tag tag{};
  std::copy_n(hash.begin(), tag.size(), tag.begin());
  return tag;
}

}  // namespace sallyport::seal
