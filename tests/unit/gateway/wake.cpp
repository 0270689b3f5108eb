// A deadline holds whatever arrives, and a peer that has proven nothing sends so much and no more.
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>

#include "gateway/ssh/wake.h"
#include "platform/net/ssh_pump.h"

using namespace sallyport;

TEST_CASE("a wait ends at its time though notices never cease") {
  boost::asio::io_context io;
  gateway::Wake wake(io);
  bool over = false;
  std::function<void()> nag = [&] {
    if (over) return;
    wake.notify();
    boost::asio::post(io, nag);
  };
  boost::asio::post(io, nag);
  int woken = 0;
  boost::asio::co_spawn(
      io,
      [&]() -> boost::asio::awaitable<void> {
        const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
        while (co_await wake.wait(until)) ++woken;
        over = true;
      },
      boost::asio::detached);
  io.run_for(std::chrono::seconds(30));
  CHECK(over);
  CHECK(woken > 0);
}

TEST_CASE("a notice before the wait is not lost, with a time and without") {
  boost::asio::io_context io;
  gateway::Wake wake(io);
  bool first = false;
  bool second = false;
  boost::asio::co_spawn(
      io,
      [&]() -> boost::asio::awaitable<void> {
        wake.notify();
        first = co_await wake.wait();
        wake.notify();
        second = co_await wake.wait(std::chrono::steady_clock::now() + std::chrono::seconds(60));
      },
      boost::asio::detached);
  io.run_for(std::chrono::seconds(30));
  CHECK(first);
  CHECK(second);
}

namespace {

/// A client's leg whose server sends `text` once or for ever; runs until the leg is closed. Returns why.
struct Leg {
  explicit Leg(bool bounded) {
    int ends[2] = {-1, -1};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    peer = Fd(ends[1]);
    net::SshSessionHandle session(ssh_new());
    REQUIRE(ssh_session_use_external_io(session.get()) == SSH_OK);
    int off = 0;
    ssh_options_set(session.get(), SSH_OPTIONS_PROCESS_CONFIG, &off);
    ssh_options_set(session.get(), SSH_OPTIONS_HOST, "target");
    ssh_options_set(session.get(), SSH_OPTIONS_USER, "user");
    ssh_options_set(session.get(), SSH_OPTIONS_SSH_DIR, "/nonexistent");
    pump = std::make_unique<net::SshPump>(io, std::move(session), Fd(ends[0]));
    if (bounded) pump->bound_input({.bytes = 200'000, .greeting_bytes = 20'000, .greeting_lines = 100});
    REQUIRE(ssh_connect(pump->raw()) == SSH_AGAIN);
    pump->start([] {});
    io.run_for(std::chrono::milliseconds(20));
  }

  /// False when the leg was closed before all was taken.
  bool sends(const std::string& text) {
    std::size_t done = 0;
    while (done < text.size() && !pump->is_closed()) {
      const ssize_t sent = ::send(peer.get(), text.data() + done, std::min<std::size_t>(text.size() - done, 4096), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) done += static_cast<std::size_t>(sent);
      io.restart();
      io.run_for(std::chrono::milliseconds(1));
    }
    return done == text.size() && !pump->is_closed();
  }

  boost::asio::io_context io;
  Fd peer;
  std::unique_ptr<net::SshPump> pump;
};

std::string lines(int count, const std::string& line) {
  std::string out;
  for (int i = 0; i < count; ++i) out += line;
  return out;
}

const std::string k_version = "SSH-2.0-test\r\n";

/// A packet before the key exchange that may be ignored.
std::string ignore(std::size_t size) {
  std::string data(size - (size + 10) % 8, 'x');
  const auto number = [](std::size_t n) {
    return std::string{static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8), static_cast<char>(n)};
  };
  const std::string payload = std::string(1, 2) + number(data.size()) + data;
  std::size_t padding = 8 - (5 + payload.size()) % 8;
  if (padding < 4) padding += 8;
  return number(1 + payload.size() + padding) + static_cast<char>(padding) + payload + std::string(padding, '\0');
}

}  // namespace

TEST_CASE("lines before the version are counted") {
  Leg good(true);
  CHECK(good.sends(lines(100, "hello\r\n") + k_version));
  Leg many(true);
  CHECK_FALSE(many.sends(lines(10'000, "\n")));
  CHECK(many.pump->close_reason() == "too many lines came before the version of SSH");
  Leg big(true);
  CHECK_FALSE(big.sends(lines(98, std::string(250, 'a') + "\n") + lines(98, std::string(250, 'a') + "\n")));
  CHECK(big.pump->close_reason() == "too many lines came before the version of SSH");
  CHECK(big.pump->bytes_received() <= 20'000 + 16 * 1024);
  Leg free(false);
  CHECK(free.sends(lines(10'000, "\n") + k_version));
}

TEST_CASE("what comes before a login is bounded to the byte") {
  Leg leg(true);
  CHECK_FALSE(leg.sends(k_version + lines(100, ignore(30'000))));
  CHECK(leg.pump->close_reason() == "more than 200000 bytes came before the login");
  CHECK(leg.pump->bytes_received() == 200'001);
  Leg lifted(true);
  lifted.pump->lift_bounds();
  CHECK(lifted.sends(k_version + lines(20, ignore(30'000))));
}
