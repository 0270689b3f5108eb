// app/main.cpp -- the program `sallyport` (also as `sp`): see verbs/ for what each verb does.
#include <fcntl.h>
#include <unistd.h>

#include <string_view>

#include "admin/oidc/oidc_desk.h"
#include "app/verbs/command_line.h"
#include "app/verbs/decision_desk.h"
#include "app/verbs/terminal_desk.h"
#include "app/verbs/viewing_desk.h"
#include "app/verbs/viewing_process.h"

namespace {

/// A standard descriptor that our caller closed would be the number of the next file or socket that is opened, and what is printed
/// would be written into it. Standard output stays one that cannot be written, so that the loss is told.
void keep_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) != fd) _exit(7);
}

}  // namespace

int main(int argc, char** argv) {
  keep_standard_descriptors();
  // Not a verb for people: `play`, `export` and `index` start it with a socket of theirs.
  if (argc == 2 && std::string_view(argv[1]) == "replay-process") return sallyport::app::run_replay_process();
  // Nor this one: the admin API starts it for a viewing.
  if ((argc == 2 || argc == 6 || argc == 7) && std::string_view(argv[1]) == "viewing-desk") return sallyport::app::run_viewing_desk({argv + 2, argv + argc});
  // This one for a plan that looks back.
  if ((argc == 2 || argc == 3) && std::string_view(argv[1]) == "decision-desk") return sallyport::app::run_decision_desk(argc == 3 ? argv[2] : "");
  // And this one for a terminal in a browser.
  if (argc == 2 && std::string_view(argv[1]) == "terminal-desk") return sallyport::app::run_terminal_desk();
  // And this one for what an OpenID provider says.
  if (argc == 2 && std::string_view(argv[1]) == "oidc-desk") return sallyport::admin::run_oidc_desk();
  return sallyport::app::run_command_line(argc, argv);
}
