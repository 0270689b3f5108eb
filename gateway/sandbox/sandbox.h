// gateway/sandbox/sandbox.h -- how a session process locks itself in, before it reads the first byte of its client.
#pragma once

#include <cstdint>

#include "gateway/sandbox/program.h"
#include "platform/model/result.h"

namespace sallyport::sandbox {

struct Limits {
  std::uint64_t address_space = 1ULL << 30;  ///< bytes; 0 leaves it alone (address sanitizer needs that)
  std::uint64_t descriptors = 256;
};

/// Gives up everything for good, in this order: capabilities, no_new_privs, dumpable, writable-executable memory,
/// Landlock (every right the running kernel handles, no rule), resource limits, the system call filter. The caller has
/// closed foreign descriptors and mapped its ring before. Landlock and MDWE may be missing in the kernel (layers.h
/// says so to the operator, the filter covers both); any other failure is Errc::unavailable and the caller must exit.
[[nodiscard]] Result<void> enter(const Program& program, const Limits& limits = {});

/// Capabilities and no_new_privs only: what the fork server itself can do without. enter() includes it.
[[nodiscard]] Result<void> give_up_privileges();

/// For programs built with OnForbidden::trap: a SIGSYS handler that writes "forbidden system call N" to descriptor 2
/// and ends the process with status 159.
void report_forbidden_calls();

}  // namespace sallyport::sandbox
