#include "gateway/ssh/hop_signs.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "gateway/ssh/line_text.h"
#include "platform/model/bytes.h"

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_none = std::string_view::npos;
constexpr std::array<std::string_view, 5> k_signs = {"SSH-2.0-", "SSH-1.99-", "Permanently added '", "Escape character is '", "Last login: "};
constexpr std::size_t k_longest_sign = 21;
constexpr std::uint64_t k_rows_back = 8;
constexpr std::size_t k_longest_row = 512;

/// What stands between `before` and the next of `ends`.
[[nodiscard]] std::string between(std::string_view row, std::string_view before, std::string_view ends) {
  const std::size_t at = row.find(before);
  if (at == k_none) return {};
  row.remove_prefix(at + before.size());
  return std::string(row.substr(0, row.find_first_of(ends)));
}

/// " on pts/3" at its end.
[[nodiscard]] bool names_a_terminal(std::string_view row) {
  const std::size_t at = row.rfind(" on ");
  if (at == k_none) return false;
  const std::string_view device = row.substr(at + 4);
  return device.find(' ') == k_none && (device.starts_with("pts/") || device.starts_with("tty"));
}

}  // namespace

std::optional<HopSign> HopSigns::look(const terminal::Screen& screen, std::span<const std::byte> output, bool has_run, bool shows_text, bool changes_user) {
  const std::string_view fresh = text_of(output);
  // The newest output after what was kept of the older: long output is only looked at with its own beginning joined.
  const std::string joint = tail_ + std::string(fresh.substr(0, k_longest_sign));
  const auto has_sign = [](std::string_view text) { return std::any_of(k_signs.begin(), k_signs.end(), [&](std::string_view sign) { return text.find(sign) != k_none; }); };
  const bool is_new = has_sign(fresh) || has_sign(joint);
  const std::string_view newest = fresh.size() >= k_longest_sign ? fresh : std::string_view(joint);
  tail_ = std::string(newest.substr(newest.size() - std::min(newest.size(), k_longest_sign)));
  if (auto found = question(screen)) return found;
  if (is_new) due_ = k_longest_row + fresh.size();
  if (due_ == 0) return std::nullopt;
  due_ -= std::min(due_, fresh.size());
  if (shows_text || screen.in_alternate()) return std::nullopt;
  return banner(screen, has_run, changes_user);
}

std::optional<HopSign> HopSigns::question(const terminal::Screen& screen) {
  const terminal::Place cursor = screen.cursor();
  if (cursor.line == asked_line_ || cursor.column < 8) return std::nullopt;
  const std::string row = screen.text({screen.logical_begin(cursor.line), 0}, cursor);
  std::string host;
  if (row.ends_with("'s password: ")) {
    host = row.substr(0, row.size() - 13);
    if (const std::size_t blank = host.find_last_of(" ("); blank != std::string::npos) host.erase(0, blank + 1);
  } else if (row.find("continue connecting (yes/no") != std::string::npos) {
    for (std::uint64_t line = cursor.line; line + 6 > cursor.line && line >= screen.first(); --line) {
      host = between(screen.line_text(line), "authenticity of host '", " '");
      if (line == 0 || !host.empty()) break;
    }
    if (host.empty()) host = "unknown";
  }
  if (host.empty() || host.size() > 255) return std::nullopt;
  asked_line_ = cursor.line;
  return HopSign{std::move(host), false};
}

std::optional<HopSign> HopSigns::banner(const terminal::Screen& screen, bool has_run, bool changes_user) {
  const std::uint64_t here = screen.logical_begin(screen.cursor().line);
  std::uint64_t line = std::max({screen.first(), next_line_, here > k_rows_back ? here - k_rows_back : 0});
  for (; line < here; ++line) {  // the row of the cursor is not complete
    if (screen.logical_begin(line) != line) continue;
    const std::string row(trim_right(screen.text({line, 0}, {screen.logical_end(line), screen.columns()})));
    next_line_ = line + 1;
    HopSign found;
    if (row.starts_with("SSH-2.0-") || row.starts_with("SSH-1.99-")) {
      found.host = "unknown";
    } else if (row.starts_with("Warning: Permanently added '")) {
      found.host = between(row, "added '", "'");
    } else if (row.starts_with("Escape character is '")) {
      if (line > screen.first()) found.host = between(screen.line_text(line - 1), "Connected to ", " ");
      while (found.host.ends_with('.')) found.host.pop_back();
      if (found.host.empty()) found.host = "unknown";
    } else if (row.starts_with("Last login: ") && has_run && !(changes_user && names_a_terminal(row))) {
      found.host = between(row, " from ", " ");
      found.is_inside = true;
    }
    if (!found.host.empty() && found.host.size() <= 255) return found;
  }
  return std::nullopt;
}

}  // namespace sallyport::gateway
