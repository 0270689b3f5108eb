// gateway/sandbox/program.h -- the allow-list as a ready seccomp program.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <vector>

#include "platform/model/result.h"

namespace sallyport::sandbox {

enum class OnForbidden {
  kill_process,  ///< what every real session gets: the whole process dies by SIGSYS
  trap,          ///< tests and tracing builds only: SIGSYS is delivered, so that a handler can name the call
};

/// Built once by the fork server, installed by each session process with one seccomp(2) call.
class Program {
 public:
  explicit Program(std::vector<sock_filter> instructions);

  [[nodiscard]] std::size_t size() const noexcept { return instructions_.size(); }
  /// Installs the filter on the calling process, with its own process id where the list says so. no_new_privs must be
  /// set. Errc::unavailable: the kernel refused; the caller must not go on.
  [[nodiscard]] Result<void> install() const;

 private:
  std::vector<sock_filter> instructions_;
};

/// Compiles allow_list() with libseccomp. Errc::internal when libseccomp does not know a call of the list.
[[nodiscard]] Result<Program> build_program(OnForbidden action = OnForbidden::kill_process);

}  // namespace sallyport::sandbox
