// A service for the keeper's tests: `fake_service ROLE DIR`. Serves its control link as the real ones do, answers every question on every
// link with ROLE and the label of the link, and answers one-line questions of the test on DIR/ROLE.sock.
#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <list>
#include <string>
#include <vector>

#include "platform/control/link.h"
#include "platform/model/settings.h"

using sallyport::Fd;
using sallyport::control::Envelope;
using sallyport::control::Link;
using sallyport::control::Received;

namespace {

struct Attached {
  int peer = 0;
  std::string session;
  bool again = false;
  bool has_ring = false;
  Link link;
};

struct HeldKit {
  std::string session;
  std::vector<Link> links;
  Fd ring;
};

std::string role;
std::string directory;
Link control_link{Fd(3)};
std::list<Attached> links;
std::vector<HeldKit> kits;
std::vector<Fd> sockets;
sallyport::Settings settings;
unsigned lost_peers = 0;
bool ready_said = false;
bool end_at_once = false;

void say_ready() {
  Envelope ready;
  ready.mutable_ready()->set_detail(role);
  static_cast<void>(control_link.send(ready));
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* listing = opendir("/proc/self/fd");
  while (readdir(listing) != nullptr) ++count;
  closedir(listing);
  return count - 3;  // ".", ".." and the listing itself
}

void note_end() { std::ofstream(directory + "/ended", std::ios::app) << role << '\n'; }

void on_control(Received received) {
  const Envelope& envelope = received.envelope;
  if (envelope.has_reload()) {
    settings = sallyport::Settings::parse(envelope.reload().config_yaml()).value();
    if (!ready_said && role != "listener") say_ready();
    ready_said = true;
  } else if (envelope.has_ping()) {
    if (role != "listener" || !sockets.empty()) say_ready();
  } else if (envelope.has_listen_sockets()) {
    sockets = std::move(received.descriptors);
    say_ready();
  } else if (envelope.has_attach()) {
    const auto& attach = envelope.attach();
    if (attach.peer() != sallyport::control::PEER_SESSION) links.remove_if([&](const Attached& a) { return a.peer == attach.peer(); });
    links.push_back({attach.peer(), attach.session(), attach.again(), received.descriptors.size() > 1, Link(std::move(received.descriptors.front()))});
  } else if (envelope.has_shutdown()) {
    note_end();
    _exit(0);
  } else if (envelope.has_session_kit()) {
    HeldKit kit;
    kit.session = envelope.session_kit().session();
    for (std::size_t i = 0; i < 3; ++i) kit.links.emplace_back(std::move(received.descriptors[i]));
    kit.ring = std::move(received.descriptors[3]);
    kits.push_back(std::move(kit));
  } else if (envelope.has_public_keys()) {
    Envelope answer = sallyport::control::reply_to(envelope);
    answer.mutable_public_key_set()->add_host_keys("not a real key");
    static_cast<void>(control_link.send(answer));
  }
}

/// False: the link is over.
bool serve_link(Attached& attached) {
  for (;;) {
    auto received = attached.link.receive();
    if (!received) return false;
    if (!*received) return true;
    if ((*received)->envelope.reply() || (*received)->envelope.call() == 0) continue;
    Envelope answer = sallyport::control::reply_to((*received)->envelope);
    answer.mutable_ready()->set_detail(role + ":" + attached.session);
    static_cast<void>(attached.link.send(answer));
  }
}

bool wait_for_kits(std::size_t wanted) {
  for (int round = 0; round < 1000 && kits.size() < wanted; ++round) {
    pollfd waiting{control_link.native(), POLLIN, 0};
    poll(&waiting, 1, 10);
    for (;;) {
      auto received = control_link.receive();
      if (!received) return false;
      if (!*received) break;
      on_control(std::move(**received));
    }
  }
  return kits.size() >= wanted;
}

std::string talk() {
  const std::vector<std::string> services{"authority", "vault", "recorder"};
  for (HeldKit& kit : kits) {
    for (std::size_t i = 0; i < 3; ++i) {
      Envelope question;
      question.mutable_ping();
      auto answer = kit.links[i].call_blocking(question, std::chrono::seconds(5));
      if (!answer) return services[i] + " of " + kit.session + ": " + answer.error().detail;
      if (answer->envelope.ready().detail() != services[i] + ":" + kit.session) return "wrong answer: " + answer->envelope.ready().detail();
    }
  }
  return "ok " + std::to_string(kits.size());
}

std::string ask_peers() {
  std::string out = "ok";
  for (Attached& attached : links) {
    if (attached.peer == sallyport::control::PEER_SESSION || attached.peer == sallyport::control::PEER_KEEPER) continue;
    Envelope question;
    question.mutable_ping();
    auto answer = attached.link.call_blocking(question, std::chrono::seconds(5));
    out += answer ? " " + answer->envelope.ready().detail() : " failed:" + answer.error().detail;
  }
  return out;
}

std::string answer_test(const std::string& line) {
  if (line == "stats") {
    std::size_t sessions = 0;
    std::size_t again = 0;
    std::size_t rings = 0;
    for (const Attached& attached : links) {
      if (attached.peer != sallyport::control::PEER_SESSION) continue;
      ++sessions;
      again += attached.again ? 1 : 0;
      rings += attached.has_ring ? 1 : 0;
    }
    return "pid=" + std::to_string(getpid()) + " sessions=" + std::to_string(sessions) + " again=" + std::to_string(again) + " rings=" +
           std::to_string(rings) + " kits=" + std::to_string(kits.size()) + " sockets=" + std::to_string(sockets.size()) +
           " fds=" + std::to_string(open_descriptors()) + " lost=" + std::to_string(lost_peers);
  }
  if (line == "peers") return ask_peers();
  if (line == "talk") return talk();
  if (line == "drop") {
    kits.clear();
    return "ok";
  }
  if (line.starts_with("setting ")) return "ok " + settings.text(line.substr(8), "none");
  if (line.starts_with("kits ")) {
    const auto count = static_cast<std::uint32_t>(std::stoul(line.substr(5)));
    Envelope request;
    request.mutable_kit_request()->set_count(count);
    const std::size_t before = kits.size();
    static_cast<void>(control_link.send(request));
    return wait_for_kits(before + count) ? "ok" : "no kits";
  }
  return "unknown";
}

Fd listen_for_test() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = directory + "/" + role + ".sock";
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  unlink(path.c_str());
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd.get(), 4) != 0) _exit(9);
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  signal(SIGPIPE, SIG_IGN);
  role = argv[1];
  directory = argv[2];
  struct stat broken {};
  if (stat((directory + "/" + role + ".broken").c_str(), &broken) == 0) return 3;
  const Fd listening = listen_for_test();
  while (!end_at_once) {
    std::vector<pollfd> waiting{{control_link.native(), POLLIN, 0}, {listening.get(), POLLIN, 0}};
    for (const Attached& attached : links) waiting.push_back({attached.link.native(), POLLIN, 0});
    poll(waiting.data(), waiting.size(), 1000);
    for (;;) {
      auto received = control_link.receive();
      if (!received) {
        note_end();
        return 0;  // the keeper is gone
      }
      if (!*received) break;
      on_control(std::move(**received));
    }
    for (auto attached = links.begin(); attached != links.end();) {
      if (serve_link(*attached)) {
        ++attached;
        continue;
      }
      if (attached->peer != sallyport::control::PEER_SESSION) ++lost_peers;
      attached = links.erase(attached);
    }
    if ((waiting[1].revents & POLLIN) != 0) {
      const Fd asking(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
      char line[256] = {};
      if (read(asking.get(), line, sizeof line - 1) <= 0) continue;
      const std::string answer = answer_test(line);
      if (write(asking.get(), answer.data(), answer.size()) < 0) continue;
    }
  }
  return 0;
}
