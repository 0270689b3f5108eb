// gateway/sandbox/allow_list.h -- the system calls a session process may make, as data.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace sallyport::sandbox {

/// `(argument & mask) == value`. A mask of all ones compares the whole argument.
struct ArgumentTest {
  unsigned argument = 0;
  std::uint64_t mask = ~0ULL;
  std::uint64_t value = 0;
};

/// All tests must hold. A call with several conditions is allowed when any of them holds.
struct Condition {
  std::string_view text;  ///< as docs/reference/sandbox.md says it
  std::span<const ArgumentTest> tests;
};

struct AllowedCall {
  std::string_view name;
  std::span<const Condition> conditions;  ///< empty: always allowed
  std::string_view why;
};

/// Stands for the session's own process id in an ArgumentTest; the child puts the real one into the program it
/// installs.
constexpr std::uint64_t k_own_pid = 0x5a11f0c7;

/// The only place where the list lives. Everything that is not on it ends the process.
[[nodiscard]] std::span<const AllowedCall> allow_list();

}  // namespace sallyport::sandbox
