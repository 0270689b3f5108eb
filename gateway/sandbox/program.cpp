#include "gateway/sandbox/program.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "gateway/sandbox/allow_list.h"
#include "platform/os/fd.h"

namespace sallyport::sandbox {
namespace {

struct ReleaseFilter {
  void operator()(void* filter) const noexcept { seccomp_release(filter); }
};
using FilterHandle = std::unique_ptr<void, ReleaseFilter>;

std::string why(int negative_errno) { return std::strerror(-negative_errno); }

scmp_arg_cmp compare(const ArgumentTest& test) {
  return scmp_arg_cmp{test.argument, SCMP_CMP_MASKED_EQ, test.mask, test.value};
}

Result<void> add_call(scmp_filter_ctx filter, const AllowedCall& call) {
  const std::string name(call.name);
  const int number = seccomp_syscall_resolve_name(name.c_str());
  if (number == __NR_SCMP_ERROR) return fail(Errc::internal, "libseccomp does not know " + name);
  if (call.conditions.empty()) {
    const int added = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
    if (added != 0) return fail(Errc::internal, "allowing " + name + ": " + why(added));
  }
  for (const Condition& condition : call.conditions) {
    std::vector<scmp_arg_cmp> tests;
    for (const ArgumentTest& test : condition.tests) tests.push_back(compare(test));
    const int added =
        seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, static_cast<unsigned>(tests.size()), tests.data());
    if (added != 0)
      return fail(Errc::internal, "allowing " + name + " (" + std::string(condition.text) + "): " + why(added));
  }
  return {};
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/// What the run-time of a sanitizer asks on its own: builds for tests only, never a release.
constexpr std::array k_sanitizer_calls{
    AllowedCall{"sigaltstack", {}, "stack bounds before a call that does not return"},
    AllowedCall{"sched_yield", {}, "its locks"}, AllowedCall{"munlock", {}, "its shadow"}};
#else
constexpr std::array<AllowedCall, 0> k_sanitizer_calls{};
#endif

/// libseccomp writes programs to descriptors only.
Result<std::vector<sock_filter>> exported(scmp_filter_ctx filter) {
  const Fd file(memfd_create("sallyport-filter", MFD_CLOEXEC));
  if (!file) return fail(Errc::internal, std::string("memfd_create: ") + std::strerror(errno));
  const int written = seccomp_export_bpf(filter, file.get());
  if (written != 0) return fail(Errc::internal, "exporting the filter: " + why(written));
  const off_t size = lseek(file.get(), 0, SEEK_END);
  std::vector<sock_filter> instructions(static_cast<std::size_t>(size) / sizeof(sock_filter));
  if (size <= 0 || pread(file.get(), instructions.data(), static_cast<std::size_t>(size), 0) != size)
    return fail(Errc::internal, "reading the exported filter back");
  return instructions;
}

bool names_own_pid(const sock_filter& instruction) {
  return BPF_CLASS(instruction.code) == BPF_JMP && BPF_OP(instruction.code) == BPF_JEQ && instruction.k == k_own_pid;
}

}  // namespace

Program::Program(std::vector<sock_filter> instructions) : instructions_(std::move(instructions)) {}

Result<void> Program::install() const {
  std::vector<sock_filter> own = instructions_;
  for (sock_filter& instruction : own)
    if (names_own_pid(instruction)) instruction.k = static_cast<std::uint32_t>(getpid());
  const sock_fprog program{static_cast<unsigned short>(own.size()), own.data()};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
    return fail(Errc::unavailable, std::string("seccomp: ") + std::strerror(errno));
  return {};
}

Result<Program> build_program(OnForbidden action) {
  const std::uint32_t otherwise = action == OnForbidden::trap ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS;
  const FilterHandle filter(seccomp_init(otherwise));
  if (!filter) return fail(Errc::internal, "libseccomp gives no filter");
  // Another architecture's calls (32 bit, x32) never pass; a binary tree keeps each look-up short.
  if (seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0)
    return fail(Errc::internal, "libseccomp cannot kill foreign architectures");
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const AllowedCall& call : allow_list()) {
    const auto added = add_call(filter.get(), call);
    if (!added) return tl::unexpected(added.error());
  }
  for (const AllowedCall& call : k_sanitizer_calls) {
    const auto added = add_call(filter.get(), call);
    if (!added) return tl::unexpected(added.error());
  }
  auto instructions = exported(filter.get());
  if (!instructions) return tl::unexpected(instructions.error());
  bool has_slot = false;
  for (const sock_filter& instruction : *instructions) has_slot = has_slot || names_own_pid(instruction);
  if (!has_slot) return fail(Errc::internal, "the filter has no place for the process id");
  return Program(std::move(*instructions));
}

}  // namespace sallyport::sandbox
