// app/verbs/command_line.h -- from argv to a verb.
#pragma once

namespace sallyport::app {

/// Parses, runs the verb, gives the exit status (exit_codes.h). Prints what is wrong with a wrong line and how it may be meant.
int run_command_line(int argc, char** argv);

}  // namespace sallyport::app
