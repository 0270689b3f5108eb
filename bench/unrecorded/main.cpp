// bench/unrecorded/main.cpp -- the session program without recording (unrecorded/tape.cpp), for bench/recording_cost alone.
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>

#include "app/version.h"
#include "gateway/listener/listener.h"

namespace {

constexpr int k_control_descriptor = 3;
constexpr const char* k_marker = "DOES-NOT-RECORD";  // the bench lays it beside the program; nothing else does

bool is_in_bench() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return !error && std::filesystem::exists(self.parent_path() / k_marker, error);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--version") == 0) {
    std::printf("%s DOES NOT RECORD: a part of the benchmark bench/recording_cost, no product\n", sallyport::app::k_version_line);
    return 0;
  }
  if (!is_in_bench()) {
    std::fputs("this program does not record sessions: it is a part of bench/recording_cost and serves nobody else\n", stderr);
    return 2;
  }
  std::fputs("WARNING: this gateway does not record; it is a part of bench/recording_cost\n", stderr);
  return sallyport::gateway::run_listener(sallyport::Fd(k_control_descriptor));
}
