// platform/crypto/merkle.h -- the append-only tree of RFC 9162 section 2.1 over SHA-256.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "platform/crypto/hash.h"
#include "platform/model/result.h"

namespace sallyport::crypto {

[[nodiscard]] Hash256 merkle_leaf(ByteView entry) noexcept;                              ///< SHA-256(0x00 || entry)
[[nodiscard]] Hash256 merkle_node(const Hash256& left, const Hash256& right) noexcept;   ///< SHA-256(0x01 || left || right)

/// Grows at the end and knows its root; keeps one hash per set bit of its size and nothing else.
class MerkleTree {
 public:
  MerkleTree() = default;
  /// Goes on from what frontier() gave. Errc::invalid when the number of hashes does not fit `size`.
  [[nodiscard]] static Result<MerkleTree> resume(std::uint64_t size, std::vector<Hash256> frontier);

  void append_leaf(const Hash256& leaf_hash);
  void append(ByteView entry) { append_leaf(merkle_leaf(entry)); }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  /// Of the empty tree: SHA-256 of nothing.
  [[nodiscard]] Hash256 root() const noexcept;
  /// The roots of the complete subtrees, largest first.
  [[nodiscard]] const std::vector<Hash256>& frontier() const noexcept { return frontier_; }

 private:
  std::uint64_t size_ = 0;
  std::vector<Hash256> frontier_;
};

/// The root over leaf hashes that are all at hand.
[[nodiscard]] Hash256 merkle_root(std::span<const Hash256> leaves);

using MerkleProof = std::vector<Hash256>;

/// RFC 9162 section 2.1.3.1. `index` must be below leaves.size().
[[nodiscard]] MerkleProof prove_inclusion(std::uint64_t index, std::span<const Hash256> leaves);
/// RFC 9162 section 2.1.4.1: that the first `old_size` leaves are still the beginning. old_size 1 to leaves.size().
[[nodiscard]] MerkleProof prove_consistency(std::uint64_t old_size, std::span<const Hash256> leaves);

[[nodiscard]] bool verify_inclusion(const Hash256& leaf_hash, std::uint64_t index, std::uint64_t size, std::span<const Hash256> proof,
                                    const Hash256& root) noexcept;
[[nodiscard]] bool verify_consistency(std::uint64_t old_size, const Hash256& old_root, std::uint64_t new_size, const Hash256& new_root,
                                      std::span<const Hash256> proof) noexcept;

}  // namespace sallyport::crypto
