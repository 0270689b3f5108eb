// A listener whose sessions follow a script: lines of text in, lines of text out.
//   HELLO session|peer|port|outer|target     sent first
//   echo TEXT, layout, exit N, ring, crash (a forbidden call), segv
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "gateway/listener/fork_server.h"
#include "gateway/listener/warm_up.h"
#include "gateway/sandbox/sandbox.h"

using namespace sallyport;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr sandbox::Limits k_limits{0, 256};
#else
constexpr sandbox::Limits k_limits{};
#endif

void say(int fd, const std::string& line) {
  const std::string text = line + "\n";
  if (write(fd, text.data(), text.size()) < 0) _exit(3);
}

void wait_readable(int fd) {
  pollfd asked{fd, POLLIN, 0};
  poll(&asked, 1, -1);
}

void obey(const std::string& line, gateway::SessionHandover& session) {
  const int client = session.client.get();
  if (line.starts_with("echo ")) say(client, line.substr(5));
  if (line.starts_with("exit ")) _exit(std::atoi(line.c_str() + 5));
  if (line == "layout") say(client, std::to_string(reinterpret_cast<std::uintptr_t>(&say)));
  if (line == "ring") {
    std::fill(session.ring.begin(), session.ring.end(), std::byte{0x5a});
    say(client, std::to_string(session.ring.size()));
  }
  if (line == "crash") syscall(SYS_socket, 2, 1, 0);
  if (line == "segv") *reinterpret_cast<volatile int*>(8) = 1;
}

int serve_script(gateway::SessionHandover&& session) {
  if (!sandbox::enter(*session.program, k_limits)) return 90;
  const int client = session.client.get();
  say(client, "HELLO " + std::string(session.session.view()) + "|" + session.peer_address + "|" +
                  std::to_string(session.peer_port) + "|" + session.outer_session + "|" + session.inner_target);
  std::string pending;
  for (;;) {
    wait_readable(client);
    char bytes[512];
    const ssize_t n = read(client, bytes, sizeof bytes);
    if (n < 0) continue;
    if (n == 0) return 0;
    pending.append(bytes, static_cast<std::size_t>(n));
    for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      obey(pending.substr(0, end), session);
      pending.erase(0, end + 1);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  gateway::ListenerHooks hooks;
  hooks.serve = serve_script;
  if (argc > 1 && std::string_view(argv[1]) == "--warm") hooks.warm_up = gateway::warm_up;
  return gateway::run_listener_with(Fd(3), hooks);
}
