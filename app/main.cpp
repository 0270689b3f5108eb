// app/main.cpp -- the program `sallyport` (also as `sp`): see verbs/ for what each verb does.
#include <string_view>

#include "app/verbs/command_line.h"
#include "app/verbs/viewing_process.h"

int main(int argc, char** argv) {
  // Not a verb for people: `play`, `export` and `index` start it with a socket of theirs.
  if (argc == 2 && std::string_view(argv[1]) == "replay-process") return sallyport::app::run_replay_process();
  return sallyport::app::run_command_line(argc, argv);
}
