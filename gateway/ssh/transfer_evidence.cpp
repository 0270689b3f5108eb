#include "gateway/ssh/transfer_evidence.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sallyport::gateway {

std::string hex_of(const crypto::Hash256& hash) {
  static constexpr std::string_view k_digits = "0123456789abcdef";
  std::string text;
  text.reserve(hash.size() * 2);
  for (const std::byte byte : hash) {
    text += k_digits[std::to_integer<std::size_t>(byte >> 4)];
    text += k_digits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  return text;
}

TransferEvidence::TransferEvidence(TransferEvidence&& other) noexcept
    : budget_(other.budget_),
      ranges_(std::exchange(other.ranges_, {})),
      newest_(other.newest_),
      moved_(other.moved_),
      truncated_(other.truncated_),
      most_text_(other.most_text_),
      text_(std::move(other.text_)) {}

TransferEvidence::~TransferEvidence() {
  for (const Range& range : ranges_) budget_->used -= range.kept.size();
}

TransferEvidence::Range* TransferEvidence::range_ending_at(std::uint64_t offset) {
  if (newest_ < ranges_.size() && ranges_[newest_].end() == offset) return &ranges_[newest_];
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    if (ranges_[i].end() == offset) {
      newest_ = i;
      return &ranges_[i];
    }
  }
  return nullptr;
}

void TransferEvidence::stop_keeping(Range& range) {
  range.hash.emplace();
  range.hash->update(range.kept);
  budget_->used -= range.kept.size();
  Bytes().swap(range.kept);
}

void TransferEvidence::append(Range& range, ByteView bytes) {
  range.length += bytes.size();
  if (!range.hash) {
    if (budget_->used + bytes.size() <= EvidenceBudget::k_most) {
      budget_->used += bytes.size();
      range.kept.insert(range.kept.end(), bytes.begin(), bytes.end());
      return;
    }
    stop_keeping(range);
  }
  range.hash->update(bytes);
}

void TransferEvidence::join_after(std::size_t index) {
  for (;;) {
    const std::uint64_t end = ranges_[index].end();
    const auto next = std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& range) {
      return range.offset == end && !range.hash && &range != &ranges_[index];
    });
    if (next == ranges_.end()) return;
    const Range later = std::move(*next);
    budget_->used -= later.kept.size();
    const auto at = static_cast<std::size_t>(next - ranges_.begin());
    ranges_.erase(next);
    if (at < index) --index;
    newest_ = index;
    append(ranges_[index], later.kept);
  }
}

void TransferEvidence::add(std::uint64_t offset, ByteView bytes) {
  if (bytes.empty()) return;
  moved_ += bytes.size();
  if (text_ && (offset != text_->size() || text_->size() + bytes.size() > most_text_)) text_.reset();
  if (text_) text_->append(text_of(bytes));
  Range* range = range_ending_at(offset);
  if (range == nullptr) {
    if (ranges_.size() >= k_most_ranges) {
      truncated_ = true;
      return;
    }
    ranges_.push_back(Range{.offset = offset, .length = 0, .hash = std::nullopt, .kept = {}});
    newest_ = ranges_.size() - 1;
    range = &ranges_.back();
    if (offset == 0) range->hash.emplace();  // nothing can come before it
  }
  append(*range, bytes);
  if (ranges_.size() > 1) join_after(newest_);
}

bool TransferEvidence::is_contiguous() const noexcept {
  return !truncated_ && (ranges_.empty() || (ranges_.size() == 1 && ranges_.front().offset == 0));
}

std::uint64_t TransferEvidence::end() const noexcept {
  std::uint64_t end = 0;
  for (const Range& range : ranges_) end = std::max(end, range.end());
  return end;
}

std::string TransferEvidence::json_members(bool complete) {
  std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) { return a.offset < b.offset; });
  const bool contiguous = is_contiguous();
  std::vector<std::string> hashes;
  for (Range& range : ranges_) {
    if (!range.hash) stop_keeping(range);
    hashes.push_back(hex_of(range.hash->finish()));
  }
  std::string text;
  if (contiguous) {
    text = fmt::format(R"("sha256":"{}")", ranges_.empty() ? hex_of(crypto::sha256(std::string_view())) : hashes.front());
    if (complete) return text;
    text += ',';
  }
  text += R"("ranges":[)";
  for (std::size_t i = 0; i < ranges_.size(); ++i)
    text += fmt::format(R"({}{{"offset":{},"length":{},"sha256":"{}"}})", i == 0 ? "" : ",", ranges_[i].offset, ranges_[i].length,
                        hashes[i]);
  text += ']';
  if (truncated_) text += R"(,"ranges_truncated":true)";
  return text;
}

}  // namespace sallyport::gateway
