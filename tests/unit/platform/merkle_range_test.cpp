#include "platform/crypto/merkle_range.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

using namespace sallyport;
using namespace sallyport::crypto;

TEST_CASE("leaves are proven to be in a tree, and no others", "[crypto][merkle]") {
  for (std::uint64_t size = 1; size <= 40; ++size) {
    std::vector<Hash256> leaves;
    for (std::uint64_t i = 0; i < size; ++i) leaves.push_back(merkle_leaf(bytes_of("leaf " + std::to_string(i))));
    const Hash256 root = merkle_root(leaves);
    for (std::uint64_t first = 0; first < size; ++first)
      for (std::uint64_t last = first; last < size; ++last) {
        std::set<std::uint64_t> set{0};
        for (std::uint64_t i = first; i <= last; ++i) set.insert(i);
        const std::vector<std::uint64_t> included(set.begin(), set.end());
        MerkleProof proof = prove_leaves(included, leaves);
        std::vector<std::pair<std::uint64_t, Hash256>> given;
        for (const auto index : included) given.emplace_back(index, leaves[index]);
        REQUIRE(root_from_leaves(given, size, proof) == root);
        given.back().second[0] ^= std::byte{1};
        REQUIRE(root_from_leaves(given, size, proof) != root);
        given.back().second[0] ^= std::byte{1};
        // A size is told from another only by leaves at the end: a hidden subtree may have any size. Heads sign the size.
        if (last + 1 == size) REQUIRE_FALSE(root_from_leaves(given, size + 1, proof));
        proof.push_back(root);
        REQUIRE_FALSE(root_from_leaves(given, size, proof));
        given.emplace_back(size, root);
        REQUIRE_FALSE(root_from_leaves(given, size, proof));
      }
  }
}

TEST_CASE("a proof of a long session's slice is small", "[crypto][merkle]") {
  std::vector<Hash256> leaves(300'000, merkle_leaf(bytes_of("x")));
  std::vector<std::uint64_t> included{0};
  for (std::uint64_t i = 123'457; i < 131'111; ++i) included.push_back(i);
  CHECK(prove_leaves(included, leaves).size() * 32 < 2048);
}
