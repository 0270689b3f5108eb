#include "app/demo/fleet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <shadow.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "platform/crypto/ssh_private_key.h"
#include "platform/os/fd.h"

namespace sallyport::app {
namespace {

constexpr const char* k_sshd = "/usr/sbin/sshd";
constexpr const char* k_privsep_directory = "/run/sshd";
constexpr int k_start_ms = 2000;

struct Member {
  const char* name;
  const char* labels;
};
constexpr Member k_members[] = {{"recs-1", "{env: prod, part: api}"}, {"recs-2", "{env: prod, part: api}"}, {"train-1", "{env: prod, part: training}"}};

bool is_ordinary(const passwd& user) {
  struct stat home {};
  const std::string shell = user.pw_shell;
  return user.pw_uid >= 1000 && user.pw_uid < 60000 && !shell.ends_with("nologin") && !shell.ends_with("false") && access(user.pw_shell, X_OK) == 0 &&
         stat(user.pw_dir, &home) == 0 && S_ISDIR(home.st_mode) && home.st_uid == user.pw_uid;
}

DemoAccount account_of(const passwd& user) {
  DemoAccount account{user.pw_name, false};
  const spwd* shadow = getspnam(user.pw_name);
  account.needs_pam = shadow != nullptr && shadow->sp_pwdp != nullptr && shadow->sp_pwdp[0] == '!';
  return account;
}

bool answers(int port) {
  const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

Result<std::string> make_host_key(const std::filesystem::path& file, const std::string& name) {
  auto key = crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519);
  if (!key) return tl::unexpected(key.error());
  auto text = key->openssh_text(name);
  if (!text) return tl::unexpected(text.error());
  std::ofstream out(file, std::ios::binary);
  out << text->reveal_text();
  out.close();
  if (!out || chmod(file.c_str(), 0600) != 0) return fail(Errc::unavailable, file.string() + ": cannot be written");
  return key->public_key().line() + " " + name;
}

Result<void> write_sshd_config(const std::filesystem::path& home, const DemoTarget& target, const DemoAccount& account, const std::filesystem::path& user_ca) {
  std::ofstream(home / "principals") << account.name << "@" << target.name << "\n";
  std::ofstream out(home / "sshd_config");
  out << "ListenAddress 127.0.0.1\nPort " << target.port << "\nHostKey " << (home / "host_key").string() << "\nPidFile none\n"
      << "TrustedUserCAKeys " << user_ca.string() << "\nAuthorizedPrincipalsFile " << (home / "principals").string() << "\n"
      << "AuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
      << "UsePAM " << (account.needs_pam ? "yes" : "no") << "\nAllowUsers " << account.name << "\n"
      << "StrictModes no\nPrintMotd no\nPrintLastLog no\nAcceptEnv LANG LC_*\nSetEnv SALLYPORT_TARGET=" << target.name << "\n"
      << "Subsystem sftp internal-sftp\nMaxStartups 100:30:200\nMaxSessions 100\n";
  out.close();
  if (!out) return fail(Errc::unavailable, home.string() + ": cannot be written");
  return {};
}

}  // namespace

DemoAccount choose_demo_account() {
  if (geteuid() != 0) {
    const passwd* me = getpwuid(geteuid());
    return me != nullptr ? DemoAccount{me->pw_name, false} : DemoAccount{"nobody", false};
  }
  if (const char* behind_sudo = std::getenv("SUDO_USER"); behind_sudo != nullptr)
    if (const passwd* user = getpwnam(behind_sudo); user != nullptr && is_ordinary(*user)) return account_of(*user);
  DemoAccount found;
  setpwent();
  while (const passwd* user = getpwent()) {
    if (!is_ordinary(*user)) continue;
    found = account_of(*user);
    break;
  }
  endpwent();
  if (!found.name.empty()) return found;
  const passwd* root = getpwuid(0);
  return root != nullptr ? account_of(*root) : DemoAccount{"root", false};
}

Result<int> free_port() {
  const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 || getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return fail(Errc::unavailable, std::string("no free port: ") + std::strerror(errno));
  return static_cast<int>(ntohs(address.sin_port));
}

Result<std::vector<DemoTarget>> start_demo_fleet(const std::filesystem::path& directory, const DemoAccount& account, const std::filesystem::path& user_ca) {
  if (access(k_sshd, X_OK) != 0)
    return fail(Errc::unavailable, std::string(k_sshd) + " is missing. Please run:\napt-get install --no-install-recommends openssh-server openssh-client");
  if (geteuid() == 0 && access(k_privsep_directory, X_OK) != 0 && mkdir(k_privsep_directory, 0755) != 0)
    return fail(Errc::unavailable, std::string(k_privsep_directory) + ": " + std::strerror(errno));
  std::vector<DemoTarget> targets;
  for (const Member& member : k_members) {
    DemoTarget target;
    target.name = member.name;
    target.labels = member.labels;
    const auto home = directory / target.name;
    std::error_code error;
    std::filesystem::create_directories(home, error);
    auto port = free_port();
    if (!port) return tl::unexpected(port.error());
    target.port = *port;
    auto key = make_host_key(home / "host_key", target.name);
    if (!key) return tl::unexpected(key.error());
    target.host_key = *key;
    if (auto written = write_sshd_config(home, target, account, user_ca); !written) return tl::unexpected(written.error());
    auto sshd = start_program({k_sshd, "-D", "-e", "-f", (home / "sshd_config").string()}, home / "log");
    if (!sshd) return tl::unexpected(sshd.error());
    target.sshd = *sshd;
    targets.push_back(std::move(target));
  }
  for (DemoTarget& target : targets) {
    int waited = 0;
    while (!answers(target.port) && waited < k_start_ms && target.sshd.lives()) {
      poll(nullptr, 0, 10);
      waited += 10;
    }
    if (!answers(target.port)) {
      for (DemoTarget& started : targets) end_program(started.sshd, 500);
      return fail(Errc::unavailable, "sshd of " + target.name + " did not start; see " + (directory / target.name / "log").string());
    }
  }
  return targets;
}

}  // namespace sallyport::app
