// platform/seal/entry.h -- the bytes of one entry (docs/format/journal.md section 1), as the session process writes
// them, the recorder keeps them and a replay reads them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "platform/crypto/aead.h"
#include "platform/model/bytes.h"

namespace sallyport::seal {

constexpr std::size_t k_label_bytes = 26;
constexpr std::size_t k_entry_header_bytes = 48;
constexpr std::size_t k_entry_overhead = k_entry_header_bytes + crypto::k_aead_tag_size;
constexpr std::size_t k_max_body = 40 * 1024;
constexpr std::size_t k_max_entry = k_max_body + k_entry_overhead;
constexpr std::size_t k_max_data = 32 * 1024;  ///< bytes of one data or typed entry before compression

enum class EntryKind : std::uint8_t {
  header = 1,
  event = 2,
  data_in = 3,
  data_out = 4,
  data_err = 5,
  typed = 6,
  line_key = 7,
  line_dropped = 8,
  bulk_marker = 9,
  resize = 10,
  exit = 11,
  end = 12,
  held = 50,    ///< output or input that could be the beginning of a value that must not be stored; sealed under a key of its own
  masked = 51,  ///< what was, or was not, written instead of such a value
};

constexpr std::uint8_t k_flag_compressed = 1;
constexpr std::uint8_t k_flag_sealed = 2;

struct EntryHeader {
  std::uint64_t sequence = 0;
  EntryKind kind = EntryKind::event;
  std::uint8_t flags = 0;
  std::uint32_t channel = 0;
  std::int64_t wall_us = 0;
  std::int64_t boot_us = 0;
  std::uint32_t segment = 0;
  std::uint32_t size = 0;   ///< bytes of body as stored
  std::uint64_t extra = 0;  ///< stream offset or line number, by kind
};

/// The "line number" of a held piece: which stream (0 in, 1 out, 2 err) it belongs to and where in it.
constexpr std::uint64_t k_held_bit = 1ULL << 63;
[[nodiscard]] constexpr std::uint64_t held_number(unsigned stream, std::uint64_t offset) noexcept {
  return k_held_bit | static_cast<std::uint64_t>(stream & 3U) << 61 | (offset & ((1ULL << 61) - 1));
}
[[nodiscard]] constexpr unsigned stream_of_held(std::uint64_t number) noexcept { return static_cast<unsigned>(number >> 61) & 3U; }
[[nodiscard]] constexpr std::uint64_t offset_of_held(std::uint64_t number) noexcept { return number & ((1ULL << 61) - 1); }

using Label = std::array<char, k_label_bytes>;

/// Nothing when `text` is not 26 characters of Crockford base32 (so that it can be a file name, too).
[[nodiscard]] std::optional<Label> label_of(std::string_view text) noexcept;
[[nodiscard]] inline std::string_view text_of(const Label& label) noexcept { return {label.data(), label.size()}; }

void write_entry_header(const EntryHeader& header, std::span<std::byte, k_entry_header_bytes> to) noexcept;
/// Takes any bytes; checks nothing but that reserved bytes are zero. Unknown kinds come back as they are.
[[nodiscard]] std::optional<EntryHeader> read_entry_header(std::span<const std::byte, k_entry_header_bytes> from) noexcept;

constexpr std::size_t k_additional_bytes = k_label_bytes + k_entry_header_bytes + crypto::k_aead_tag_size;
using Additional = std::array<std::byte, k_additional_bytes>;
/// label || header || tag of the entry before: what a seal (and a plain tag) binds besides the body.
[[nodiscard]] Additional additional_data(const Label& label, std::span<const std::byte, k_entry_header_bytes> header,
                                         const crypto::Tag& previous) noexcept;
/// The tag of an entry that is not sealed.
[[nodiscard]] crypto::Tag plain_tag(const Additional& additional, ByteView body) noexcept;

/// Little-endian numbers in byte buffers.
template <class Number>
void put_number(std::byte* to, Number value) noexcept {
  for (std::size_t i = 0; i < sizeof(Number); ++i) to[i] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i));
}
template <class Number>
[[nodiscard]] Number get_number(const std::byte* from) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i) value |= std::to_integer<std::uint64_t>(from[i]) << (8 * i);
  return static_cast<Number>(value);
}

}  // namespace sallyport::seal
