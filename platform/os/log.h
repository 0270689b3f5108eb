// platform/os/log.h -- the service log: one line on stderr for each thing that an operator should know, as text or as JSON.
//
// Kept by the service manager or the terminal. What is evidence is an audit event instead. Never a secret.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "platform/os/log_events.h"

namespace sallyport::os {

enum class LogFormat : std::uint8_t { text, json };

/// Whose lines these are; `name` lives as long as the program. Takes level and format from the environment, as the keeper left them there.
void name_log_process(std::string_view name);

/// Lines below `level` are dropped. Wrong names change nothing. The keeper sets both at start and on reload.
void set_log(std::string_view level, std::string_view format);

/// Leaves level and format in the environment for programs that are started from here. One thread only.
void hand_log_on();

/// One line, one write. What the other end does not take at once is counted and dropped: a full log stops nobody.
void log_line(LogEvent event, std::string_view text);

/// The same for a text that another process sent with notice_text().
void log_notice(std::string_view process, std::string_view notice);

/// What a service without a log of its own sends to the keeper: the event's name, a tab, the text.
[[nodiscard]] std::string notice_text(LogEvent event, std::string_view text);

/// The whole line with its end, at most 4,096 bytes, so that a pipe takes it whole: a longer text is cut.
[[nodiscard]] std::string render_log_line(LogFormat format, const LogEventRow& row, std::string_view process, std::int64_t wall_us, std::string_view text);

/// Into `room`: a line about system call `number`. For a signal handler: no allocation, no locks. Gives the part that is used.
[[nodiscard]] std::string_view render_forbidden_call(std::span<char> room, long number, std::int64_t wall_us) noexcept;

}  // namespace sallyport::os
