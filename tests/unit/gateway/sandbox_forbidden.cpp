// Every way out that a compromised session process would try is its death.
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "sandbox_inside.h"

using namespace sallyport;
using namespace sallyport::tests;

namespace {

/// Older headers than the kernels we run on.
#ifndef __NR_futex_wait
#define __NR_futex_wait 455
#endif
#ifndef TCP_ULP
#define TCP_ULP 31
#endif

struct Handed {
  int file = -1;    ///< a regular file, as if a descriptor had leaked in
  int socket = -1;  ///< a connected unix socket
  int tcp = -1;     ///< an unconnected TCP socket
};

Handed handed;

struct Attempt {
  std::string name;
  std::function<long()> call;
};

template <class... Arguments>
std::function<long()> raw(long number, Arguments... arguments) {
  return [=] { return syscall(number, arguments...); };
}

std::vector<Attempt> attempts() {
  const char* path = "/etc/passwd";
  const pid_t other = getppid();
  static sockaddr_in somewhere{};
  somewhere.sin_family = AF_INET;
  somewhere.sin_port = htons(9);
  somewhere.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  static sock_filter accept_all{BPF_RET | BPF_K, 0, 0, 0xffff};
  static sock_fprog filter{1, &accept_all};
  static msghdr message{};
  static char page[4096];
  return {
      // files
      {"open", raw(SYS_open, path, O_RDONLY)},
      {"openat", raw(SYS_openat, AT_FDCWD, path, O_RDONLY)},
      {"openat2", raw(SYS_openat2, AT_FDCWD, path, nullptr, 0)},
      {"creat", raw(SYS_creat, "/tmp/x", 0600)},
      {"stat", raw(SYS_stat, path, page)},
      {"newfstatat", raw(SYS_newfstatat, AT_FDCWD, path, page, 0)},
      {"statx", raw(SYS_statx, AT_FDCWD, path, 0, 0, page)},
      {"fstat", raw(SYS_fstat, 0, page)},
      {"access", raw(SYS_access, path, R_OK)},
      {"readlink", raw(SYS_readlink, "/proc/self/exe", page, sizeof page)},
      {"getdents64", raw(SYS_getdents64, 0, page, sizeof page)},
      {"unlink", raw(SYS_unlink, "/tmp/sallyport-no-such-file")},
      {"unlinkat", raw(SYS_unlinkat, AT_FDCWD, "/tmp/sallyport-no-such-file", 0)},
      {"rename", raw(SYS_rename, "/tmp/a", "/tmp/b")},
      {"mkdir", raw(SYS_mkdir, "/tmp/sallyport-no-such-dir", 0700)},
      {"link", raw(SYS_link, path, "/tmp/x")},
      {"symlink", raw(SYS_symlink, path, "/tmp/x")},
      {"chmod", raw(SYS_chmod, path, 0777)},
      {"fchmod", [] { return syscall(SYS_fchmod, handed.file, 0777); }},
      {"truncate", raw(SYS_truncate, path, 0)},
      {"ftruncate of a handed file", [] { return syscall(SYS_ftruncate, handed.file, 0); }},
      {"fallocate of a handed file", [] { return syscall(SYS_fallocate, handed.file, 0x03, 0, 4096); }},
      {"lseek", [] { return syscall(SYS_lseek, handed.file, 0, SEEK_SET); }},
      {"pwrite64", [] { return syscall(SYS_pwrite64, handed.file, page, 1, 0); }},
      {"sendfile", [] { return syscall(SYS_sendfile, handed.socket, handed.file, nullptr, 1); }},
      {"splice", raw(SYS_splice, 0, nullptr, 1, nullptr, 1, 0)},
      {"copy_file_range", raw(SYS_copy_file_range, 0, nullptr, 1, nullptr, 1, 0)},
      {"mount", raw(SYS_mount, "none", "/mnt", "tmpfs", 0, nullptr)},
      {"chroot", raw(SYS_chroot, "/")},
      {"chdir", raw(SYS_chdir, "/")},
      {"inotify_init1", raw(SYS_inotify_init1, 0)},
      {"name_to_handle_at", raw(SYS_name_to_handle_at, AT_FDCWD, path, page, page, 0)},
      {"memfd_create", raw(SYS_memfd_create, "x", 0)},
      // descriptors
      {"dup2", raw(SYS_dup2, 1, 9)},
      {"dup3", raw(SYS_dup3, 1, 9, 0)},
      {"pipe2", raw(SYS_pipe2, page, 0)},
      {"fcntl F_DUPFD", raw(SYS_fcntl, 1, F_DUPFD, 20)},
      {"fcntl F_SETOWN", [] { return syscall(SYS_fcntl, handed.socket, F_SETOWN, getppid()); }},
      {"fcntl F_ADD_SEALS", raw(SYS_fcntl, 1, F_ADD_SEALS, 0)},
      {"ioctl TIOCSTI", raw(SYS_ioctl, 0, TIOCSTI, page)},
      {"ioctl TCGETS", raw(SYS_ioctl, 0, 0x5401, page)},
      {"pidfd_getfd", raw(SYS_pidfd_getfd, 3, 0, 0)},
      // network
      {"socket inet", raw(SYS_socket, AF_INET, SOCK_STREAM, 0)},
      {"socket unix", raw(SYS_socket, AF_UNIX, SOCK_STREAM, 0)},
      {"socket netlink", raw(SYS_socket, AF_NETLINK, SOCK_RAW, 0)},
      {"socketpair", raw(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, page)},
      {"connect", [] { return syscall(SYS_connect, handed.tcp, &somewhere, sizeof somewhere); }},
      {"bind", [] { return syscall(SYS_bind, handed.tcp, &somewhere, sizeof somewhere); }},
      {"listen", [] { return syscall(SYS_listen, handed.tcp, 1); }},
      {"accept4", [] { return syscall(SYS_accept4, handed.tcp, nullptr, nullptr, 0); }},
      {"sendto with an address",
       [] { return syscall(SYS_sendto, handed.tcp, page, 1, 0, &somewhere, sizeof somewhere); }},
      {"sendto with MSG_FASTOPEN", [] { return syscall(SYS_sendto, handed.tcp, page, 1, MSG_FASTOPEN, nullptr, 0); }},
      {"sendmsg with MSG_FASTOPEN", [] { return syscall(SYS_sendmsg, handed.tcp, &message, MSG_FASTOPEN); }},
      {"sendmmsg", [] { return syscall(SYS_sendmmsg, handed.socket, nullptr, 0, 0); }},
      {"setsockopt SO_ATTACH_FILTER",
       [] { return syscall(SYS_setsockopt, handed.socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter); }},
      {"setsockopt SO_BINDTODEVICE",
       [] { return syscall(SYS_setsockopt, handed.tcp, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3); }},
      {"setsockopt TCP_ULP", [] { return syscall(SYS_setsockopt, handed.tcp, IPPROTO_TCP, TCP_ULP, "tls", 4); }},
      {"setsockopt IP_OPTIONS", [] { return syscall(SYS_setsockopt, handed.tcp, IPPROTO_IP, 4, page, 4); }},
      {"getsockopt netfilter", [] { return syscall(SYS_getsockopt, handed.tcp, IPPROTO_IP, 64, page, page); }},
      // programs and processes
      {"execve", raw(SYS_execve, "/bin/true", nullptr, nullptr)},
      {"execveat", raw(SYS_execveat, AT_FDCWD, "/bin/true", nullptr, nullptr, 0)},
      {"fork", raw(SYS_fork)},
      {"vfork", raw(SYS_vfork)},
      {"clone", raw(SYS_clone, SIGCHLD, 0, 0, 0, 0)},
      {"clone of a thread", raw(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0)},
      {"clone3", raw(SYS_clone3, page, 64)},
      {"ptrace", raw(SYS_ptrace, PTRACE_ATTACH, other, 0, 0)},
      {"process_vm_readv", raw(SYS_process_vm_readv, other, nullptr, 0, nullptr, 0, 0)},
      {"process_vm_writev", raw(SYS_process_vm_writev, other, nullptr, 0, nullptr, 0, 0)},
      {"process_madvise", raw(SYS_process_madvise, 3, nullptr, 0, 0, 0)},
      {"kill of another process", raw(SYS_kill, other, 0)},
      {"kill of all", raw(SYS_kill, -1, 0)},
      {"tkill", raw(SYS_tkill, other, 0)},
      {"tgkill of another process", raw(SYS_tgkill, other, other, SIGABRT)},
      {"tgkill of itself with another signal",
       [] { return syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGTERM); }},
      {"rt_sigqueueinfo", raw(SYS_rt_sigqueueinfo, other, 0, page)},
      {"pidfd_open", raw(SYS_pidfd_open, other, 0)},
      {"pidfd_send_signal", raw(SYS_pidfd_send_signal, 3, 0, nullptr, 0)},
      {"wait4", raw(SYS_wait4, -1, nullptr, 0, nullptr)},
      {"setpriority", raw(SYS_setpriority, 0, 0, -20)},
      {"sched_setscheduler", raw(SYS_sched_setscheduler, 0, 0, page)},
      {"setpgid", raw(SYS_setpgid, 0, 0)},
      {"setsid", raw(SYS_setsid)},
      // rights
      {"setuid", raw(SYS_setuid, 0)},
      {"setresuid", raw(SYS_setresuid, 0, 0, 0)},
      {"setgroups", raw(SYS_setgroups, 0, nullptr)},
      {"capset", raw(SYS_capset, nullptr, nullptr)},
      {"prctl", raw(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)},
      {"seccomp", raw(SYS_seccomp, 1, 0, nullptr)},
      {"setrlimit", raw(SYS_setrlimit, 0, page)},
      {"prlimit64", raw(SYS_prlimit64, 0, 0, page, nullptr)},
      {"unshare", raw(SYS_unshare, CLONE_NEWUSER)},
      {"setns", raw(SYS_setns, 3, 0)},
      {"personality", raw(SYS_personality, 0x0040000)},
      {"keyctl", raw(SYS_keyctl, 0, 0, 0, 0, 0)},
      {"add_key", raw(SYS_add_key, "user", "x", "y", 1, -3)},
      {"request_key", raw(SYS_request_key, "user", "x", nullptr, 0)},
      // memory
      {"mmap with PROT_EXEC", raw(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)},
      {"mmap writable and executable",
       raw(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)},
      {"mmap of a handed file", [] { return syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_SHARED, handed.file, 0); }},
      {"mprotect with PROT_EXEC",
       [] {
         return syscall(SYS_mprotect, reinterpret_cast<unsigned long>(page) & ~4095UL, 4096, PROT_READ | PROT_EXEC);
       }},
      {"pkey_mprotect",
       [] { return syscall(SYS_pkey_mprotect, reinterpret_cast<unsigned long>(page) & ~4095UL, 4096, PROT_READ, -1); }},
      {"madvise MADV_REMOVE",
       [] { return syscall(SYS_madvise, reinterpret_cast<unsigned long>(page) & ~4095UL, 4096, MADV_REMOVE); }},
      {"remap_file_pages", raw(SYS_remap_file_pages, 0, 0, 0, 0, 0)},
      {"mlock", raw(SYS_mlock, page, 4096)},
      {"userfaultfd", raw(SYS_userfaultfd, 0)},
      {"futex shared between processes", raw(SYS_futex, page, FUTEX_WAKE, 1, nullptr, nullptr, 0)},
      {"futex_wait", raw(__NR_futex_wait, page, 0, 0, 0, nullptr, 0)},
      {"shmget", raw(SYS_shmget, 0, 4096, 01600)},
      {"modify_ldt", raw(SYS_modify_ldt, 0, page, 0)},
      {"arch_prctl", raw(SYS_arch_prctl, 0x1003, page)},
      // the kernel's large surfaces
      {"io_uring_setup", raw(SYS_io_uring_setup, 1, page)},
      {"io_uring_enter", raw(SYS_io_uring_enter, 3, 0, 0, 0, nullptr, 0)},
      {"io_setup", raw(SYS_io_setup, 1, page)},
      {"bpf", raw(SYS_bpf, 0, page, sizeof page)},
      {"perf_event_open", raw(SYS_perf_event_open, page, 0, -1, -1, 0)},
      {"init_module", raw(SYS_init_module, page, 0, "")},
      {"kexec_load", raw(SYS_kexec_load, 0, 0, nullptr, 0)},
      {"reboot", raw(SYS_reboot, 0, 0, 0, nullptr)},
      {"syslog", raw(SYS_syslog, 3, page, 1)},
      {"clock_settime", raw(SYS_clock_settime, 0, page)},
      {"mq_open", raw(SYS_mq_open, "/x", 0, 0, nullptr)},
      {"msgget", raw(SYS_msgget, 0, 01600)},
      {"landlock_create_ruleset", raw(SYS_landlock_create_ruleset, nullptr, 0, 1)},
      {"uname", raw(SYS_uname, page)},
      {"a number no kernel knows", raw(9999)},
      {"getpid by x32's number", raw(0x40000000L | SYS_getpid)},
  };
}

}  // namespace

TEST_CASE("each forbidden system call is the death of the session process", "[gateway][sandbox]") {
  const auto program = sandbox::build_program();
  REQUIRE(program);
  handed.file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  handed.socket = pair[0];
  handed.tcp = socket(AF_INET, SOCK_STREAM, 0);
  for (const Attempt& attempt : attempts()) {
    INFO(attempt.name);
    const Fate fate = inside(*program, [&] {
      attempt.call();
      return 0;
    });
    CHECK(fate.signal == SIGSYS);
  }
  for (const int descriptor : {handed.file, pair[0], pair[1], handed.tcp}) close(descriptor);
}

#ifdef __x86_64__
TEST_CASE("the 32 bit system call gate is the death of the session process", "[gateway][sandbox]") {
  const auto program = sandbox::build_program();
  REQUIRE(program);
  const Fate fate = inside(*program, [] {
    long number = 20;  // getpid of the 32 bit table
    asm volatile("int $0x80" : "+a"(number) : : "memory");
    return 0;
  });
  CHECK((fate.signal == SIGSYS || fate.signal == SIGSEGV));  // SIGSEGV: a kernel without 32 bit support
}
#endif

TEST_CASE("a tracing build says which call was forbidden", "[gateway][sandbox]") {
  const auto program = sandbox::build_program(sandbox::OnForbidden::trap);
  REQUIRE(program);
  int log[2];
  REQUIRE(pipe(log) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(log[1], 2);
    sandbox::report_forbidden_calls();
    if (!sandbox::enter(*program, k_test_limits)) _exit(k_could_not_enter);
    syscall(SYS_io_uring_setup, 1, nullptr);
    _exit(0);
  }
  const Fate fate = fate_of(child);
  close(log[1]);
  char text[100] = {};
  REQUIRE(read(log[0], text, sizeof text - 1) > 0);
  close(log[0]);
  CHECK(fate.exit_code == 159);
  CHECK(std::string(text) == "forbidden system call " + std::to_string(SYS_io_uring_setup) + "\n");
}
