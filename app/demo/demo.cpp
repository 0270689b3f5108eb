#include "app/demo/demo.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "app/demo/child.h"
#include "app/demo/fleet.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/init.h"
#include "app/verbs/serve.h"
#include "platform/crypto/ssh_private_key.h"
#include "platform/os/fd.h"

namespace sallyport::app {
namespace {

namespace fs = std::filesystem;

constexpr std::array k_principals{"engineer", "auditor", "admin", "approver"};
constexpr int k_ready_ms = 20'000;
constexpr int k_stop_ms = 8'000;

Result<void> write_text(const fs::path& file, const std::string& text, mode_t mode = 0600) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out || chmod(file.c_str(), mode) != 0) return fail(Errc::unavailable, file.string() + ": cannot be written");
  return {};
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// Everything that the demo owns; its destructor leaves nothing behind.
class Demo {
 public:
  explicit Demo(const DemoOptions& options) : options_(options) {}
  ~Demo();
  Demo(const Demo&) = delete;
  Demo& operator=(const Demo&) = delete;

  Result<void> build();
  void print() const;
  /// Until a signal comes or the gateway ends.
  int wait(int signals);

 private:
  Result<void> make_places();
  Result<void> make_client_keys();
  Result<void> start_gateway();
  Result<void> wait_until_ready();
  Result<void> write_ssh_files() const;
  [[nodiscard]] std::string policy_text() const;
  [[nodiscard]] fs::path at(const std::string& name) const { return directory_ / name; }

  DemoOptions options_;
  fs::path directory_;
  fs::path rings_;
  DemoAccount account_;
  int port_ = 0;
  int page_port_ = 0;
  std::vector<std::string> public_keys_;  ///< in the order of k_principals
  std::vector<DemoTarget> targets_;
  ChildProgram gateway_;
  Fd notices_;
};

Demo::~Demo() {
  end_program(gateway_, k_stop_ms);
  for (DemoTarget& target : targets_) end_program(target.sshd, 1000);
  std::error_code error;
  if (!rings_.empty()) fs::remove_all(rings_, error);
  if (!directory_.empty() && !options_.keep) fs::remove_all(directory_, error);
}

Result<void> Demo::make_places() {
  const char* place = std::getenv("TMPDIR");
  std::string pattern = std::string(place != nullptr && place[0] == '/' ? place : "/tmp") + "/sallyport-demo-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) return fail(Errc::unavailable, pattern + ": " + std::strerror(errno));
  directory_ = pattern;
  // sshd reads a target's principals as the user who logs in; everything private in here is 0600 by itself.
  if (geteuid() == 0 && chmod(pattern.c_str(), 0711) != 0) return fail(Errc::unavailable, pattern + ": " + std::strerror(errno));
  std::string rings = "/dev/shm/sallyport-demo-XXXXXX";
  if (mkdtemp(rings.data()) == nullptr) return fail(Errc::unavailable, rings + ": " + std::strerror(errno));
  rings_ = rings;
  fs::create_directory(at("policy"));
  auto port = options_.port != 0 ? Result<int>(options_.port) : free_port();
  if (!port) return tl::unexpected(port.error());
  port_ = *port;
  auto page = free_port();
  if (!page) return tl::unexpected(page.error());
  page_port_ = *page;
  const std::string listen = "127.0.0.1:" + std::to_string(port_);
  auto written = write_text(at("sallyport.yaml"), "node: demo\nstate_dir: " + at("state").string() + "\nrun_dir: " + at("run").string() + "\nring_dir: " +
                                                      (rings_ / "rings").string() + "\nlisten: [\"" + listen + "\"]\npublic_address: " + listen +
                                                      "\npolicy_dir: " + at("policy").string() +
                                                      "\nadmin: {listen: [\"127.0.0.1:" + std::to_string(page_port_) + "\"]}\nsessions: {drain: 1s}\nrecording: {min_free: 16MiB, syslog: false, witness: [" +
                                                      at("witness.log").string() + "]}\n");
  if (!written) return written;
  // The checkpoints that `verify` keeps at home belong to the demo as well.
  return write_text(at("sp"), "#!/bin/sh\nXDG_STATE_HOME='" + at("home").string() + "' exec '" + own_path() + "' --config '" + at("sallyport.yaml").string() + "' \"$@\"\n", 0700);
}

Result<void> Demo::make_client_keys() {
  for (const char* name : k_principals) {
    auto key = crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519);
    if (!key) return tl::unexpected(key.error());
    auto text = key->openssh_text(name);
    if (!text) return tl::unexpected(text.error());
    auto written = write_text(at(std::string(name) + ".key"), std::string(text->reveal_text()));
    if (!written) return written;
    public_keys_.push_back(key->public_key().line() + " " + name);
  }
  return {};
}

Result<void> Demo::start_gateway() {
  // Its readiness comes as the service manager's would: one datagram.
  const std::string path = at("notify").string();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Errc::invalid, path + ": TMPDIR is too long a path");
  std::memcpy(address.sun_path, path.data(), path.size());
  notices_ = Fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (bind(notices_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(Errc::unavailable, path + ": " + std::strerror(errno));
  auto started = start_program({own_path(), "--config", at("sallyport.yaml").string(), "serve"}, at("log"), {"NOTIFY_SOCKET=" + path});
  if (!started) return tl::unexpected(started.error());
  gateway_ = *started;
  return {};
}

Result<void> Demo::wait_until_ready() {
  for (int waited = 0; waited < k_ready_ms; waited += 50) {
    pollfd asked{notices_.get(), POLLIN, 0};
    poll(&asked, 1, 50);
    std::array<char, 512> text{};
    const ssize_t size = recv(notices_.get(), text.data(), text.size() - 1, 0);
    if (size > 0 && std::string_view(text.data(), static_cast<std::size_t>(size)).find("READY=1") != std::string_view::npos) return {};
    if (!gateway_.lives()) {
      gateway_.pid = -1;
      return fail(Errc::unavailable, "the gateway did not start:\n" + text_of(at("log")));
    }
  }
  return fail(Errc::unavailable, "the gateway is not ready after 20 s:\n" + text_of(at("log")));
}

std::string Demo::policy_text() const {
  std::string text = "principals:\n";
  for (std::size_t i = 0; i < k_principals.size(); ++i)
    text += "  - {name: " + std::string(k_principals[i]) + ", type: person, keys: [\"" + public_keys_[i] + "\"]}\n";
  text += "groups:\n  - {name: recommender, members: [engineer]}\ntargets:\n";
  for (const DemoTarget& target : targets_)
    text += "  - name: " + target.name + "\n    address: 127.0.0.1\n    port: " + std::to_string(target.port) + "\n    labels: " + target.labels +
            "\n    host_keys: [\"" + target.host_key + "\"]\n    allow_networks: [loopback]\n    accounts:\n      - {name: " + account_.name +
            ", credentials: [certificate]}\n";
  text += "roles:\n"
          "  - name: operator\n"
          "    allow:\n"
          "      - channels: [shell, exec, sftp, scp, rsync, jump]\n"
          "        targets: {labels: {part: [api]}}\n"
          "        accounts: [" + account_.name + "]\n"
          "        directions: [up, down]\n"
          "        env: [LANG, \"LC_*\"]\n"
          "    guard:\n"
          "      - {targets: all, packs: [all], opaque: alert}\n"
          "  - name: model-delivery\n"
          "    allow:\n"
          "      - channels: [sftp, scp]\n"
          "        targets: {names: [train-1]}\n"
          "        accounts: [" + account_.name + "]\n"
          "        directions: [up, down]\n"
          "  - {name: audits, admin: [audit, view]}\n"
          "  - {name: rules, admin: [policy, lock, secret, audit, view]}\n"
          "bindings:\n"
          "  - {role: operator, groups: [recommender]}\n"
          "  - {role: model-delivery, groups: [recommender]}\n"
          "  - {role: audits, principals: [auditor]}\n"
          "  - {role: rules, principals: [admin]}\n";
  return text;
}

Result<void> Demo::write_ssh_files() const {
  const std::string port = std::to_string(port_);
  std::string known;
  std::istringstream keys(text_of(at("run/keys/host_keys.pub")));
  for (std::string line; std::getline(keys, line);) known += "[127.0.0.1]:" + port + " " + line + "\n";
  known += "@cert-authority * " + text_of(at("run/keys/host_ca.pub"));
  if (auto written = write_text(at("known_hosts"), known); !written) return written;
  const std::string common = "  UserKnownHostsFile " + at("known_hosts").string() + "\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n" +
                             "  IdentitiesOnly yes\n  IdentityFile " + at("engineer.key").string() + "\n  IdentityAgent none\n";
  const std::string gateway = "  HostName 127.0.0.1\n  Port " + port + "\n";
  std::string text = "Host gw\n" + gateway + "  User engineer\n" + common;
  for (const DemoTarget& target : targets_) {
    text += "Host " + target.name + "\n" + gateway + "  User engineer+" + account_.name + "+" + target.name + "\n" + common;
    // The same by -J: the inner connection goes to the target's own name and port.
    text += "Host jump-" + target.name + "\n  HostName " + target.name + "\n  Port " + std::to_string(target.port) + "\n  User " + account_.name +
            "\n  ProxyJump gw\n" + common;
  }
  return write_text(at("ssh_config"), text);
}

Result<void> Demo::build() {
  if (access("/usr/bin/ssh", X_OK) != 0)
    return fail(Errc::unavailable, "ssh is missing. Please run:\napt-get install --no-install-recommends openssh-server openssh-client");
  if (auto made = make_places(); !made) return made;
  account_ = choose_demo_account();
  // Silent: what init prints is for people who make a gateway that stays.
  if (auto made = make_state(at("sallyport.yaml").string(), {}); !made) return made;
  if (auto made = make_client_keys(); !made) return made;
  auto targets = start_demo_fleet(directory_, account_, at("run/keys/user_ca.pub"));
  if (!targets) return tl::unexpected(targets.error());
  targets_ = std::move(*targets);
  if (auto written = write_text(at("policy/fleet.yaml"), policy_text()); !written) return written;
  if (auto started = start_gateway(); !started) return started;
  if (auto ready = wait_until_ready(); !ready) return ready;
  return write_ssh_files();
}

void Demo::print() const {
  const std::string d = directory_.string();
  const std::string ssh = "ssh -F " + d + "/ssh_config ";
  std::printf("Sallyport demo: gateway on 127.0.0.1:%d, targets recs-1 recs-2 train-1, logged in there as %s. Ctrl-C removes all of it.\n", port_,
              account_.name.c_str());
  std::printf("As engineer, with the clients you have:\n");
  std::printf("  %srecs-1\n", ssh.c_str());
  std::printf("  %srecs-2 'echo $SALLYPORT_TARGET; uptime'\n", ssh.c_str());
  std::printf("  scp -F %s/ssh_config /etc/os-release train-1:/tmp/model.txt\n", d.c_str());
  std::printf("  sftp -F %s/ssh_config recs-1\n", d.c_str());
  std::printf("  %sjump-recs-1 hostname     # the same through ssh -J\n", ssh.c_str());
  std::printf("  %sgw ls                    # what may I reach?\n", ssh.c_str());
  std::printf("  %s-t gw                    # the menu\n", ssh.c_str());
  std::printf("A denial, and why:\n");
  std::printf("  %strain-1                  # a shell there is not granted\n", ssh.c_str());
  std::printf("  %s/sp explain --as engineer --target train-1\n", d.c_str());
  std::printf("  %srecs-1 'rm -rf /srv/models'   # the command guard; the same in a shell\n", ssh.c_str());
  std::printf("  %s/sp guard check 'x=rm; $x -rf /srv/models'\n", d.c_str());
  std::printf("As auditor:\n");
  std::printf("  %s/sp sessions\n", d.c_str());
  std::printf("  %s/sp play last --reason 'a look around'\n", d.c_str());
  std::printf("  %s/sp verify\n", d.c_str());
  std::printf("As admin:\n");
  std::printf("  %s/sp get targets\n", d.c_str());
  std::printf("  %s/sp lock set --principal engineer --reason 'laptop lost'   # live sessions end within a second\n", d.c_str());
  std::printf("  %s/sp lock remove --principal engineer\n", d.c_str());
  std::printf("  %s/sp plan -f %s/policy    # edit %s/policy/fleet.yaml first\n", d.c_str(), d.c_str(), d.c_str());
  std::printf("  %s/sp token create --for admin --name page   # signs in at https://127.0.0.1:%d/ (its certificate is of its own making)\n", d.c_str(), page_port_);
  std::fflush(stdout);
}

int Demo::wait(int signals) {
  for (;;) {
    pollfd asked{signals, POLLIN, 0};
    if (poll(&asked, 1, 500) > 0) return k_exit_interrupted;
    if (gateway_.lives()) continue;
    gateway_.pid = -1;
    std::fprintf(stderr, "sallyport: the gateway ended:\n%s", text_of(at("log")).c_str());
    return k_exit_failure;
  }
}

}  // namespace

int run_demo(const DemoOptions& options) {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&wanted, signal);
  sigprocmask(SIG_BLOCK, &wanted, nullptr);
  const Fd signals(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  Demo demo(options);
  if (auto built = demo.build(); !built) return report(built.error());
  demo.print();
  const int status = demo.wait(signals.get());
  // Ctrl-C is how a demo ends, not a failure.
  return status == k_exit_interrupted ? k_exit_ok : status;
}

}  // namespace sallyport::app
