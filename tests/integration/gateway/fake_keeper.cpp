#include "fake_keeper.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <sstream>

namespace sallyport::tests {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr std::size_t k_ring_bytes = 8192;

int left(Steady::time_point until) {
  return static_cast<int>(std::max<std::int64_t>(0, std::chrono::ceil<milliseconds>(until - Steady::now()).count()));
}

Fd connected(int family, const sockaddr* from, const sockaddr* to, socklen_t size) {
  Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(socket);
  if (from != nullptr) REQUIRE(::bind(socket.get(), from, size) == 0);
  REQUIRE(::connect(socket.get(), to, size) == 0);
  return socket;
}

}  // namespace

Client Client::connect(const std::string& from, std::uint16_t port) {
  sockaddr_in source{};
  source.sin_family = AF_INET;
  inet_pton(AF_INET, from.c_str(), &source.sin_addr);
  sockaddr_in to = source;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return Client(connected(AF_INET, reinterpret_cast<sockaddr*>(&source), reinterpret_cast<sockaddr*>(&to), sizeof to));
}

Client Client::connect6(std::uint16_t port) {
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_addr = in6addr_loopback;
  to.sin6_port = htons(port);
  return Client(connected(AF_INET6, nullptr, reinterpret_cast<sockaddr*>(&to), sizeof to));
}

void Client::send(const std::string& bytes) const {
  static_cast<void>(::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == 0);
}

std::optional<std::string> Client::line(milliseconds deadline) {
  const auto until = Steady::now() + deadline;
  for (;;) {
    const std::size_t end = pending_.find('\n');
    if (end != std::string::npos) {
      std::string one = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return one;
    }
    pollfd asked{socket_.get(), POLLIN, 0};
    if (::poll(&asked, 1, left(until)) <= 0) return std::nullopt;
    std::array<char, 512> bytes;
    const ssize_t n = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (n <= 0) return std::nullopt;
    pending_.append(bytes.data(), static_cast<std::size_t>(n));
  }
}

bool Client::is_closed_within(milliseconds deadline) {
  const auto until = Steady::now() + deadline;
  for (;;) {
    pollfd asked{socket_.get(), POLLIN, 0};
    if (::poll(&asked, 1, left(until)) <= 0) return false;
    std::array<char, 512> bytes;
    if (::recv(socket_.get(), bytes.data(), bytes.size(), 0) <= 0) return true;
  }
}

std::optional<Hello> hello(Client& client, milliseconds deadline) {
  const auto line = client.line(deadline);
  if (!line || !line->starts_with("HELLO ")) return std::nullopt;
  std::array<std::string, 5> parts;
  std::stringstream text(line->substr(6));
  for (std::string& part : parts) std::getline(text, part, '|');
  return Hello{parts[0], parts[1], parts[2], parts[3], parts[4]};
}

FakeKeeper::FakeKeeper(Options options) : wake_(eventfd(0, EFD_CLOEXEC)), give_kits_(options.give_kits), kit_pause_(options.kit_pause) {
  open_socket(options.dual_stack);
  start_process(options.arguments);
  send_settings(options.settings);
  if (options.give_authority) attach_authority();
  control::Envelope sockets;
  sockets.mutable_listen_sockets()->add_addresses("127.0.0.1:" + std::to_string(port_));
  sockets.mutable_listen_sockets()->add_proxy_protocol(false);
  const std::array descriptors{listening_.get()};
  REQUIRE(keeper_.send(std::move(sockets), descriptors));
  thread_ = std::thread([this] { run(); });
  if (options.give_authority) REQUIRE(wait_for(milliseconds(10'000), [this] { return ready_; }));
}

FakeKeeper::~FakeKeeper() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    eventfd_write(wake_.get(), 1);
  }
  thread_.join();
  if (reaped_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void FakeKeeper::open_socket(bool dual_stack) {
  listening_ = Fd(::socket(dual_stack ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_storage address{};
  socklen_t size = 0;
  if (dual_stack) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    v6.sin6_family = AF_INET6;
    size = sizeof v6;
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_ANY);
    size = sizeof v4;
  }
  REQUIRE(::bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(listening_.get(), 4096) == 0);
  size = sizeof address;
  getsockname(listening_.get(), reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(dual_stack ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                           : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

void FakeKeeper::start_process(const std::vector<std::string>& arguments) {
  auto pair = control::Link::make_pair();
  REQUIRE(pair);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(pair->second.get(), 3);
    fcntl(3, F_SETFD, 0);
    std::vector<std::string> texts{LISTENER_HOST};
    texts.insert(texts.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& text : texts) argv.push_back(text.data());
    argv.push_back(nullptr);
    execv(LISTENER_HOST, argv.data());
    _exit(127);
  }
  keeper_ = control::Link(std::move(pair->first));
}

void FakeKeeper::send_settings(const std::map<std::string, std::string>& settings) {
  std::string lines = "host_keys: AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n";
  for (const auto& [key, value] : settings) lines += key + ": " + value + "\n";
  control::Envelope envelope;
  envelope.mutable_reload()->set_config_yaml(lines);
  const std::lock_guard lock(mutex_);
  REQUIRE(keeper_.send(std::move(envelope)));
}

void FakeKeeper::attach_authority() {
  auto pair = control::Link::make_pair();
  REQUIRE(pair);
  control::Envelope envelope;
  envelope.mutable_attach()->set_peer(control::PEER_AUTHORITY);
  const std::array descriptors{pair->second.get()};
  const std::lock_guard lock(mutex_);
  REQUIRE(keeper_.send(std::move(envelope), descriptors));
  authority_ = control::Link(std::move(pair->first));
  eventfd_write(wake_.get(), 1);
}

void FakeKeeper::close_authority() {
  const std::lock_guard lock(mutex_);
  authority_.close();
}

void FakeKeeper::close_keeper() {
  const std::lock_guard lock(mutex_);
  keeper_.close();
}

void FakeKeeper::give_kits(bool yes) {
  const std::lock_guard lock(mutex_);
  give_kits_ = yes;
}

void FakeKeeper::shut_down(milliseconds grace) {
  control::Envelope envelope;
  envelope.mutable_shutdown()->set_grace_ms(static_cast<std::uint32_t>(grace.count()));
  const std::lock_guard lock(mutex_);
  REQUIRE(keeper_.send(std::move(envelope)));
}

void FakeKeeper::prove(const std::string& session) {
  control::Envelope envelope;
  envelope.mutable_session_proven()->set_session(session);
  const std::lock_guard lock(mutex_);
  REQUIRE(authority_.send(std::move(envelope)));
}

void FakeKeeper::kill_session(const std::string& session) {
  control::Envelope envelope;
  envelope.mutable_kill_session()->set_session(session);
  const std::lock_guard lock(mutex_);
  REQUIRE(authority_.send(std::move(envelope)));
}

void FakeKeeper::penalise(const std::string& source, milliseconds delay) {
  control::Envelope envelope;
  envelope.mutable_source_penalty()->set_source(source);
  envelope.mutable_source_penalty()->set_delay_ms(static_cast<std::uint32_t>(delay.count()));
  const std::lock_guard lock(mutex_);
  REQUIRE(authority_.send(std::move(envelope)));
}

std::optional<control::Envelope> FakeKeeper::spawn_inner(const std::string& outer, const std::string& target,
                                                         const Fd& connection) {
  control::Envelope envelope;
  std::uint64_t call = 0;
  {
    const std::lock_guard lock(mutex_);
    call = ++last_call_;
    envelope.set_call(call);
    envelope.mutable_spawn_inner()->set_outer_session(outer);
    envelope.mutable_spawn_inner()->set_target(target);
    envelope.mutable_spawn_inner()->set_port(22);
    const std::array descriptors{connection.get()};
    REQUIRE(authority_.send(std::move(envelope), descriptors));
  }
  if (!wait_for(milliseconds(5000), [&] { return replies_.contains(call); })) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return replies_.at(call);
}

bool FakeKeeper::wait_for(milliseconds deadline, const std::function<bool()>& come) {
  std::unique_lock lock(mutex_);
  return news_.wait_for(lock, deadline, come);
}

std::optional<control::SessionStarted> FakeKeeper::started(const std::string& session) {
  if (!wait_for(milliseconds(5000), [&] { return started_.contains(session); })) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return started_.at(session);
}

std::optional<control::SessionExited> FakeKeeper::exited(const std::string& session) {
  if (!wait_for(milliseconds(8000), [&] { return exited_.contains(session); })) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return exited_.at(session);
}

bool FakeKeeper::noted(const std::string& text) {
  return wait_for(milliseconds(5000), [&] {
    return std::any_of(notices_.begin(), notices_.end(),
                       [&](const std::string& notice) { return notice.find(text) != std::string::npos; });
  });
}

std::size_t FakeKeeper::kits_made() {
  const std::lock_guard lock(mutex_);
  return kits_made_;
}

std::vector<std::string> FakeKeeper::discarded() {
  const std::lock_guard lock(mutex_);
  return discarded_;
}

std::optional<int> FakeKeeper::ended_within(milliseconds deadline) {
  const auto until = Steady::now() + deadline;
  while (Steady::now() < until) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      reaped_ = true;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
    }
    ::poll(nullptr, 0, 10);
  }
  return std::nullopt;
}

void FakeKeeper::make_kits(std::uint32_t count) {
  for (std::uint32_t i = 0; i < count && give_kits_; ++i) {
    std::this_thread::sleep_for(kit_pause_);
    char label[27];
    std::snprintf(label, sizeof label, "01KIT%021zu", ++kits_made_);
    std::vector<Fd> mine;
    std::vector<Fd> theirs;
    for (int link = 0; link < 3; ++link) {
      auto pair = control::Link::make_pair();
      if (!pair) return;
      mine.push_back(std::move(pair->first));
      theirs.push_back(std::move(pair->second));
    }
    Fd ring(memfd_create("ring", MFD_CLOEXEC));
    if (ftruncate(ring.get(), k_ring_bytes) != 0) return;
    const std::array descriptors{theirs[0].get(), theirs[1].get(), theirs[2].get(), ring.get()};
    control::Envelope envelope;
    envelope.mutable_session_kit()->set_session(label);
    envelope.mutable_session_kit()->set_ring_bytes(k_ring_bytes);
    for (int tries = 0; tries < 100 && !keeper_.send(envelope, descriptors); ++tries) ::poll(nullptr, 0, 5);
    mine.push_back(std::move(ring));
    service_ends_.emplace(label, std::move(mine));
  }
}

void FakeKeeper::on_keeper_message(const control::Received& received) {
  const control::Envelope& envelope = received.envelope;
  if (envelope.has_ready()) ready_ = true;
  if (envelope.has_kit_request()) make_kits(envelope.kit_request().count());
  if (envelope.has_notice()) notices_.push_back(envelope.notice().text());
  if (envelope.has_discard_kit()) discarded_.push_back(envelope.discard_kit().session());
}

void FakeKeeper::run() {
  for (;;) {
    std::array<pollfd, 3> asked{};
    {
      const std::lock_guard lock(mutex_);
      if (stop_) return;
      asked = {pollfd{wake_.get(), POLLIN, 0}, pollfd{keeper_.is_open() ? keeper_.native() : -1, POLLIN, 0},
               pollfd{authority_.is_open() ? authority_.native() : -1, POLLIN, 0}};
    }
    ::poll(asked.data(), asked.size(), 100);
    const std::lock_guard lock(mutex_);
    eventfd_t value = 0;
    if (asked[0].revents != 0) eventfd_read(wake_.get(), &value);
    while (keeper_.is_open()) {
      auto received = keeper_.receive();
      if (!received) keeper_.close();
      if (!received || !*received) break;
      on_keeper_message(**received);
    }
    while (authority_.is_open()) {
      auto received = authority_.receive();
      if (!received) authority_.close();
      if (!received || !*received) break;
      const control::Envelope& envelope = (*received)->envelope;
      if (envelope.has_session_started()) started_[envelope.session_started().session()] = envelope.session_started();
      if (envelope.has_session_exited()) exited_[envelope.session_exited().session()] = envelope.session_exited();
      if (envelope.reply()) replies_[envelope.call()] = envelope;
    }
    news_.notify_all();
  }
}

}  // namespace sallyport::tests
