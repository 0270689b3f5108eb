#include "gateway/sandbox/allow_list.h"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <csignal>

namespace sallyport::sandbox {
namespace {

constexpr std::uint64_t k_whole = ~0ULL;
/// Arguments that the kernel reads as 32 bit: the upper half is whatever the register held.
constexpr std::uint64_t k_int = 0xffffffffULL;

// fcntl(fd, command), ioctl(fd, request)
constexpr std::array k_getfl{ArgumentTest{1, k_int, F_GETFL}};
constexpr std::array k_setfl{ArgumentTest{1, k_int, F_SETFL}};
constexpr std::array k_get_seals{ArgumentTest{1, k_int, F_GET_SEALS}};
constexpr std::array k_fcntl{Condition{"F_GETFL", k_getfl}, Condition{"F_SETFL", k_setfl},
                             Condition{"F_GET_SEALS", k_get_seals}};
constexpr std::array k_fionbio{ArgumentTest{1, k_int, FIONBIO}};
constexpr std::array k_fionread{ArgumentTest{1, k_int, FIONREAD}};
constexpr std::array k_ioctl{Condition{"FIONBIO", k_fionbio}, Condition{"FIONREAD", k_fionread}};

// mmap(address, length, protection, flags, fd, offset); mprotect(address, length, protection)
constexpr std::array k_anonymous_data{ArgumentTest{2, PROT_EXEC, 0}, ArgumentTest{3, MAP_ANONYMOUS, MAP_ANONYMOUS}};
constexpr std::array k_mmap{Condition{"anonymous, without PROT_EXEC", k_anonymous_data}};
constexpr std::array k_data{ArgumentTest{2, PROT_EXEC, 0}};
constexpr std::array k_mprotect{Condition{"without PROT_EXEC", k_data}};

// madvise(address, length, advice): MADV_REMOVE would punch holes into the ring's file
constexpr std::array k_dontneed{ArgumentTest{2, k_int, MADV_DONTNEED}};
constexpr std::array k_free{ArgumentTest{2, k_int, MADV_FREE}};
constexpr std::array k_madvise{Condition{"MADV_DONTNEED", k_dontneed}, Condition{"MADV_FREE", k_free}};

// futex(word, operation, ...): a shared futex could wake or starve another process through the ring
constexpr std::array k_private{ArgumentTest{1, FUTEX_PRIVATE_FLAG, FUTEX_PRIVATE_FLAG}};
constexpr std::array k_futex{Condition{"FUTEX_PRIVATE_FLAG", k_private}};

// sendto(fd, data, size, flags, address, length); sendmsg(fd, message, flags)
constexpr std::array k_no_address{ArgumentTest{3, MSG_FASTOPEN, 0}, ArgumentTest{4, k_whole, 0}};
constexpr std::array k_sendto{Condition{"no address, without MSG_FASTOPEN", k_no_address}};
constexpr std::array k_no_fast_open{ArgumentTest{2, MSG_FASTOPEN, 0}};
constexpr std::array k_sendmsg{Condition{"without MSG_FASTOPEN", k_no_fast_open}};

// setsockopt(fd, level, name, ...), getsockopt(fd, level, name, ...)
template <std::uint64_t Level, std::uint64_t Name>
constexpr std::array k_option{ArgumentTest{1, k_int, Level}, ArgumentTest{2, k_int, Name}};
constexpr std::array k_setsockopt{
    Condition{"SOL_SOCKET SO_KEEPALIVE", k_option<SOL_SOCKET, SO_KEEPALIVE>},
    Condition{"SOL_SOCKET SO_SNDBUF", k_option<SOL_SOCKET, SO_SNDBUF>},
    Condition{"SOL_SOCKET SO_RCVBUF", k_option<SOL_SOCKET, SO_RCVBUF>},
    Condition{"SOL_SOCKET SO_LINGER", k_option<SOL_SOCKET, SO_LINGER>},
    Condition{"IPPROTO_TCP TCP_NODELAY", k_option<IPPROTO_TCP, TCP_NODELAY>},
    Condition{"IPPROTO_TCP TCP_CORK", k_option<IPPROTO_TCP, TCP_CORK>},
    Condition{"IPPROTO_TCP TCP_QUICKACK", k_option<IPPROTO_TCP, TCP_QUICKACK>},
    Condition{"IPPROTO_TCP TCP_KEEPIDLE", k_option<IPPROTO_TCP, TCP_KEEPIDLE>},
    Condition{"IPPROTO_TCP TCP_KEEPINTVL", k_option<IPPROTO_TCP, TCP_KEEPINTVL>},
    Condition{"IPPROTO_TCP TCP_KEEPCNT", k_option<IPPROTO_TCP, TCP_KEEPCNT>},
    Condition{"IPPROTO_TCP TCP_USER_TIMEOUT", k_option<IPPROTO_TCP, TCP_USER_TIMEOUT>},
    Condition{"IPPROTO_TCP TCP_NOTSENT_LOWAT", k_option<IPPROTO_TCP, TCP_NOTSENT_LOWAT>},
    Condition{"IPPROTO_IP IP_TOS", k_option<IPPROTO_IP, IP_TOS>},
    Condition{"IPPROTO_IPV6 IPV6_TCLASS", k_option<IPPROTO_IPV6, IPV6_TCLASS>},
};
constexpr std::array k_socket_level{ArgumentTest{1, k_int, SOL_SOCKET}};
constexpr std::array k_tcp_level{ArgumentTest{1, k_int, IPPROTO_TCP}};
constexpr std::array k_getsockopt{Condition{"SOL_SOCKET", k_socket_level}, Condition{"IPPROTO_TCP", k_tcp_level}};

// tgkill(process, thread, signal)
constexpr std::array k_abort_self{ArgumentTest{0, k_int, k_own_pid}, ArgumentTest{2, k_int, SIGABRT}};
constexpr std::array k_tgkill{Condition{"own process, SIGABRT", k_abort_self}};

constexpr std::array k_list{
    AllowedCall{"read", {}, "client, target, links"},
    AllowedCall{"write", {}, "client, target, links"},
    AllowedCall{"readv", {}, "client, target"},
    AllowedCall{"writev", {}, "client, target; the C library's last words"},
    AllowedCall{"pread64", {}, "large control message in a sealed memfd"},
    AllowedCall{"recvfrom", {}, "client, target"},
    AllowedCall{"recvmsg", {}, "control links, handed descriptors"},
    AllowedCall{"sendto", k_sendto, "client, target"},
    AllowedCall{"sendmsg", k_sendmsg, "control links"},
    AllowedCall{"poll", {}, "bounded waits for an answer"},
    AllowedCall{"ppoll", {}, "the same"},
    AllowedCall{"epoll_create1", {}, "event loop"},
    AllowedCall{"epoll_ctl", {}, "event loop"},
    AllowedCall{"epoll_wait", {}, "event loop"},
    AllowedCall{"epoll_pwait", {}, "event loop"},
    AllowedCall{"eventfd2", {}, "event loop"},
    AllowedCall{"timerfd_create", {}, "event loop"},
    AllowedCall{"timerfd_settime", {}, "event loop"},
    AllowedCall{"close", {}, "own descriptors"},
    AllowedCall{"dup", {}, "own descriptors"},
    AllowedCall{"shutdown", {}, "half-close"},
    AllowedCall{"fcntl", k_fcntl, "non-blocking mode; seals of a control message"},
    AllowedCall{"ioctl", k_ioctl, "event loop"},
    AllowedCall{"getsockopt", k_getsockopt, "socket errors"},
    AllowedCall{"setsockopt", k_setsockopt, "latency and keepalive of client and target"},
    AllowedCall{"getsockname", {}, "addresses"},
    AllowedCall{"getpeername", {}, "addresses"},
    AllowedCall{"brk", {}, "memory"},
    AllowedCall{"mmap", k_mmap, "memory"},
    AllowedCall{"munmap", {}, "memory"},
    AllowedCall{"mremap", {}, "memory"},
    AllowedCall{"mprotect", k_mprotect, "memory"},
    AllowedCall{"madvise", k_madvise, "memory given back when idle"},
    AllowedCall{"futex", k_futex, "locks of OpenSSL and the C library"},
    AllowedCall{"clock_gettime", {}, "time, where the vDSO cannot"},
    AllowedCall{"clock_nanosleep", {}, "time"},
    AllowedCall{"gettimeofday", {}, "time, where the vDSO cannot"},
    AllowedCall{"time", {}, "time, where the vDSO cannot"},
    AllowedCall{"getpid", {}, "OpenSSL looks for a fork at each random number"},
    AllowedCall{"gettid", {}, "abort"},
    AllowedCall{"getuid", {}, "libssh"},
    AllowedCall{"getrandom", {}, "random numbers"},
    AllowedCall{"rt_sigprocmask", {}, "abort"},
    AllowedCall{"rt_sigaction", {}, "abort"},
    AllowedCall{"rt_sigreturn", {}, "end of a handler"},
    AllowedCall{"restart_syscall", {}, "the kernel, after a stop"},
    AllowedCall{"tgkill", k_tgkill, "abort"},
    AllowedCall{"exit", {}, "end"},
    AllowedCall{"exit_group", {}, "end"},
};

}  // namespace

std::span<const AllowedCall> allow_list() { return k_list; }

}  // namespace sallyport::sandbox
