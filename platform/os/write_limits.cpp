#include "platform/os/write_limits.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "platform/os/fd.h"

namespace sallyport::os {
namespace {

constexpr std::uint64_t k_writes = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                   LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                   LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
constexpr std::uint64_t k_refer = 1ULL << 13;     ///< of the second version
constexpr std::uint64_t k_truncate = 1ULL << 14;  ///< of the third

Error refused(const std::string& what) { return {Errc::unavailable, "landlock: " + what + ": " + std::strerror(errno)}; }

}  // namespace

Result<bool> write_only_below(std::span<const std::filesystem::path> folders, Programs programs) {
  const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return false;
  landlock_ruleset_attr rules{};
  const std::uint64_t writes = k_writes | (version >= 2 ? k_refer : 0) | (version >= 3 ? k_truncate : 0);
  rules.handled_access_fs = writes | (programs == Programs::none ? LANDLOCK_ACCESS_FS_EXECUTE : 0);
  const Fd ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0)));
  if (!ruleset) return tl::unexpected(refused("a rule set"));
  const auto allow = [&](const std::filesystem::path& path, std::uint64_t what) -> Result<void> {
    const Fd place(open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!place) return tl::unexpected(refused(path.string()));
    landlock_path_beneath_attr rule{};
    rule.allowed_access = what;
    rule.parent_fd = place.get();
    if (syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) return tl::unexpected(refused(path.string()));
    return {};
  };
  for (const auto& folder : folders)
    if (auto allowed = allow(folder, writes); !allowed) return tl::unexpected(allowed.error());
  if (auto allowed = allow("/dev/null", LANDLOCK_ACCESS_FS_WRITE_FILE | (version >= 3 ? k_truncate : 0)); !allowed) return tl::unexpected(allowed.error());
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return tl::unexpected(refused("no_new_privs"));
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return tl::unexpected(refused("this process"));
  return true;
}

}  // namespace sallyport::os
