// app/verbs/moments.h -- moments as people write them: `--since 2026-11-22`, `--until 8h`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "platform/model/result.h"

namespace sallyport::app {

/// Microseconds since the epoch of a moment (UTC), of the midnight (UTC) that began `today` or `yesterday`, or of "so long ago"
/// (90s, 30m, 8h, 7d, 2w); Errc::invalid says what is understood.
[[nodiscard]] Result<std::int64_t> parse_since(std::string_view text, std::int64_t now_us);

/// Both ends are part of it.
struct MomentWindow {
  std::int64_t since_us = 0;
  std::int64_t until_us = INT64_MAX;
};
/// Of `--since` and `--until`, either may be empty; now is the machine's clock. Errc::invalid names the option.
[[nodiscard]] Result<MomentWindow> window_between(const std::string& since, const std::string& until);

}  // namespace sallyport::app
