#include "platform/crypto/merkle.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "platform/crypto/short_hash.h"

namespace sallyport::crypto {
namespace {

constexpr std::byte k_leaf_prefix{0};
constexpr std::byte k_node_prefix{1};

/// The largest power of two below n (n >= 2).
std::size_t split_of(std::size_t n) { return std::bit_floor(n - 1); }

void inclusion_path(std::size_t index, std::span<const Hash256> leaves, MerkleProof& proof) {
  if (leaves.size() <= 1) return;
  const std::size_t split = split_of(leaves.size());
  if (index < split) {
    inclusion_path(index, leaves.first(split), proof);
    proof.push_back(merkle_root(leaves.subspan(split)));
  } else {
    inclusion_path(index - split, leaves.subspan(split), proof);
    proof.push_back(merkle_root(leaves.first(split)));
  }
}

void consistency_path(std::size_t old_size, std::span<const Hash256> leaves, bool whole, MerkleProof& proof) {
  if (old_size == leaves.size()) {
    if (!whole) proof.push_back(merkle_root(leaves));
    return;
  }
  const std::size_t split = split_of(leaves.size());
  if (old_size <= split) {
    consistency_path(old_size, leaves.first(split), whole, proof);
    proof.push_back(merkle_root(leaves.subspan(split)));
  } else {
    consistency_path(old_size - split, leaves.subspan(split), false, proof);
    proof.push_back(merkle_root(leaves.first(split)));
  }
}

}  // namespace

// One call for what is short: of an entry at human pace the calls cost as much as the hashing.
Hash256 merkle_leaf(ByteView entry) noexcept {
  std::array<std::byte, 512> whole;
  thread_local Sha256 digest;
  if (entry.size() >= whole.size()) return digest.update(ByteView(&k_leaf_prefix, 1)).update(entry).finish();
  whole[0] = k_leaf_prefix;
  std::copy(entry.begin(), entry.end(), whole.begin() + 1);
  return short_sha256(ByteView(whole).first(1 + entry.size()));
}

Hash256 merkle_node(const Hash256& left, const Hash256& right) noexcept {
  std::array<std::byte, 1 + 2 * sizeof(Hash256)> whole;
  whole[0] = k_node_prefix;
  std::copy(right.begin(), right.end(), std::copy(left.begin(), left.end(), whole.begin() + 1));
  return short_sha256(whole);
}

Result<MerkleTree> MerkleTree::resume(std::uint64_t size, std::vector<Hash256> frontier) {
  if (frontier.size() != static_cast<std::size_t>(std::popcount(size)))
    return fail(Errc::invalid, "the hashes of a Merkle tree do not fit its size");
  MerkleTree tree;
  tree.size_ = size;
  tree.frontier_ = std::move(frontier);
  return tree;
}

void MerkleTree::append_leaf(const Hash256& leaf_hash) {
  Hash256 hash = leaf_hash;
  for (std::uint64_t full = size_; (full & 1) != 0; full >>= 1) {
    hash = merkle_node(frontier_.back(), hash);
    frontier_.pop_back();
  }
  frontier_.push_back(hash);
  ++size_;
}

Hash256 MerkleTree::root() const noexcept {
  if (frontier_.empty()) return sha256(ByteView());
  Hash256 hash = frontier_.back();
  for (std::size_t i = frontier_.size() - 1; i-- > 0;) hash = merkle_node(frontier_[i], hash);
  return hash;
}

Hash256 merkle_root(std::span<const Hash256> leaves) {
  MerkleTree tree;
  for (const Hash256& leaf : leaves) tree.append_leaf(leaf);
  return tree.root();
}

MerkleProof prove_inclusion(std::uint64_t index, std::span<const Hash256> leaves) {
  MerkleProof proof;
  inclusion_path(static_cast<std::size_t>(index), leaves, proof);
  return proof;
}

MerkleProof prove_consistency(std::uint64_t old_size, std::span<const Hash256> leaves) {
  MerkleProof proof;
  if (old_size > 0) consistency_path(static_cast<std::size_t>(old_size), leaves, true, proof);
  return proof;
}

// RFC 9162 section 2.1.3.2.
bool verify_inclusion(const Hash256& leaf_hash, std::uint64_t index, std::uint64_t size, std::span<const Hash256> proof,
                      const Hash256& root) noexcept {
  if (index >= size) return false;
  std::uint64_t node = index;
  std::uint64_t last = size - 1;
  Hash256 hash = leaf_hash;
  for (const Hash256& sibling : proof) {
    if (last == 0) return false;
    if ((node & 1) != 0 || node == last) {
      hash = merkle_node(sibling, hash);
      while ((node & 1) == 0 && node != 0) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      hash = merkle_node(hash, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 && hash == root;
}

// RFC 9162 section 2.1.4.2.
bool verify_consistency(std::uint64_t old_size, const Hash256& old_root, std::uint64_t new_size, const Hash256& new_root,
                        std::span<const Hash256> proof) noexcept {
  if (old_size == 0 || old_size > new_size) return false;
  if (old_size == new_size) return proof.empty() && old_root == new_root;
  std::size_t at = 0;
  std::uint64_t node = old_size - 1;
  std::uint64_t last = new_size - 1;
  while ((node & 1) != 0) {
    node >>= 1;
    last >>= 1;
  }
  if (!std::has_single_bit(old_size) && proof.empty()) return false;
  Hash256 old_hash = std::has_single_bit(old_size) ? old_root : proof[at++];
  Hash256 new_hash = old_hash;
  for (; at < proof.size(); ++at) {
    if (last == 0) return false;
    if ((node & 1) != 0 || node == last) {
      old_hash = merkle_node(proof[at], old_hash);
      new_hash = merkle_node(proof[at], new_hash);
      while ((node & 1) == 0 && node != 0) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      new_hash = merkle_node(new_hash, proof[at]);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 && old_hash == old_root && new_hash == new_root;
}

}  // namespace sallyport::crypto
