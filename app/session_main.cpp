// app/session_main.cpp -- the program `sallyport-session`: listener, fork server, session processes. Started by the keeper only.
#include <cstdio>
#include <cstring>

#include "app/version.h"
#include "gateway/listener/listener.h"

namespace {

constexpr int k_control_descriptor = 3;

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--version") == 0) {
    std::puts(sallyport::app::k_version_line);
    return 0;
  }
  return sallyport::gateway::run_listener(sallyport::Fd(k_control_descriptor));
}
