// gate_pipe -- stands where ssh and sshd would stand: between a stock client on stdin/stdout and a real server program,
// with one of the file gates in the stream.
//
//   gate_pipe                        runs sftp-server (for `sftp -D`)
//   gate_pipe [OPTIONS] HOST WORD... runs the words as sshd would (for `scp -S`, `rsync -e`); with -s they name a subsystem
//
// Environment: GATE_EVENTS file that the events are appended to; GATE_RULES "PREFIX=udc,PREFIX=d" (none: no rules apply);
// GATE_MAX bytes of one file; GATE_CHUNK bytes read at once; GATE_NEW_RULES and GATE_NEW_RULES_AFTER: rules that replace
// the first ones after so many bytes.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "gateway/ssh/program.h"
#include "gateway/ssh/sftp_gate.h"
#include "gateway/ssh/transfer_gate.h"

namespace {

using namespace sallyport;

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

gateway::FileRules rules_of(const std::string& text) {
  gateway::FileRules rules;
  rules.apply = !text.empty();
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string rule = text.substr(begin, end - begin);
    const std::size_t equals = rule.find('=');
    const std::string rights = equals == std::string::npos ? "" : rule.substr(equals + 1);
    const auto has = [&](char right) { return rights.find(right) != std::string::npos; };
    rules.list.push_back({rule.substr(0, equals), has('u'), has('d'), has('c')});
    begin = end + 1;
  }
  if (!setting("GATE_MAX").empty()) rules.max_file_bytes = std::stoull(setting("GATE_MAX"));
  return rules;
}

bool write_all(int fd, const std::vector<std::byte>& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t sent = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    done += static_cast<std::size_t>(sent);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  for (const int fd : {0, 1}) ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);  // rsync hands them over so
  std::string command;
  std::string request = "exec";
  if (argc == 1) {
    request = "subsystem";
    command = "sftp";
  } else {
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; ++at) {
      const std::string_view option = argv[at];
      if (option == "-l" || option == "-p") ++at;
      if (option == "-s") request = "subsystem";
      if (option == "--") break;
    }
    if (at < argc && std::string_view(argv[at]) == "--") ++at;
    for (++at; at < argc; ++at) command += (command.empty() ? "" : " ") + std::string(argv[at]);
  }
  FILE* events = std::fopen(setting("GATE_EVENTS").empty() ? "/dev/null" : setting("GATE_EVENTS").c_str(), "a");
  const auto sink = [&](std::string_view name, const std::string& json) {
    std::fprintf(events, "{\"event\":\"%.*s\",%s\n", static_cast<int>(name.size()), name.data(), json.c_str() + 1);
    std::fflush(events);
  };
  const gateway::Program program = gateway::classify_program(request, command);
  std::unique_ptr<gateway::StreamFilter> gate;
  if (program.kind == "sftp") gate = gateway::make_sftp_gate(rules_of(setting("GATE_RULES")), sink);
  if (program.kind == "scp") gate = gateway::make_scp_gate(command, rules_of(setting("GATE_RULES")), sink);
  if (program.kind == "rsync") gate = gateway::make_rsync_gate(command, rules_of(setting("GATE_RULES")), sink);
  if (!gate) {
    std::fprintf(stderr, "gate_pipe: refused %s: %s\n", program.kind.c_str(), command.c_str());
    return 255;
  }
  if (!gate->replaced_command().empty()) command = gate->replaced_command();
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) != 0) return 1;
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pair[1], 0);
    ::dup2(pair[1], 1);
    ::close(pair[0]);
    ::close(pair[1]);
    if (program.kind == "sftp") ::execl("/usr/lib/openssh/sftp-server", "sftp-server", nullptr);
    else ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(pair[1]);
  const int server = pair[0];
  const std::size_t chunk = setting("GATE_CHUNK").empty() ? 32768 : std::stoul(setting("GATE_CHUNK"));
  std::size_t until_new_rules = setting("GATE_NEW_RULES_AFTER").empty() ? SIZE_MAX : std::stoul(setting("GATE_NEW_RULES_AFTER"));
  std::vector<std::byte> buffer(chunk);
  bool client_open = true;
  bool server_open = true;
  bool sound = true;
  while (server_open && sound) {
    std::array<pollfd, 2> polls{pollfd{client_open ? 0 : -1, POLLIN, 0}, pollfd{server, POLLIN, 0}};
    if (::poll(polls.data(), polls.size(), 60'000) <= 0) break;
    for (const bool from_client : {true, false}) {
      if (polls[from_client ? 0 : 1].revents == 0) continue;
      const ssize_t size = ::read(from_client ? 0 : server, buffer.data(), buffer.size());
      if (size <= 0) {
        (from_client ? client_open : server_open) = false;
        if (from_client) ::shutdown(server, SHUT_WR);
        continue;
      }
      std::vector<std::byte> forward;
      std::vector<std::byte> back;
      const std::span<const std::byte> data(buffer.data(), static_cast<std::size_t>(size));
      sound = from_client ? gate->from_client(data, forward, back) : gate->from_target(data, forward, back);
      write_all(from_client ? server : 1, forward);
      write_all(from_client ? 1 : server, back);
      until_new_rules -= std::min(until_new_rules, data.size());
      if (until_new_rules == 0) {
        gate->replace_rules(rules_of(setting("GATE_NEW_RULES")));
        until_new_rules = SIZE_MAX;
      }
      if (!sound) break;
    }
  }
  gate->finish();
  if (!sound) std::fprintf(stderr, "gate_pipe: %s\n", std::string(gate->error()).c_str());
  ::close(server);
  int status = 0;
  ::waitpid(child, &status, 0);
  return sound && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}
