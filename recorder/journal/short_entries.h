// recorder/journal/short_entries.h -- entries of one frame with what repeats in their headers left out (docs/format/journal.md section 5.1).
//
// What is sealed, hashed and proven stays the whole entry; only its place in the journal is shorter.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "platform/model/bytes.h"
#include "platform/seal/entry.h"

namespace sallyport::recorder {

/// What the entry before, in the same frame, says about the next. All sums wrap.
struct EntryBefore {
  seal::EntryHeader header;
  std::array<std::uint64_t, 64> extra{};  ///< of the newest entry of each kind

  void take(const seal::EntryHeader& taken) noexcept;
  void take_whole(ByteView entry) noexcept;
};

/// Above a kilobyte some forty bytes are not worth a copy when it is read.
[[nodiscard]] bool is_worth_shortening(ByteView entry) noexcept;
/// Appends one entry of which is_worth_shortening().
void put_short_entry(Bytes& out, EntryBefore& before, ByteView entry);
constexpr std::size_t k_whole_entry_prefix = 5;
void put_whole_entry_prefix(std::byte* to, std::size_t entry_bytes) noexcept;
/// Takes one entry off `rest`. What it gives points into `rest` or into `scratch`. For any bytes; nothing when they are none.
[[nodiscard]] std::optional<ByteView> take_short_entry(ByteView& rest, EntryBefore& before, Bytes& scratch);

}  // namespace sallyport::recorder
