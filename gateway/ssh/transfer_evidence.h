// gateway/ssh/transfer_evidence.h -- what of a file's contents passed: how much, from where, with which SHA-256.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"

namespace sallyport::gateway {

/// Bytes that wait in evidence for what belongs before them; shared by all files of one channel.
struct EvidenceBudget {
  static constexpr std::size_t k_most = 256 * 1024;
  std::size_t used = 0;
};

/// One direction of one open file. Every byte is hashed once; contents that come out of order become ranges, and ranges
/// are joined while the later one's bytes are still in the budget.
class TransferEvidence {
 public:
  static constexpr std::size_t k_most_ranges = 64;

  explicit TransferEvidence(EvidenceBudget& budget) : budget_(&budget) {}
  ~TransferEvidence();
  TransferEvidence(TransferEvidence&& other) noexcept;
  TransferEvidence& operator=(TransferEvidence&&) = delete;
  TransferEvidence(const TransferEvidence&) = delete;

  void add(std::uint64_t offset, ByteView bytes);
  /// From now on contents that come in order are kept as well, up to `most` bytes.
  void keep_text(std::size_t most) { most_text_ = most; }
  /// All of the contents; nullopt: too much, or out of order.
  [[nodiscard]] const std::optional<std::string>& text() const noexcept { return text_; }

  [[nodiscard]] std::uint64_t moved() const noexcept { return moved_; }
  /// One range from 0 (or nothing at all): each byte up to end() passed exactly once.
  [[nodiscard]] bool is_contiguous() const noexcept;
  [[nodiscard]] std::uint64_t end() const noexcept;
  /// `"sha256":"..."` for contiguous contents and, unless `complete`, `"ranges":[...]`. Ends the hashes.
  [[nodiscard]] std::string json_members(bool complete);

 private:
  struct Range {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::optional<crypto::Sha256> hash;  // none yet while the bytes themselves are kept
    Bytes kept;
    [[nodiscard]] std::uint64_t end() const noexcept { return offset + length; }
  };

  Range* range_ending_at(std::uint64_t offset);
  void append(Range& range, ByteView bytes);
  void stop_keeping(Range& range);
  void join_after(std::size_t index);

  EvidenceBudget* budget_;
  std::vector<Range> ranges_;
  std::size_t newest_ = 0;
  std::uint64_t moved_ = 0;
  bool truncated_ = false;
  std::size_t most_text_ = 0;
  std::optional<std::string> text_{std::in_place};
};

[[nodiscard]] std::string hex_of(const crypto::Hash256& hash);

}  // namespace sallyport::gateway
