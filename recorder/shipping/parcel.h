// recorder/shipping/parcel.h -- how a stretch of the journal travels as objects (docs/format/store.md). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"
#include "platform/model/result.h"

namespace sallyport::recorder {

/// Bytes [from, to) of one journal file; begins and ends between two frames (or at the file's first byte).
struct ParcelSpan {
  std::uint64_t file = 0;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  bool operator==(const ParcelSpan&) const = default;
};

/// One object: those frames of the span that are kept for the same time. Lane 1 holds all that is no session's content.
struct Parcel {
  ParcelSpan span;
  std::uint32_t lane = 1;
  std::uint32_t lanes = 1;
  struct Piece {
    std::uint64_t offset = 0;  ///< in the journal file
    ByteView bytes;
  };
  std::vector<Piece> pieces;
};
[[nodiscard]] Bytes pack_parcel(const Parcel& parcel);
/// Views into `object`. For any bytes; Errc::corrupt.
[[nodiscard]] Result<Parcel> unpack_parcel(ByteView object);

/// NODE/journal/FFFFFFFF/FROM-TO.LANEofLANES.HASH: the hash makes a key that is taken proof of the same content.
struct ParcelKey {
  std::string node;
  ParcelSpan span;
  std::uint32_t lane = 1;
  std::uint32_t lanes = 1;
  std::string hash;  ///< 32 hexadecimal digits
};
[[nodiscard]] std::string parcel_key(const std::string& node, const Parcel& parcel, const crypto::Hash256& object_hash);
[[nodiscard]] std::optional<ParcelKey> parse_parcel_key(std::string_view key);
/// NODE/checkpoints/SIZE-HASH.note
[[nodiscard]] std::string checkpoint_key(const std::string& node, std::uint64_t size, std::string_view note);
/// A node's name as a part of a key.
[[nodiscard]] std::string node_key(std::string_view node);

}  // namespace sallyport::recorder
