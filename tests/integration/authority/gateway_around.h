// A keeper, a vault, a recorder, a listener and session processes around a real authority process. The fakes do what the
// real ones promise, and can be told to be slow, silent or full.
#pragma once

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "platform/control/link.h"
#include "platform/crypto/ssh_private_key.h"
#include "platform/model/json_text.h"

namespace sallyport::test {

using namespace std::chrono_literals;
using control::Envelope;

/// Waits until `holds` does, or until the time is over. No test sleeps otherwise.
template <class Holds>
bool eventually(Holds holds, std::chrono::milliseconds time = 5s) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) {
    if (holds()) return true;
    std::this_thread::sleep_for(5ms);
  }
  return holds();
}

struct Event {
  std::string name;
  std::string session;
  JsonFields fields;
  std::string json;
};

/// One end of a link that answers on a thread of its own.
class Fake {
 public:
  virtual ~Fake() = default;
  void serve(Fd end);
  void stop();
  void say(Envelope envelope);

 protected:
  virtual void on(control::Link& link, control::Received received) = 0;

 private:
  void run();
  std::mutex mutex_;
  control::Link link_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
};

class FakeRecorder final : public Fake {
 public:
  std::atomic<bool> silent{false};   ///< takes events, answers nothing
  std::atomic<bool> healthy{true};
  std::vector<Event> events();
  /// The newest event of that name, of that session where one is given.
  std::optional<Event> find(std::string_view name, std::string_view session = {});
  bool wait_for(std::string_view name, std::string_view session = {}, std::chrono::milliseconds time = 5s);
  std::size_t count(std::string_view name);

 private:
  void on(control::Link& link, control::Received received) override;
  std::mutex events_mutex_;
  std::vector<Event> events_;
};

class FakeVault final : public Fake {
 public:
  std::atomic<bool> sealed{false};
  std::atomic<std::int64_t> totp_step{100};  ///< the code "123456" is right and belongs to this step
  std::vector<control::SignCertificate> signed_certificates();
  std::vector<std::string> ended_leases();

 private:
  void on(control::Link& link, control::Received received) override;
  std::mutex mutex_;
  std::vector<control::SignCertificate> certificates_;
  std::vector<std::string> ended_;
};

class FakeListener final : public Fake {
 public:
  std::vector<std::string> proven();
  std::vector<std::string> killed();
  std::atomic<unsigned> penalties{0};
  /// Answers SpawnInner with a session of this label.
  void spawn_with(std::function<control::SessionStarted(const control::SpawnInner&)> start);

 private:
  void on(control::Link& link, control::Received received) override;
  std::mutex mutex_;
  std::function<control::SessionStarted(const control::SpawnInner&)> spawn_;
  std::vector<std::string> proven_;
  std::vector<std::string> killed_;
};

/// A port on loopback that accepts, or only listens with a full queue, or is closed.
class TcpTarget {
 public:
  TcpTarget();
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// A connection that arrived; invalid when none did within the time.
  [[nodiscard]] Fd accept(std::chrono::milliseconds time = 2s);

 private:
  Fd socket_;
  std::uint16_t port_ = 0;
};

/// One session process, as the tests play it.
struct SessionEnd {
  std::string label;
  std::string hash;  ///< session identifier
  control::Link link;

  [[nodiscard]] Result<control::Received> ask(Envelope question, std::chrono::milliseconds deadline = 5s);
  void tell(Envelope statement);
  /// The next message that is not an answer.
  [[nodiscard]] std::optional<control::Received> next(std::chrono::milliseconds time);
  [[nodiscard]] bool is_closed(std::chrono::milliseconds time);
};

class Gateway {
 public:
  explicit Gateway(const std::string& policy, std::map<std::string, std::string> settings = {});
  ~Gateway();

  /// A session that the listener has started. `outer`: it is the inner one of a jump.
  [[nodiscard]] SessionEnd start_session(const std::string& source = "127.0.0.1", const std::string& outer = {}, const std::string& inner_target = {});
  /// Only the kit: nobody has connected yet.
  [[nodiscard]] SessionEnd make_kit();
  void started(const SessionEnd& session, const std::string& source, const std::string& outer, const std::string& inner_target);
  /// What the keeper does for a session that ended.
  void exited(SessionEnd& session, int signal = 0);

  void kill_authority();   ///< kill -9
  void start_authority(bool again);
  [[nodiscard]] pid_t authority() const noexcept { return pid_; }

  /// An attempt with a right signature of `key`.
  [[nodiscard]] control::AuthAnswer log_in(SessionEnd& session, const std::string& user, const crypto::SshPrivateKey& key);
  [[nodiscard]] control::AuthAttempt signed_attempt(const SessionEnd& session, const std::string& user, const crypto::SshPrivateKey& key) const;
  [[nodiscard]] control::AuthAnswer attempt(SessionEnd& session, const control::AuthAttempt& attempt);
  [[nodiscard]] std::pair<control::TargetGrant, Fd> open_target(SessionEnd& session);
  [[nodiscard]] control::ChannelAnswer ask_channel(SessionEnd& session, std::uint32_t number, const std::string& kind, const std::string& command = {});

  /// Over the admin socket: status and body.
  [[nodiscard]] std::pair<unsigned, std::string> admin(const std::string& method, const std::string& target, const std::string& body = {});
  void apply(const std::string& policy);

  FakeRecorder recorder;
  FakeVault vault;
  FakeListener listener;
  std::filesystem::path folder;

 private:
  void attach(control::Peer peer, const Fd& end, const std::string& session, bool again);

  std::map<std::string, std::string> settings_;
  control::Link keeper_;
  Fd vault_end_, recorder_end_, listener_end_;  // the authority's ends, kept for its successor
  std::map<std::string, Fd> session_ends_;
  pid_t pid_ = -1;
};

/// The fleet of these tests: engineer (key), careful (two factors), target recs-1 at `port`.
[[nodiscard]] std::string fleet(std::uint16_t port, const std::string& channels = "shell, exec, sftp, jump",
                                const std::string& extra_target = "allow_networks: [loopback], ");
[[nodiscard]] const crypto::SshPrivateKey& engineer_key();
[[nodiscard]] const crypto::SshPrivateKey& stranger_key();

}  // namespace sallyport::test
