#include "platform/crypto/merkle_range.h"

#include <bit>

namespace sallyport::crypto {
namespace {

void collect(std::span<const std::uint64_t> included, std::uint64_t first, std::span<const Hash256> leaves, MerkleProof& proof) {
  if (included.empty()) {
    proof.push_back(merkle_root(leaves));
    return;
  }
  if (leaves.size() <= 1) return;
  const std::uint64_t split = std::bit_floor(leaves.size() - 1);
  std::size_t left = 0;
  while (left < included.size() && included[left] < first + split) ++left;
  collect(included.first(left), first, leaves.first(split), proof);
  collect(included.subspan(left), first + split, leaves.subspan(split), proof);
}

class Rebuilder {
 public:
  Rebuilder(std::span<const std::pair<std::uint64_t, Hash256>> included, std::span<const Hash256> proof) : included_(included), proof_(proof) {}

  std::optional<Hash256> root(std::uint64_t first, std::uint64_t size) {
    if (included_.empty() || included_.front().first >= first + size) {
      if (proof_.empty()) return std::nullopt;
      const Hash256 hash = proof_.front();
      proof_ = proof_.subspan(1);
      return hash;
    }
    if (size == 1) {
      if (included_.front().first != first) return std::nullopt;
      const Hash256 hash = included_.front().second;
      included_ = included_.subspan(1);
      return hash;
    }
    const std::uint64_t split = std::bit_floor(size - 1);
    const auto left = root(first, split);
    const auto right = left ? root(first + split, size - split) : std::nullopt;
    if (!right) return std::nullopt;
    return merkle_node(*left, *right);
  }
  [[nodiscard]] bool is_used_up() const { return included_.empty() && proof_.empty(); }

 private:
  std::span<const std::pair<std::uint64_t, Hash256>> included_;
  std::span<const Hash256> proof_;
};

}  // namespace

MerkleProof prove_leaves(std::span<const std::uint64_t> included, std::span<const Hash256> leaves) {
  MerkleProof proof;
  if (!leaves.empty()) collect(included, 0, leaves, proof);
  return proof;
}

std::optional<Hash256> root_from_leaves(std::span<const std::pair<std::uint64_t, Hash256>> included, std::uint64_t size, std::span<const Hash256> proof) {
  if (size == 0 || size > (1ULL << 48)) return std::nullopt;
  for (std::size_t i = 1; i < included.size(); ++i)
    if (included[i].first <= included[i - 1].first) return std::nullopt;
  Rebuilder rebuilder(included, proof);
  const auto root = rebuilder.root(0, size);
  if (!root || !rebuilder.is_used_up()) return std::nullopt;
  return root;
}

}  // namespace sallyport::crypto
