// What a session needs still works, and each layer holds by itself.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>

#include "gateway/sandbox/allow_list.h"
#include "gateway/sandbox/layers.h"
#include "sandbox_inside.h"

using namespace sallyport;
using namespace sallyport::tests;

namespace {

int unix_pair[2] = {-1, -1};
int tcp = -1;
volatile sig_atomic_t handled = 0;

long nothing_lost(long value) { return value; }

/// By the names of the list; true: it did what it should.
std::map<std::string, std::function<bool()>> uses() {
  static char buffer[64];
  static iovec part{buffer, 1};
  static epoll_event event{};
  static itimerspec soon{{0, 0}, {0, 1}};
  static timespec short_time{0, 1000};
  static std::uint32_t word = 0;
  static char data[4096];
  static msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const auto option = [](int level, int name) {
    const int on = 1;
    return setsockopt(tcp, level, name, &on, sizeof on) == 0;
  };
  return {
      {"write", [] { return write(unix_pair[0], buffer, 1) == 1; }},
      {"read", [] { return write(unix_pair[0], buffer, 1) == 1 && read(unix_pair[1], buffer, 1) == 1; }},
      {"writev", [] { return writev(unix_pair[0], &part, 1) == 1; }},
      {"readv", [] { return write(unix_pair[0], buffer, 1) == 1 && readv(unix_pair[1], &part, 1) == 1; }},
      {"pread64", [] { return pread(unix_pair[0], buffer, 1, 0) == -1 && errno == ESPIPE; }},
      {"recvfrom", [] { return write(unix_pair[0], buffer, 1) == 1 && recv(unix_pair[1], buffer, 1, 0) == 1; }},
      {"recvmsg", [] { return write(unix_pair[0], buffer, 1) == 1 && recvmsg(unix_pair[1], &message, 0) == 1; }},
      {"sendto", [] { return send(unix_pair[0], buffer, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1; }},
      {"sendmsg", [] { return sendmsg(unix_pair[0], &message, MSG_NOSIGNAL) == 1; }},
      {"poll", [] { return poll(nullptr, 0, 0) == 0; }},
      {"ppoll", [] { return ppoll(nullptr, 0, &short_time, nullptr) == 0; }},
      {"epoll_create1", [] { return epoll_create1(EPOLL_CLOEXEC) >= 0; }},
      {"epoll_ctl", [] { return epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, unix_pair[0], &event) == 0; }},
      {"epoll_wait", [] { return epoll_wait(epoll_create1(0), &event, 1, 0) == 0; }},
      {"epoll_pwait", [] { return epoll_pwait(epoll_create1(0), &event, 1, 0, nullptr) == 0; }},
      {"eventfd2", [] { return eventfd(0, EFD_NONBLOCK) >= 0; }},
      {"timerfd_create", [] { return timerfd_create(CLOCK_MONOTONIC, 0) >= 0; }},
      {"timerfd_settime", [] { return timerfd_settime(timerfd_create(CLOCK_MONOTONIC, 0), 0, &soon, nullptr) == 0; }},
      {"close", [] { return close(eventfd(0, 0)) == 0; }},
      {"dup", [] { return dup(unix_pair[0]) >= 0; }},
      {"shutdown", [] { return shutdown(unix_pair[0], SHUT_WR) == 0; }},
      {"fcntl",
       [] {
         return fcntl(unix_pair[0], F_SETFL, fcntl(unix_pair[0], F_GETFL) | O_NONBLOCK) == 0 &&
                fcntl(unix_pair[0], F_GET_SEALS) == -1;
       }},
      {"ioctl",
       [] {
         int on = 1;
         return ioctl(unix_pair[0], FIONBIO, &on) == 0 && ioctl(unix_pair[0], FIONREAD, &on) == 0;
       }},
      {"getsockopt",
       [] {
         int value = 0;
         socklen_t size = sizeof value;
         return getsockopt(tcp, SOL_SOCKET, SO_ERROR, &value, &size) == 0 &&
                getsockopt(tcp, IPPROTO_TCP, TCP_MAXSEG, &value, &size) == 0;
       }},
      {"setsockopt",
       [option] {
         return option(SOL_SOCKET, SO_KEEPALIVE) && option(IPPROTO_TCP, TCP_NODELAY) &&
                option(IPPROTO_TCP, TCP_KEEPIDLE) && option(IPPROTO_IP, IP_TOS);
       }},
      {"getsockname",
       [] {
         sockaddr_in address{};
         socklen_t size = sizeof address;
         return getsockname(tcp, reinterpret_cast<sockaddr*>(&address), &size) == 0;
       }},
      {"getpeername",
       [] {
         sockaddr_storage address{};
         socklen_t size = sizeof address;
         return getpeername(unix_pair[0], reinterpret_cast<sockaddr*>(&address), &size) == 0;
       }},
      {"brk", [] { return syscall(SYS_brk, 0) > 0; }},
      {"mmap",
       [] { return mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED; }},
      {"munmap", [] { return munmap(mmap(nullptr, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 8192) == 0; }},
      {"mremap",
       [] {
         return mremap(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096, 65536,
                       MREMAP_MAYMOVE) != MAP_FAILED;
       }},
      {"mprotect",
       [] {
         return mprotect(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096,
                         PROT_READ | PROT_WRITE) == 0;
       }},
      {"madvise",
       [] {
         void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return madvise(memory, 4096, MADV_DONTNEED) == 0 && madvise(memory, 4096, MADV_FREE) == 0;
       }},
      {"futex", [] { return syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0) == 0; }},
      {"clock_gettime", [] { return syscall(SYS_clock_gettime, CLOCK_BOOTTIME, data) == 0; }},
      {"clock_nanosleep", [] { return clock_nanosleep(CLOCK_MONOTONIC, 0, &short_time, nullptr) == 0; }},
      {"gettimeofday", [] { return syscall(SYS_gettimeofday, data, nullptr) == 0; }},
      {"time", [] { return syscall(SYS_time, nullptr) > 0; }},
      {"getpid", [] { return getpid() > 1; }},
      {"gettid", [] { return syscall(SYS_gettid) == getpid(); }},
      {"getuid", [] { return nothing_lost(syscall(SYS_getuid)) >= 0; }},
      {"getrandom", [] { return syscall(SYS_getrandom, data, 16, 0) == 16; }},
      {"rt_sigprocmask", [] { return sigprocmask(SIG_BLOCK, nullptr, nullptr) == 0; }},
      {"rt_sigaction", [] { return signal(SIGUSR1, SIG_IGN) != SIG_ERR; }},
      {"rt_sigreturn",
       [] {
         signal(SIGABRT, [](int) { handled = 1; });
         return syscall(SYS_tgkill, getpid(), getpid(), SIGABRT) == 0 && handled == 1;
       }},
      {"tgkill",
       [] {
         signal(SIGABRT, SIG_IGN);
         return syscall(SYS_tgkill, getpid(), getpid(), SIGABRT) == 0;
       }},
      {"restart_syscall", [] { return syscall(SYS_restart_syscall) == -1 && errno == EINTR; }},
      {"exit", [] { return syscall(SYS_exit, 0) == 0; }},
      {"exit_group", [] { return syscall(SYS_exit_group, 0) == 0; }},
  };
}

void make_sockets() {
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, unix_pair) == 0);
  tcp = socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(tcp >= 0);
}

void close_sockets() {
  for (const int descriptor : {unix_pair[0], unix_pair[1], tcp}) close(descriptor);
}

/// The other layers without the filter: it allows everything.
sandbox::Program open_filter() { return sandbox::Program({sock_filter{BPF_RET | BPF_K, 0, 0, 0x7fff0000U}}); }

bool limit_is_zero(__rlimit_resource resource) {
  rlimit limit{1, 1};
  return getrlimit(resource, &limit) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0;
}

std::string condition_text(const sandbox::AllowedCall& call) {
  std::string text;
  for (const sandbox::Condition& condition : call.conditions) {
    if (!text.empty()) text += "; ";
    text += condition.text;
  }
  return text;
}

}  // namespace

TEST_CASE("each system call of the list works inside the sandbox", "[gateway][sandbox]") {
  const auto program = sandbox::build_program();
  REQUIRE(program);
  const auto known = uses();
  for (const sandbox::AllowedCall& call : sandbox::allow_list()) {
    INFO(call.name);
    const auto use = known.find(std::string(call.name));
    REQUIRE(use != known.end());
    make_sockets();
    const Fate fate = inside(*program, [&] { return use->second() ? 0 : 1; });
    close_sockets();
    CHECK(fate.signal == 0);
    CHECK(fate.exit_code == 0);
  }
}

TEST_CASE("an abort inside the sandbox is an abort and no violation", "[gateway][sandbox]") {
  const auto program = sandbox::build_program();
  REQUIRE(program);
  CHECK(inside(*program, []() -> int { abort(); }).signal == SIGABRT);
}

TEST_CASE("memory above the limit is refused, not fatal", "[gateway][sandbox]") {
  if (k_test_limits.address_space == 0) return;
  const auto program = sandbox::build_program();
  REQUIRE(program);
  const Fate fate = inside(*program, [] {
    return mmap(nullptr, 2UL << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 0 : 1;
  });
  CHECK(fate.exit_code == 0);
}

TEST_CASE("flags, limits and capabilities hold without the filter", "[gateway][sandbox]") {
  const Fate fate = inside(open_filter(), [] {
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return 1;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) return 2;
    for (const auto resource : {RLIMIT_FSIZE, RLIMIT_NPROC, RLIMIT_CORE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE})
      if (!limit_is_zero(resource)) return 3;
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max != 256) return 4;
    getrlimit(RLIMIT_AS, &limit);
    if (k_test_limits.address_space != 0 && limit.rlim_max != 1UL << 30) return 5;
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> held{};
    syscall(SYS_capget, &header, held.data());
    if (held[0].effective != 0 || held[0].permitted != 0 || held[1].permitted != 0) return 6;
    return 0;
  });
  CHECK(fate.exit_code == 0);
}

TEST_CASE("nothing can be written to a file, even to one that was handed", "[gateway][sandbox]") {
  const int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
  REQUIRE(file >= 0);
  CHECK(inside(open_filter(), [file] { return write(file, "x", 1) == 1 ? 0 : 1; }).signal == SIGXFSZ);
  close(file);
}

TEST_CASE("Landlock alone refuses files, TCP and signals to others", "[gateway][sandbox]") {
  const int abi = sandbox::landlock_abi();
  if (abi < 1) {
    WARN("skipped: this kernel has no Landlock");
    return;
  }
  CHECK(inside(open_filter(), [] {
          return open("/etc/passwd", O_RDONLY) == -1 && errno == EACCES ? 0 : 1;
        }).exit_code == 0);
  CHECK(inside(open_filter(), [] {
          return open("/tmp", O_TMPFILE | O_RDWR, 0600) == -1 && errno == EACCES ? 0 : 1;
        }).exit_code == 0);
  CHECK(inside(open_filter(), [] {
          return execl("/bin/true", "true", nullptr) == -1 && errno == EACCES ? 0 : 1;
        }).exit_code == 0);
  if (abi >= 4) {
    CHECK(inside(open_filter(), [] {
            sockaddr_in somewhere{};
            somewhere.sin_family = AF_INET;
            somewhere.sin_port = htons(9);
            somewhere.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            const int socket_ = socket(AF_INET, SOCK_STREAM, 0);
            const auto* address = reinterpret_cast<const sockaddr*>(&somewhere);
            const bool no_connect = connect(socket_, address, sizeof somewhere) == -1 && errno == EACCES;
            const bool no_bind = bind(socket_, address, sizeof somewhere) == -1 && errno == EACCES;
            return no_connect && no_bind ? 0 : 1;
          }).exit_code == 0);
  }
  if (abi >= 6)
    CHECK(inside(open_filter(), [] { return kill(getppid(), 0) == -1 && errno == EPERM ? 0 : 1; }).exit_code == 0);
}

TEST_CASE("memory never becomes executable where the kernel has MDWE", "[gateway][sandbox]") {
  const auto layers = sandbox::probe_layers();
  const auto mdwe =
      std::find_if(layers.begin(), layers.end(), [](const sandbox::Layer& layer) { return layer.name == "mdwe"; });
  REQUIRE(mdwe != layers.end());
  if (!mdwe->present) {
    WARN("skipped: this kernel has no PR_SET_MDWE");
    return;
  }
  CHECK(inside(open_filter(), [] {
          void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          const bool no_gain = mprotect(memory, 4096, PROT_READ | PROT_EXEC) == -1 && errno == EACCES;
          const bool no_both =
              mmap(nullptr, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
          return no_gain && no_both ? 0 : 1;
        }).exit_code == 0);
}

TEST_CASE("the kernel's layers are told by name, and the required ones are there", "[gateway][sandbox]") {
  const auto layers = sandbox::probe_layers();
  for (const char* name :
       {"seccomp", "no_new_privs", "landlock", "mdwe", "not_dumpable", "close_range", "memfd", "ptrace_scope"}) {
    INFO(name);
    const auto found =
        std::find_if(layers.begin(), layers.end(), [name](const sandbox::Layer& layer) { return layer.name == name; });
    REQUIRE(found != layers.end());
    CHECK(!found->detail.empty());
    CHECK((found->present || !found->required));
  }
  CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);  // asking changed nothing here
  CHECK(sandbox::layers_line(layers).find("seccomp") == 0);
}

TEST_CASE("the list in the documentation is the list in the code", "[gateway][sandbox]") {
  std::ifstream page(std::string(SALLYPORT_SOURCE_DIR) + "/docs/reference/sandbox.md");
  REQUIRE(page);
  std::map<std::string, std::string> written;
  bool in_list = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("## ")) in_list = line == "## The allow-list";
    if (!in_list || !line.starts_with("| `")) continue;
    const std::size_t name_end = line.find("` | ");
    REQUIRE(name_end != std::string::npos);
    written[line.substr(3, name_end - 3)] = line.substr(name_end + 4, line.size() - name_end - 6);  // "condition | why"
  }
  std::map<std::string, std::string> real;
  for (const sandbox::AllowedCall& call : sandbox::allow_list()) {
    const std::string condition = condition_text(call);
    real[std::string(call.name)] = (condition.empty() ? "always" : condition) + " | " + std::string(call.why);
  }
  CHECK(written == real);
}
