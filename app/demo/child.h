// app/demo/child.h -- a program that lives no longer than the demo.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "platform/model/result.h"

namespace sallyport::app {

struct ChildProgram {
  pid_t pid = -1;
  [[nodiscard]] bool lives() const;
};

/// Starts argv[0] (absolute) in a process group of its own, output to `log`. It gets SIGTERM when the caller dies, kill -9 included.
[[nodiscard]] Result<ChildProgram> start_program(const std::vector<std::string>& argv, const std::filesystem::path& log,
                                                 const std::vector<std::string>& extra_environment = {});
/// Runs it to its end; Errc::unavailable with the last lines of its output when it fails.
[[nodiscard]] Result<void> run_program(const std::vector<std::string>& argv, const std::filesystem::path& log);
/// SIGTERM, after `grace` SIGKILL; waits for the end.
void end_program(ChildProgram& program, int grace_ms);

}  // namespace sallyport::app
