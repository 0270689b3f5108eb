// gateway/sandbox/layers.h -- which layers of the sandbox this kernel gives; for `sallyport doctor` and `status`.
#pragma once

#include <string>
#include <vector>

namespace sallyport::sandbox {

struct Layer {
  std::string name;  ///< stable: seccomp, no_new_privs, landlock, mdwe, not_dumpable, close_range, memfd, ptrace_scope
  bool present = false;
  bool required = false;  ///< without it no session is served
  std::string detail;     ///< one line for a person: what was found, or what its absence costs
};

/// Asks the running kernel, without changing the calling process (a short-lived child tries what cannot be asked).
[[nodiscard]] std::vector<Layer> probe_layers();

/// The Landlock ABI of the running kernel, 0 when there is none.
[[nodiscard]] int landlock_abi();

/// One line: "seccomp, no_new_privs, landlock 7, mdwe".
[[nodiscard]] std::string layers_line(const std::vector<Layer>& layers);

}  // namespace sallyport::sandbox
