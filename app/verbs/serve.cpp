#include "app/verbs/serve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "app/config.h"
#include "app/keeper/directories.h"
#include "app/keeper/keeper.h"
#include "app/verbs/exit_codes.h"
#include "app/wiring.h"

namespace sallyport::app {
namespace {

constexpr int k_control_descriptor = 3;

std::string path_of_self() {
  std::array<char, 4096> buffer{};
  const ssize_t size = readlink("/proc/self/exe", buffer.data(), buffer.size() - 1);
  std::string path = size > 0 ? std::string(buffer.data(), static_cast<std::size_t>(size)) : "";
  // A file that was replaced meanwhile is read as "PATH (deleted)".
  constexpr std::string_view k_deleted = " (deleted)";
  if (path.size() > k_deleted.size() && path.ends_with(k_deleted)) path.resize(path.size() - k_deleted.size());
  return path;
}

const std::string started_as = path_of_self();

}  // namespace

std::string own_path() { return started_as; }

int run_serve(const Common& common, const ServeOptions& options) {
  auto config = load_config(common.config);
  if (!config) return report(config.error());
  const std::string self = own_path();
  const std::string session_program = (std::filesystem::path(self).parent_path() / "sallyport-session").string();
  if (access(session_program.c_str(), X_OK) != 0)
    return report(Error{Errc::unavailable, session_program + " is missing: it belongs beside " + self});
  const ServiceUsers users = find_service_users();
  KeeperOptions keeper_options;
  keeper_options.config = std::move(*config);
  keeper_options.vault = Command{{self, "service", "vault"}, users.vault, {"CREDENTIALS_DIRECTORY"}};
  keeper_options.authority = Command{{self, "service", "authority"}, users.authority, {}};
  keeper_options.recorder = Command{{self, "service", "recorder"}, users.recorder, {}};
  keeper_options.listener = Command{{session_program}, users.listener, {}};
  keeper_options.self = {self, "--config", common.config, "serve"};
  keeper_options.handover = options.handover;
  keeper_options.reload = [file = common.config] { return load_config(file); };
  auto keeper = Keeper::make(std::move(keeper_options));
  if (!keeper) return report(keeper.error());
  return (*keeper)->run();
}

int run_service(const std::string& name) {
  struct stat status {};
  if (fstat(k_control_descriptor, &status) != 0 || !S_ISSOCK(status.st_mode))
    return usage_error("`service` is for the keeper: start the gateway with `sallyport serve`");
  signal(SIGPIPE, SIG_IGN);
  umask(077);
  return run_wired_service(name, Fd(k_control_descriptor));
}

int run_upgrade(const Common& common) {
  const auto config = load_config(common.config);
  if (!config) return report(config.error());
  std::ifstream in(config->run_dir / "keeper.pid");
  pid_t pid = 0;
  if (!(in >> pid) || pid <= 1) return report(Error{Errc::unavailable, "no keeper serves with " + common.config});
  if (kill(pid, SIGUSR2) != 0)
    return report(Error{errno == EPERM ? Errc::denied : Errc::unavailable, "the keeper (process " + std::to_string(pid) + ") cannot be signalled"});
  std::printf("asked the keeper (process %d) to upgrade; its log says how it went\n", pid);
  return k_exit_ok;
}

}  // namespace sallyport::app
