#include "platform/os/log.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "platform/model/clock.h"
#include "platform/model/json_text.h"

namespace sallyport::os {
namespace {

constexpr const char* k_variable = "SALLYPORT_LOG";
constexpr std::size_t k_most_line = 4096;  // PIPE_BUF: written whole or not at all
constexpr std::array<std::string_view, 4> k_levels{"debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 2> k_formats{"text", "json"};

std::atomic<LogLevel> lowest{LogLevel::info};
std::atomic<LogFormat> chosen{LogFormat::text};
std::atomic<unsigned> dropped{0};
std::string_view own_name = "sallyport";

template <class Names>
std::size_t index_of(const Names& names, std::string_view name) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

constexpr bool table_is_in_order() {
  for (std::size_t i = 0; i < k_log_events.size(); ++i)
    if (static_cast<std::size_t>(k_log_events[i].event) != i) return false;
  return true;
}
static_assert(table_is_in_order());

const LogEventRow& row_of(LogEvent event) { return k_log_events[static_cast<std::size_t>(event)]; }

/// Fills bounded room; what does not fit is left out.
class Writer {
 public:
  explicit Writer(std::span<char> room) : room_(room) {}
  void put(std::string_view text) {
    for (const char c : text)
      if (used_ < room_.size()) room_[used_++] = c;
  }
  void number(std::int64_t value, int width = 1) {
    std::array<char, 20> digits{};
    int count = 0;
    do digits[static_cast<std::size_t>(count++)] = static_cast<char>('0' + value % 10);
    while ((value /= 10) != 0);
    for (int i = count; i < width; ++i) put("0");
    while (count > 0) put(std::string_view(&digits[static_cast<std::size_t>(--count)], 1));
  }
  [[nodiscard]] std::string_view used() const { return {room_.data(), used_}; }

 private:
  std::span<char> room_;
  std::size_t used_ = 0;
};

/// RFC 3339 in UTC. The C library's calendar may take a lock, and this is called in a signal handler as well.
void put_stamp(Writer& out, std::int64_t wall_us) {
  constexpr std::int64_t k_day = 86'400;
  const std::int64_t seconds = std::max<std::int64_t>(wall_us, 0) / 1'000'000;
  const std::int64_t clock = seconds % k_day;
  // Days since 0000-03-01, so that a leap day is the last of its year.
  const std::int64_t days = seconds / k_day + 719'468;
  const std::int64_t era = days / 146'097, of_era = days % 146'097;
  const std::int64_t year_of_era = (of_era - of_era / 1'460 + of_era / 36'524 - of_era / 146'096) / 365;
  const std::int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted = (5 * of_year + 2) / 153;
  const std::int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  out.number(era * 400 + year_of_era + (month <= 2 ? 1 : 0), 4);
  out.put("-");
  out.number(month, 2);
  out.put("-");
  out.number(of_year - (153 * shifted + 2) / 5 + 1, 2);
  out.put("T");
  out.number(clock / 3600, 2);
  out.put(":");
  out.number(clock / 60 % 60, 2);
  out.put(":");
  out.number(clock % 60, 2);
  out.put(".");
  out.number(std::max<std::int64_t>(wall_us, 0) / 1000 % 1000, 3);
  out.put("Z");
}

std::string stamp(std::int64_t wall_us) {
  std::array<char, 32> room{};
  Writer out(room);
  put_stamp(out, wall_us);
  return std::string(out.used());
}

bool write_whole(std::string_view line) {
  pollfd ready{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return false;
  return ::write(STDERR_FILENO, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

void write_line(const LogEventRow& row, std::string_view process, std::string_view text) {
  if (row.level < lowest.load()) return;
  const std::int64_t now = system_clock().wall().time_since_epoch().count();
  const LogFormat format = chosen.load();
  if (const unsigned lost = dropped.exchange(0); lost > 0) {
    const std::string told = render_log_line(format, row_of(LogEvent::log_dropped), own_name, now, std::to_string(lost) + " lines were not taken and are lost");
    if (!write_whole(told)) {
      dropped += lost + 1;
      return;
    }
  }
  if (!write_whole(render_log_line(format, row, process, now, text))) ++dropped;
}

}  // namespace

void name_log_process(std::string_view name) {
  own_name = name;
  const char* handed = std::getenv(k_variable);
  const std::string_view text = handed != nullptr ? handed : "";
  const std::size_t blank = text.find(' ');
  if (blank != std::string_view::npos) set_log(text.substr(0, blank), text.substr(blank + 1));
}

void set_log(std::string_view level, std::string_view format) {
  if (const std::size_t at = index_of(k_levels, level); at < k_levels.size()) lowest = static_cast<LogLevel>(at);
  if (const std::size_t at = index_of(k_formats, format); at < k_formats.size()) chosen = static_cast<LogFormat>(at);
}

void hand_log_on() {
  const std::string text = std::string(k_levels[static_cast<std::size_t>(lowest.load())]) + " " + std::string(k_formats[static_cast<std::size_t>(chosen.load())]);
  ::setenv(k_variable, text.c_str(), 1);
}

void log_line(LogEvent event, std::string_view text) { write_line(row_of(event), own_name, text); }

void log_notice(std::string_view process, std::string_view notice) {
  const std::string_view name = notice.substr(0, std::min(notice.find('\t'), notice.size()));
  const auto row = std::find_if(k_log_events.begin(), k_log_events.end(), [name](const LogEventRow& one) { return one.name == name; });
  if (row == k_log_events.end()) return write_line(row_of(LogEvent::service_notice), process, notice);
  write_line(*row, process, notice.substr(std::min(name.size() + 1, notice.size())));
}

std::string notice_text(LogEvent event, std::string_view text) { return std::string(row_of(event).name) + '\t' + std::string(text); }

std::string render_log_line(LogFormat format, const LogEventRow& row, std::string_view process, std::int64_t wall_us, std::string_view text) {
  const std::string_view level = k_levels[static_cast<std::size_t>(row.level)];
  std::string line;
  do {
    line = format == LogFormat::text ? stamp(wall_us) + " " + std::string(level) + " " + std::string(process) + ": " + printable(text)
                                     : R"({"ts":")" + stamp(wall_us) + R"(","level":")" + std::string(level) + R"(","process":)" + json_quote(process) + R"(,"event":")" +
                                           std::string(row.name) + R"(","message":)" + json_quote(text) + "}";
    line += '\n';
    text = text.substr(0, text.size() / 2);
  } while (line.size() > k_most_line && !text.empty());
  return line;
}

std::string_view render_forbidden_call(std::span<char> room, long number, std::int64_t wall_us) noexcept {
  Writer out(room);
  const bool json = chosen.load() == LogFormat::json;
  if (json) {
    out.put(R"({"ts":")");
    put_stamp(out, wall_us);
    out.put(R"(","level":"error","process":"session","event":"session.forbidden_call","message":")");
  }
  out.put("forbidden system call ");
  out.number(number);
  out.put(json ? "\"}\n" : "\n");
  return out.used();
}

}  // namespace sallyport::os
