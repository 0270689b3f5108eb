#include "policy/access/role.h"

#include <date/tz.h>

#include <algorithm>

namespace sallyport::policy {
namespace {

constexpr std::array<std::string_view, k_channel_kinds> k_kind_names{
    "connect",      "shell",         "exec",           "sftp",        "scp",  "rsync", "subsystem", "tunnel-local",
    "tunnel-remote", "tunnel-dynamic", "tunnel-unix", "jump", "agent", "x11",       "pty"};
constexpr std::array<std::string_view, 9> k_right_names{"policy", "lock", "audit", "view", "secret", "approve", "input", "retention", "reveal"};

}  // namespace

std::string_view name_of(ChannelKind kind) noexcept { return k_kind_names[static_cast<std::size_t>(kind)]; }

std::optional<ChannelKind> parse_channel_kind(std::string_view text) noexcept {
  if (text == "tunnel-unix-remote") return ChannelKind::tunnel_unix;
  if (text == "forwarded") return ChannelKind::tunnel_remote;
  const auto found = std::find(k_kind_names.begin(), k_kind_names.end(), text);
  if (found == k_kind_names.end()) return std::nullopt;
  return static_cast<ChannelKind>(found - k_kind_names.begin());
}

std::string KindSet::str() const {
  std::string text;
  for (std::size_t i = 0; i < k_channel_kinds; ++i) {
    if (!has(static_cast<ChannelKind>(i))) continue;
    if (!text.empty()) text += ", ";
    text += k_kind_names[i];
  }
  return text;
}

std::string_view name_of(AdminRight right) noexcept { return k_right_names[static_cast<std::size_t>(right)]; }

std::optional<AdminRight> parse_admin_right(std::string_view text) noexcept {
  const auto found = std::find(k_right_names.begin(), k_right_names.end(), text);
  if (found == k_right_names.end()) return std::nullopt;
  return static_cast<AdminRight>(found - k_right_names.begin());
}

bool Hours::covers(WallTime moment) const {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(moment);
  const std::chrono::seconds offset = zone == nullptr ? std::chrono::seconds(0) : zone->get_info(seconds).offset;
  const std::chrono::seconds local = seconds.time_since_epoch() + offset;
  const auto day = std::chrono::floor<std::chrono::duration<std::int64_t, std::ratio<86400>>>(local);
  const auto time_of_day = local - day;
  // The first of January 1970 was a Thursday; Monday is 0.
  const auto weekday = static_cast<std::size_t>(((day.count() + 3) % 7 + 7) % 7);
  const std::size_t yesterday = (weekday + 6) % 7;
  if (from <= to) return days[weekday] && time_of_day >= from && time_of_day < to;
  return (days[weekday] && time_of_day >= from) || (days[yesterday] && time_of_day < to);
}

}  // namespace sallyport::policy
