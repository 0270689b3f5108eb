// app/verbs/passphrase.h -- typed by a person, without echo.
#pragma once

#include <string_view>

#include "platform/model/result.h"
#include "platform/model/secret.h"

namespace sallyport::app {

/// From the terminal with echo off; from standard input (one line) when that is none. Errc::invalid: nothing was typed.
[[nodiscard]] Result<Secret> ask_passphrase(std::string_view prompt);
/// Asked twice on a terminal. Errc::invalid when the two differ.
[[nodiscard]] Result<Secret> ask_new_passphrase(std::string_view prompt);

/// All of standard input, at most `limit` bytes; one final new line is dropped.
[[nodiscard]] Result<Secret> read_secret_from_input(std::size_t limit);

}  // namespace sallyport::app
