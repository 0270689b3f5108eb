// admin/api/rate_limit.h -- so many requests a minute for one caller.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "platform/model/clock.h"

namespace sallyport::admin {

/// A window of a minute per caller; memory is bounded. One thread.
class RateLimit {
 public:
  struct Verdict {
    bool allowed = true;
    unsigned limit = 0;
    unsigned remaining = 0;
    std::chrono::seconds reset{0};  ///< until the window is fresh
  };
  RateLimit(const Clock& clock, unsigned per_minute) : clock_(clock), per_minute_(per_minute) {}

  Verdict take(const std::string& caller) {
    const BootTime now = clock_.boot();
    if (windows_.size() >= k_most_callers) std::erase_if(windows_, [&](const auto& one) { return now - one.second.begin >= k_window; });
    if (windows_.size() >= k_most_callers) windows_.clear();
    Window& window = windows_[caller];
    if (window.used == 0 || now - window.begin >= k_window) window = Window{now, 0};
    const auto left = std::chrono::ceil<std::chrono::seconds>(k_window - (now - window.begin));
    if (window.used >= per_minute_) return {false, per_minute_, 0, left};
    ++window.used;
    return {true, per_minute_, per_minute_ - window.used, left};
  }

 private:
  static constexpr std::chrono::seconds k_window{60};
  static constexpr std::size_t k_most_callers = 10'000;
  struct Window {
    BootTime begin{};
    unsigned used = 0;
  };
  const Clock& clock_;
  unsigned per_minute_;
  std::map<std::string, Window> windows_;
};

}  // namespace sallyport::admin
