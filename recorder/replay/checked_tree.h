// recorder/replay/checked_tree.h -- a growing Merkle tree that can still tell its root at sizes not yet confirmed.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "platform/crypto/merkle.h"

namespace sallyport::replay {

/// Keeps the leaves since the last confirmed size, and of what is before only the frontier.
class CheckedTree {
 public:
  void append(const crypto::Hash256& leaf) { since_.push_back(leaf); }
  [[nodiscard]] std::uint64_t size() const noexcept { return confirmed_.size() + since_.size(); }
  [[nodiscard]] std::uint64_t confirmed() const noexcept { return confirmed_.size(); }

  /// Nothing when `size` is below the confirmed size or above what is there.
  [[nodiscard]] std::optional<crypto::Hash256> root_at(std::uint64_t size) const {
    if (size < confirmed_.size() || size > this->size()) return std::nullopt;
    return tree_at(size).root();
  }
  /// Forgets the leaves up to `size`.
  void confirm(std::uint64_t size) {
    if (size <= confirmed_.size() || size > this->size()) return;
    const auto count = static_cast<std::ptrdiff_t>(size - confirmed_.size());
    static_cast<void>(tree_at(size));
    confirmed_ = std::move(*grown_);
    grown_.reset();
    since_.erase(since_.begin(), since_.begin() + count);
  }

 private:
  /// Kept until it is confirmed: a head is compared first, and each inner hash costs as much as a leaf's.
  [[nodiscard]] const crypto::MerkleTree& tree_at(std::uint64_t size) const {
    if (!grown_ || grown_->size() > size) grown_ = confirmed_;
    while (grown_->size() < size) grown_->append_leaf(since_[static_cast<std::size_t>(grown_->size() - confirmed_.size())]);
    return *grown_;
  }
  mutable std::optional<crypto::MerkleTree> grown_;
  crypto::MerkleTree confirmed_;
  std::vector<crypto::Hash256> since_;
};

}  // namespace sallyport::replay
