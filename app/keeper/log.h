// app/keeper/log.h -- the keeper's log lines on stderr; the service manager or the terminal keeps them.
#pragma once

#include <string_view>

namespace sallyport::app {

enum class Level { debug, info, warn, error };

/// Lines below this are dropped. Set once at start and on reload.
void set_log_level(std::string_view name);

/// One line, one write: `2026-11-22T16:03:05.123Z info keeper: TEXT`. Never a secret.
void log_line(Level level, std::string_view text);

}  // namespace sallyport::app
