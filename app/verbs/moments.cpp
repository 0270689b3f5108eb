#include "app/verbs/moments.h"

#include <charconv>
#include <ctime>
#include <utility>

#include "platform/model/clock.h"

namespace sallyport::app {

namespace {

/// 0: no unit.
std::int64_t seconds_of(char unit) {
  switch (unit) {
    case 's': return 1;
    case 'm': return 60;
    case 'h': return 3'600;
    case 'd': return 86'400;
    case 'w': return 7 * 86'400;
    default: return 0;
  }
}

}  // namespace

Result<std::int64_t> parse_since(std::string_view text, std::int64_t now_us) {
  std::int64_t amount = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount);
  if (error == std::errc{} && end + 1 == text.data() + text.size() && amount >= 0 && amount < 1'000'000 && seconds_of(*end) != 0)
    return now_us - amount * seconds_of(*end) * 1'000'000;
  constexpr std::int64_t k_day_us = std::int64_t{86'400} * 1'000'000;
  if (text == "today") return now_us - now_us % k_day_us;
  if (text == "yesterday") return now_us - now_us % k_day_us - k_day_us;
  std::tm parts{};
  const std::string whole(text);
  for (const char* form : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"}) {
    parts = {};
    const char* rest = strptime(whole.c_str(), form, &parts);
    if (rest != nullptr && *rest == '\0') return static_cast<std::int64_t>(timegm(&parts)) * 1'000'000;
  }
  return fail(Errc::invalid, "`" + whole + "` is no moment: write 2026-11-22T08:00:00Z, 2026-11-22, today, yesterday, or how long ago: 90s, 30m, 8h, 7d, 2w");
}

Result<MomentWindow> window_between(const std::string& since, const std::string& until) {
  MomentWindow window;
  const std::int64_t now_us = system_clock().wall().time_since_epoch().count();
  for (const auto& [option, text, place] : {std::tuple{"--since", &since, &window.since_us}, std::tuple{"--until", &until, &window.until_us}}) {
    if (text->empty()) continue;
    auto moment = parse_since(*text, now_us);
    if (!moment) return fail(moment.error().code, std::string(option) + ": " + moment.error().detail);
    *place = *moment;
  }
  if (window.since_us > window.until_us) return fail(Errc::invalid, "--since is after --until");
  return window;
}

}  // namespace sallyport::app
