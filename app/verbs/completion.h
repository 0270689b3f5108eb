// app/verbs/completion.h -- completions for bash, zsh and fish: the verbs and options as they are, and the names that are in force now.
//
// The shells' scripts are small: they hand the words of the line to `sallyport complete` and show what it prints.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace sallyport::app {

/// The script for "bash", "zsh" or "fish"; empty for any other.
[[nodiscard]] std::string completion_script(std::string_view shell);

/// What may stand instead of the last of `words` (those behind `sallyport`), one a line. Names come from the gateway when it answers
/// within two seconds; nothing is printed when only a file name fits.
int run_complete(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace sallyport::app
