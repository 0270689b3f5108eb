// policy/authority/request_limits.h -- what both halves of Requests count: bounds, and how many said yes.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "policy/authority/rows.h"

namespace sallyport::authority {

constexpr std::size_t k_most_pending = 32;  ///< of one principal
constexpr std::size_t k_most_open = 10'000;
constexpr std::size_t k_most_reason = 1024;

[[nodiscard]] inline std::int64_t microseconds_of(std::chrono::seconds time) { return std::chrono::microseconds(time).count(); }

[[nodiscard]] inline std::size_t yes_of(const RequestRow& row) {
  return static_cast<std::size_t>(std::count_if(row.votes.begin(), row.votes.end(), [](const Vote& vote) { return vote.approve; }));
}

}  // namespace sallyport::authority
