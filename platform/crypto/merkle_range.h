// platform/crypto/merkle_range.h -- proofs that several leaves at once are in a tree (RFC 9162 section 2.1 trees).
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "platform/crypto/merkle.h"

namespace sallyport::crypto {

/// The roots of the largest subtrees that hold none of `included` (ascending leaf numbers from 0), from left to right. For a
/// contiguous range in a tree of n leaves these are at most 2 log2(n) hashes.
[[nodiscard]] MerkleProof prove_leaves(std::span<const std::uint64_t> included, std::span<const Hash256> leaves);

/// The root of the tree of `size` leaves that has these leaves (ascending) and whose other subtrees the proof gives. Nothing when the proof is
/// too long, too short, or the leaves are out of order.
[[nodiscard]] std::optional<Hash256> root_from_leaves(std::span<const std::pair<std::uint64_t, Hash256>> included, std::uint64_t size,
                                                      std::span<const Hash256> proof);

}  // namespace sallyport::crypto
