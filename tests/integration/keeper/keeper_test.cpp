#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "platform/os/fd.h"

using sallyport::Fd;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds limit = 10s) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

std::string content_of(const fs::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

bool lives(pid_t pid) {
  const std::string stat = content_of("/proc/" + std::to_string(pid) + "/stat");
  const auto end = stat.rfind(')');
  return end != std::string::npos && stat.size() > end + 2 && stat[end + 2] != 'Z';
}

std::size_t descriptors_of(pid_t pid) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) ++count;
  return count;
}

/// A keeper over fake services in a throw-away directory.
class Gateway {
 public:
  Gateway() {
    char pattern[] = "/dev/shm/sallyport-keeper-XXXXXX";
    directory_ = mkdtemp(pattern);
    write_config("127.0.0.1:0");
  }
  ~Gateway() {
    for (const char* role : {"listener", "authority", "recorder", "vault"})
      if (const auto pid = pid_of(role); pid > 0) kill(pid, SIGKILL);
    if (keeper_ > 0) {
      kill(keeper_, SIGKILL);
      waitpid(keeper_, nullptr, 0);
    }
    fs::remove_all(directory_);
  }

  void write_config(const std::string& listen, const std::string& more = "") const {
    std::ofstream(directory_ / "sallyport.yaml") << "state_dir: " << directory_.string() << "/state\nrun_dir: " << directory_.string()
                                                 << "/run\nlisten: [\"" << listen << "\"]\nsessions: {drain: 1s}\n" << more;
  }
  void start() {
    fs::remove(directory_ / "ready");
    keeper_ = fork();
    if (keeper_ == 0) {
      const Fd log(open((directory_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600));
      dup2(log.get(), 2);
      execl(SALLYPORT_KEEPER_HOST, SALLYPORT_KEEPER_HOST, (directory_ / "sallyport.yaml").c_str(), SALLYPORT_FAKE_SERVICE, directory_.c_str(), nullptr);
      _exit(127);
    }
  }
  void start_and_wait() {
    start();
    REQUIRE(eventually([this] { return fs::exists(directory_ / "ready"); }));
  }
  [[nodiscard]] std::string ask(const std::string& role, const std::string& question) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (directory_ / (role + ".sock")).c_str(), sizeof address.sun_path - 1);
    const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
    char answer[512] = {};
    if (write(fd.get(), question.data(), question.size()) < 0 || read(fd.get(), answer, sizeof answer - 1) <= 0) return {};
    return answer;
  }
  [[nodiscard]] long number(const std::string& role, const std::string& name) const {
    const std::string answer = " " + ask(role, "stats");
    const auto at = answer.find(" " + name + "=");
    return at == std::string::npos ? -1 : std::stol(answer.substr(at + name.size() + 2));
  }
  [[nodiscard]] pid_t pid_of(const std::string& role) const { return static_cast<pid_t>(number(role, "pid")); }
  [[nodiscard]] pid_t keeper() const { return keeper_; }
  void signal(int number) const { kill(keeper_, number); }
  /// Exit status, or -1 when it does not end in time.
  int wait_for_end(std::chrono::milliseconds limit = 20s) {
    int status = 0;
    if (!eventually([&] { return waitpid(keeper_, &status, WNOHANG) == keeper_; }, limit)) return -1;
    keeper_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  [[nodiscard]] std::string log() const { return content_of(directory_ / "log"); }
  [[nodiscard]] const fs::path& directory() const { return directory_; }
  void forget_keeper() { keeper_ = -1; }

 private:
  fs::path directory_;
  pid_t keeper_ = -1;
};

}  // namespace

TEST_CASE("the keeper links every service with its peers and then says that it is ready", "[keeper]") {
  Gateway gateway;
  gateway.start_and_wait();
  CHECK(gateway.ask("authority", "peers") == "ok vault: recorder: listener:");
  CHECK(gateway.ask("recorder", "peers").find("vault:") != std::string::npos);
  CHECK(gateway.number("listener", "sockets") == 1);
  CHECK(gateway.ask("listener", "setting host_keys") != "ok none");
  CHECK(gateway.ask("vault", "setting state_dir") == "ok " + gateway.directory().string() + "/state/vault");
  CHECK(content_of(gateway.directory() / "ready").find("127.0.0.1:") == 0);
  CHECK(fs::status(gateway.directory() / "state").permissions() == fs::perms::owner_all);
  gateway.signal(SIGTERM);
  CHECK(gateway.wait_for_end() == 0);
  CHECK(content_of(gateway.directory() / "ended") == "listener\nauthority\nrecorder\nvault\n");
}

TEST_CASE("a service starts with its control link and nothing else of the keeper's", "[keeper]") {
  Gateway gateway;
  gateway.start_and_wait();
  // 0, 1, 2, control, the test's two sockets; links to recorder, authority
  CHECK(gateway.number("vault", "fds") == 8);
}

TEST_CASE("a killed service comes back with the ends of every live session", "[keeper]") {
  Gateway gateway;
  gateway.start_and_wait();
  REQUIRE(gateway.ask("listener", "kits 12") == "ok");
  REQUIRE(gateway.ask("listener", "talk") == "ok 12");
  for (const std::string role : {"vault", "authority", "recorder"}) {
    DYNAMIC_SECTION(role) {
      const pid_t before = gateway.pid_of(role);
      kill(before, SIGKILL);
      REQUIRE(eventually([&] { return gateway.number(role, "again") == 12; }));
      CHECK(gateway.pid_of(role) != before);
      CHECK(gateway.number(role, "rings") == (role == "recorder" ? 12 : 0));
      CHECK(gateway.ask("listener", "talk") == "ok 12");
      REQUIRE(eventually([&] { return gateway.ask("authority", "peers").find("failed") == std::string::npos; }));
      CHECK(gateway.log().find(role + ": ended by signal 9, starting it again") != std::string::npos);
      // A kit that is made afterwards is as good.
      REQUIRE(gateway.ask("listener", "kits 4") == "ok");
      CHECK(gateway.ask("listener", "talk") == "ok 16");
    }
  }
}

TEST_CASE("a killed listener comes back with the same sockets", "[keeper]") {
  Gateway gateway;
  gateway.start_and_wait();
  kill(gateway.pid_of("listener"), SIGKILL);
  REQUIRE(eventually([&] { return gateway.number("listener", "sockets") == 1; }));
  CHECK(gateway.ask("authority", "peers").find("listener:") != std::string::npos);
}

TEST_CASE("two thousand kits leave no descriptor behind", "[keeper]") {
  Gateway gateway;
  gateway.start_and_wait();
  REQUIRE(gateway.ask("listener", "kits 16") == "ok");
  REQUIRE(gateway.ask("listener", "drop") == "ok");
  REQUIRE(eventually([&] { return gateway.number("vault", "sessions") == 0; }));
  const std::size_t before = descriptors_of(gateway.keeper());
  const auto began = std::chrono::steady_clock::now();
  for (int round = 0; round < 125; ++round) {
    REQUIRE(gateway.ask("listener", "kits 16") == "ok");
    REQUIRE(gateway.ask("listener", "drop") == "ok");
    // The fake recorder does not drain and unlink rings; keep the tmpfs small.
    for (const auto& ring : fs::directory_iterator(gateway.directory() / "run/rings")) fs::remove(ring);
  }
  const auto took = std::chrono::steady_clock::now() - began;
  WARN("2,000 kits, made, handed, attached three times and dropped: "
       << std::chrono::duration_cast<std::chrono::microseconds>(took).count() / 2000 << " us each, test and fakes included");
  CHECK(eventually([&] { return descriptors_of(gateway.keeper()) <= before; }));
  CHECK(gateway.ask("listener", "kits 4") == "ok");
  CHECK(gateway.ask("listener", "talk") == "ok 4");
}

TEST_CASE("when the keeper is killed every service sees its link close and no process is left", "[keeper]") {
  Gateway gateway;
  gateway.start_and_wait();
  REQUIRE(gateway.ask("listener", "kits 4") == "ok");
  std::vector<pid_t> services;
  for (const char* role : {"listener", "authority", "recorder", "vault"}) services.push_back(gateway.pid_of(role));
  gateway.signal(SIGKILL);
  CHECK(gateway.wait_for_end() == 128 + SIGKILL);
  for (const pid_t pid : services) CHECK(eventually([pid] { return !lives(pid); }, 30s));
}

TEST_CASE("a new keeper starts nothing before the services of a killed one are gone", "[keeper]") {
  Gateway gateway;
  gateway.start_and_wait();
  const pid_t recorder = gateway.pid_of("recorder");
  kill(recorder, SIGSTOP);  // one that does not notice
  gateway.signal(SIGKILL);
  REQUIRE(gateway.wait_for_end() == 128 + SIGKILL);
  gateway.start();
  REQUIRE(eventually([&] { return gateway.log().find("recorder of an earlier keeper still runs") != std::string::npos; }));
  CHECK_FALSE(fs::exists(gateway.directory() / "ready"));
  kill(recorder, SIGCONT);
  CHECK(eventually([&] { return fs::exists(gateway.directory() / "ready"); }));
  CHECK_FALSE(lives(recorder));
}

TEST_CASE("a second keeper on the same state directory is refused", "[keeper]") {
  Gateway gateway;
  gateway.start_and_wait();
  const pid_t first = gateway.keeper();
  gateway.start();
  CHECK(gateway.wait_for_end() == 6);
  CHECK(lives(first));
  CHECK(gateway.log().find("another sallyport serves with") != std::string::npos);
  kill(first, SIGTERM);
  CHECK(eventually([&] { return waitpid(first, nullptr, WNOHANG) == first; }));
}

TEST_CASE("an upgrade executes the keeper anew, replaces the services and keeps sockets and sessions", "[keeper]") {
  Gateway gateway;
  gateway.start_and_wait();
  REQUIRE(gateway.ask("listener", "kits 8") == "ok");
  const std::string address = content_of(gateway.directory() / "ready");
  const pid_t listener = gateway.pid_of("listener");
  std::vector<pid_t> replaced;
  for (const char* role : {"authority", "recorder", "vault"}) replaced.push_back(gateway.pid_of(role));
  const std::size_t descriptors = descriptors_of(gateway.keeper());
  for (int round = 2; round <= 3; ++round) {
    gateway.signal(SIGUSR2);
    REQUIRE(eventually([&] { return gateway.log().find("upgrade: done, generation " + std::to_string(round)) != std::string::npos; }));
  }
  for (const pid_t pid : replaced) CHECK_FALSE(lives(pid));
  CHECK(gateway.pid_of("listener") == listener);  // the listener renews itself when it reads the new generation
  CHECK(gateway.ask("listener", "setting generation") == "ok 3");
  CHECK(gateway.ask("listener", "talk") == "ok 8");
  REQUIRE(gateway.ask("listener", "kits 2") == "ok");
  CHECK(gateway.ask("listener", "talk") == "ok 10");
  CHECK(descriptors_of(gateway.keeper()) <= descriptors + 2 * 4);
  REQUIRE(gateway.ask("listener", "drop") == "ok");
  CHECK(eventually([&] { return descriptors_of(gateway.keeper()) <= descriptors - 8 * 4; }));
  gateway.signal(SIGTERM);
  CHECK(gateway.wait_for_end() == 0);
}

TEST_CASE("a reload with an error changes nothing, one without reaches every service", "[keeper]") {
  Gateway gateway;
  gateway.start_and_wait();
  gateway.write_config("127.0.0.1:0", "limits: {auth_atempts: 3}\n");
  gateway.signal(SIGHUP);
  REQUIRE(eventually([&] { return gateway.log().find("Did you mean `limits.auth_attempts`?") != std::string::npos; }));
  CHECK(gateway.ask("authority", "setting max_auth_attempts") == "ok 6");
  gateway.write_config("127.0.0.1:0", "limits: {auth_attempts: 3}\n");
  gateway.signal(SIGHUP);
  CHECK(eventually([&] { return gateway.ask("authority", "setting max_auth_attempts") == "ok 3"; }));
  CHECK(gateway.ask("listener", "setting host_keys") != "ok none");
}

TEST_CASE("a service that cannot come up makes the keeper give up with status 7", "[keeper]") {
  Gateway gateway;
  std::ofstream(gateway.directory() / "recorder.broken") << "x";
  gateway.start();
  CHECK(gateway.wait_for_end() == 7);
  CHECK(gateway.log().find("recorder does not come up") != std::string::npos);
}

TEST_CASE("an address that is in use ends the start with its name", "[keeper]") {
  Gateway first;
  first.start_and_wait();
  std::string address = content_of(first.directory() / "ready");
  address.pop_back();
  Gateway second;
  second.write_config(address);
  second.start();
  CHECK(second.wait_for_end() == 7);
  CHECK(second.log().find("listening on " + address + ": bind") != std::string::npos);
}
