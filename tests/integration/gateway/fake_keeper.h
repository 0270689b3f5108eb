// tests/integration/gateway/fake_keeper.h -- plays the keeper and the authority for one real listener process.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "platform/control/link.h"
#include "platform/os/fd.h"

namespace sallyport::tests {

/// A client's TCP connection with a deadline on every read.
class Client {
 public:
  explicit Client(Fd socket) : socket_(std::move(socket)) {}
  /// From a chosen loopback address, so that many sources are easy.
  [[nodiscard]] static Client connect(const std::string& from, std::uint16_t port);
  [[nodiscard]] static Client connect6(std::uint16_t port);

  void send(const std::string& bytes) const;
  /// The next line without its end; nothing when the peer closed, or at the deadline.
  [[nodiscard]] std::optional<std::string> line(std::chrono::milliseconds deadline = std::chrono::milliseconds(5000));
  /// True when the peer closes within the time; what it says before is skipped.
  [[nodiscard]] bool is_closed_within(std::chrono::milliseconds deadline);
  [[nodiscard]] int native() const { return socket_.get(); }
  void close() { socket_.reset(); }

 private:
  Fd socket_;
  std::string pending_;
};

/// What HELLO said.
struct Hello {
  std::string session, peer, port, outer, target;
};
[[nodiscard]] std::optional<Hello> hello(Client& client,
                                         std::chrono::milliseconds deadline = std::chrono::milliseconds(5000));

class FakeKeeper {
 public:
  struct Options {
    std::map<std::string, std::string> settings;  ///< on top of a host key
    std::vector<std::string> arguments;
    bool give_kits = true;
    bool give_authority = true;
    bool dual_stack = false;
    std::chrono::milliseconds kit_pause{0};  ///< before each kit
  };
  FakeKeeper() : FakeKeeper(Options{}) {}
  explicit FakeKeeper(Options options);
  ~FakeKeeper();
  FakeKeeper(const FakeKeeper&) = delete;
  FakeKeeper& operator=(const FakeKeeper&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] Client connect(const std::string& from = "127.0.0.1") const { return Client::connect(from, port_); }

  void send_settings(const std::map<std::string, std::string>& settings);
  void give_kits(bool yes);
  void attach_authority();
  void close_authority();
  void close_keeper();
  void shut_down(std::chrono::milliseconds grace);
  void prove(const std::string& session);
  void kill_session(const std::string& session);
  void penalise(const std::string& source, std::chrono::milliseconds delay);
  /// The reply's SessionStarted or Failure; nothing at the deadline.
  [[nodiscard]] std::optional<control::Envelope> spawn_inner(const std::string& outer, const std::string& target,
                                                             const Fd& connection);

  [[nodiscard]] std::optional<control::SessionStarted> started(const std::string& session);
  [[nodiscard]] std::optional<control::SessionExited> exited(const std::string& session);
  /// A notice that contains `text` came, or comes within 5 s.
  [[nodiscard]] bool noted(const std::string& text);
  [[nodiscard]] std::size_t kits_made();
  [[nodiscard]] std::vector<std::string> discarded();
  /// Exit status of the listener, or nothing at the deadline.
  [[nodiscard]] std::optional<int> ended_within(std::chrono::milliseconds deadline);

 private:
  void start_process(const std::vector<std::string>& arguments);
  void open_socket(bool dual_stack);
  void run();
  void on_keeper_message(const control::Received& received);
  void make_kits(std::uint32_t count);
  bool wait_for(std::chrono::milliseconds deadline, const std::function<bool()>& come);

  std::mutex mutex_;
  std::condition_variable news_;
  control::Link keeper_;
  control::Link authority_;
  Fd listening_;
  Fd wake_;
  std::thread thread_;
  bool stop_ = false;
  bool give_kits_ = true;
  std::chrono::milliseconds kit_pause_{0};
  bool ready_ = false;
  std::uint64_t last_call_ = 0;
  std::map<std::string, control::SessionStarted> started_;
  std::map<std::string, control::SessionExited> exited_;
  std::map<std::uint64_t, control::Envelope> replies_;
  std::vector<std::string> notices_;
  std::vector<std::string> discarded_;
  std::map<std::string, std::vector<Fd>> service_ends_;
  std::size_t kits_made_ = 0;
  std::uint16_t port_ = 0;
  pid_t pid_ = -1;
  bool reaped_ = false;
};

}  // namespace sallyport::tests
