#include "platform/os/write_limits.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <string>

namespace sallyport {
namespace {

struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "sallyport-test-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::filesystem::path path;
};

bool can_write(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

}  // namespace

TEST_CASE("a process gives up writing outside one folder, and so does what it starts", "[write-limits]") {
  const Folder inside, outside;
  REQUIRE(can_write(outside.path / "evidence"));
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::array<std::filesystem::path, 1> folders{inside.path};
    const auto limited = os::write_only_below(folders);
    if (!limited) _exit(1);
    if (!*limited) _exit(77);
    if (!can_write(inside.path / "index") || !can_write("/dev/null")) _exit(2);
    if (can_write(outside.path / "evidence") || can_write(outside.path / "new") || unlink((outside.path / "evidence").c_str()) == 0 || mkdir((outside.path / "folder").c_str(), 0700) == 0 ||
        rename((outside.path / "evidence").c_str(), (inside.path / "evidence").c_str()) == 0)
      _exit(3);
    const int reading = open((outside.path / "evidence").c_str(), O_RDONLY | O_CLOEXEC);
    if (reading < 0) _exit(4);
    const std::string line = "echo x > '" + (outside.path / "evidence").string() + "' 2>/dev/null";
    if (system(("( " + line + " ) 2>/dev/null").c_str()) == 0) _exit(5);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    WARN("skipped: this kernel has no Landlock");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(std::filesystem::exists(outside.path / "evidence"));
}

TEST_CASE("a process that executes nothing more still writes below its folder", "[write-limits]") {
  const Folder inside;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (access("/bin/false", X_OK) != 0) _exit(5);
    const std::array<std::filesystem::path, 1> folders{inside.path};
    const auto limited = os::write_only_below(folders, os::Programs::none);
    if (!limited) _exit(2);
    if (!*limited) _exit(77);
    if (!can_write(inside.path / "progress")) _exit(3);
    execl("/bin/false", "false", nullptr);  // would end with 1
    _exit(errno == EACCES ? 0 : 4);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    WARN("skipped: this kernel has no Landlock");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace sallyport
