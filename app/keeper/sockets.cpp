#include "app/keeper/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "platform/os/port_holder.h"

namespace sallyport::app {
namespace {

constexpr int k_first_systemd_descriptor = 3;
constexpr int k_most_systemd_descriptors = 64;
constexpr int k_backlog = 1024;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Address> parse_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const auto wrong = [&text] { return fail(Errc::invalid, "listen address `" + text + "`: expected a numeric host:port such as 0.0.0.0:2222 or [::]:2222"); };
  if (colon == std::string::npos) return wrong();
  unsigned port = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + colon + 1, last, port);
  if (error != std::errc{} || end != last || port > 65535) return wrong();
  std::string host = text.substr(0, colon);
  if (host == "*") host = "0.0.0.0";
  Address address;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(static_cast<std::uint16_t>(port));
    if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &six.sin6_addr) != 1) return wrong();
    std::memcpy(&address.storage, &six, sizeof six);
    address.size = sizeof six;
    return address;
  }
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(static_cast<std::uint16_t>(port));
  if (inet_pton(AF_INET, host.c_str(), &four.sin_addr) != 1) return wrong();
  std::memcpy(&address.storage, &four, sizeof four);
  address.size = sizeof four;
  return address;
}

}  // namespace

Result<ListeningSocket> open_listening(const std::string& text) {
  auto address = parse_address(text);
  if (!address) return tl::unexpected(address.error());
  const auto unavailable = [&text](const char* what) {
    const int error = errno;
    const auto port = static_cast<std::uint16_t>(std::atoi(text.c_str() + text.rfind(':') + 1));
    return fail(Errc::unavailable, "listening on " + text + ": " + what + ": " + os::why_not_listening(error, port, "listen"));
  };
  ListeningSocket socket;
  socket.fd = Fd(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.fd) return unavailable("socket");
  const int on = 1;
  setsockopt(socket.fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(socket.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // inherited by what is accepted
  if (address->storage.ss_family == AF_INET6) setsockopt(socket.fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(socket.fd.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->size) != 0) return unavailable("bind");
  if (listen(socket.fd.get(), k_backlog) != 0) return unavailable("listen");
  socket.address = bound_address(socket.fd.get());
  return socket;
}

Result<std::vector<ListeningSocket>> sockets_of_systemd() {
  std::vector<ListeningSocket> sockets;
  const char* pid = std::getenv("LISTEN_PID");
  const char* count_text = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count_text == nullptr || std::to_string(getpid()) != pid) return sockets;
  const int count = std::atoi(count_text);
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(name);
  if (count < 0 || count > k_most_systemd_descriptors) return fail(Errc::invalid, "LISTEN_FDS is out of range");
  for (int fd = k_first_systemd_descriptor; fd < k_first_systemd_descriptor + count; ++fd) {
    int listening = 0;
    socklen_t size = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0)
      return fail(Errc::invalid, "systemd handed over a descriptor that is not a listening socket (Accept=no is needed)");
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    sockets.push_back(ListeningSocket{Fd(fd), bound_address(fd)});
  }
  return sockets;
}

std::string bound_address(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return "?";
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &storage, sizeof four);
    inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(four.sin_port));
  }
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 six{};
    std::memcpy(&six, &storage, sizeof six);
    inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(six.sin6_port));
  }
  return "unix";
}

}  // namespace sallyport::app
