// app/verbs/init_questions.h -- the questions of `sallyport init` on a terminal; each has an answer that can be taken with Enter.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "app/verbs/init.h"

namespace sallyport::app {

/// Prints the question and gives the line that was typed; nothing at the end of the input.
using AskLine = std::function<std::optional<std::string>(const std::string& question)>;

/// Fills in what the command line left open. An answer that cannot be is said and asked for again; Errc::cancelled: she said no at the
/// end, or the input ended. Nothing is written.
[[nodiscard]] Result<void> ask_init_questions(const std::string& file, InitOptions& options, const AskLine& ask);

/// The configuration file that `options` stand for; Errc::invalid says what is wrong, by line.
[[nodiscard]] Result<std::string> init_config_text(const std::string& file, const InitOptions& options);

}  // namespace sallyport::app
