#include "app/keeper/log.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>

#include "platform/model/clock.h"

namespace sallyport::app {
namespace {

constexpr std::array<std::string_view, 4> k_names{"debug", "info", "warn", "error"};
Level threshold = Level::info;  // one thread

}  // namespace

void set_log_level(std::string_view name) {
  for (std::size_t i = 0; i < k_names.size(); ++i)
    if (k_names[i] == name) threshold = static_cast<Level>(i);
}

void log_line(Level level, std::string_view text) {
  if (level < threshold) return;
  const auto now = system_clock().wall().time_since_epoch().count();
  const std::time_t seconds = now / 1'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> stamp{};
  const std::size_t length = std::strftime(stamp.data(), stamp.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::array<char, 8> millis{};
  std::snprintf(millis.data(), millis.size(), ".%03dZ", static_cast<int>(now / 1000 % 1000));
  std::string line = std::string(stamp.data(), length) + millis.data() + " " + std::string(k_names[static_cast<std::size_t>(level)]) + " keeper: ";
  line += text;
  line += '\n';
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // a full log pipe must not stop the keeper
}

}  // namespace sallyport::app
