// gateway/ssh/session.h -- the parts of one session process and the order in which they come to life.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>

#include "gateway/ssh/authority_client.h"
#include "gateway/ssh/bare_session.h"
#include "gateway/ssh/relay.h"
#include "gateway/ssh/session_handover.h"
#include "gateway/ssh/tape.h"
#include "gateway/ssh/wake.h"
#include "platform/net/ssh_pump.h"

namespace sallyport::gateway {

/// key exchange -> login -> (recording opened, target dialled and logged in) -> relay -> end. One coroutine; callbacks of
/// the pumps, the authority and the tape only wake it or drive the relay.
class Session {
 public:
  explicit Session(SessionHandover handover);
  ~Session();

  int run();

 private:
  boost::asio::awaitable<void> serve();
  // client_login.cpp
  [[nodiscard]] Result<net::SshSessionHandle> make_server_session();
  boost::asio::awaitable<bool> exchange_keys();
  /// The vault does not sign: says why to a client that has no keys yet.
  void refuse_exchange(const Notice& notice);
  boost::asio::awaitable<std::optional<control::Identity>> log_in();
  boost::asio::awaitable<bool> answer_login_message(ssh_message message, std::optional<control::Identity>& identity);
  [[nodiscard]] Result<Bytes> sign_exchange_hash(std::string_view algorithm, std::span<const std::byte> hash);
  void disconnect_client(const std::string& text);
  // target_login.cpp
  boost::asio::awaitable<bool> reach_target();
  [[nodiscard]] Result<net::SshSessionHandle> make_client_session(const control::TargetGrant& grant);
  [[nodiscard]] Result<void> check_host_key(const control::TargetGrant& grant, std::span<const std::byte> offered) const;
  boost::asio::awaitable<Result<std::string>> log_in_at_target(const control::TargetGrant& grant);
  boost::asio::awaitable<int> drive_auth(std::function<int()> step);
  void tell_outcome(control::TargetOutcome::Step step, const std::string& detail, const std::string& credential = {});
  [[nodiscard]] std::string algorithms_of(ssh_session session) const;
  // session.cpp
  [[nodiscard]] bool open_recording();
  void on_authority(const control::Received& message);
  void watch();
  void on_time();
  void on_client_bytes();
  void keep_target_alive(std::int64_t now);
  [[nodiscard]] std::int64_t keepalive_us() const;
  [[nodiscard]] std::int64_t idle_since() const;
  void end(const Notice& notice);
  void finish(std::string reason);

  SessionHandover handover_;
  boost::asio::io_context io_{1};
  control::Link vault_;
  AuthorityClient authority_;
  Tape tape_;
  Wake wake_;
  std::unique_ptr<net::SshPump> client_;
  std::unique_ptr<net::SshPump> target_;
  std::unique_ptr<Relay> relay_;
  std::unique_ptr<BareSession> bare_;
  std::optional<std::uint32_t> chosen_channel_;  ///< the menu was answered on it
  boost::asio::steady_timer second_;
  control::Identity identity_;
  control::TargetGrant grant_;
  std::string over_;              ///< not empty: why the session is over
  std::optional<Notice> ending_;  ///< tell the people, then end
  Fd first_exchange_;             ///< the client's socket once more, until the first keys are agreed
  int exit_code_ = 0;

  // login
  bool proven_ = false;
  int refused_by_library_ = 0;
  std::vector<control::AuthAttempt> library_failures_;
  std::string asked_user_;        ///< of the newest request; an answer to prompts belongs to it
  Bytes last_request_;            ///< payload of the newest USERAUTH_REQUEST as it came

  // timing, microseconds of the boot clock
  std::int64_t started_us_ = 0;
  std::int64_t last_keepalive_us_ = 0;
  std::int64_t last_client_bytes_us_ = 0;
  int unanswered_keepalives_ = 0;
  std::int64_t target_heard_us_ = 0;          ///< when bytes of the target were last noticed
  std::int64_t last_target_keepalive_us_ = 0;
  std::uint64_t target_bytes_heard_ = 0;
  int unanswered_target_keepalives_ = 0;
  bool target_silent_ = false;
  bool host_key_told_ = false;  ///< CONNECTED was sent
  bool rested_ = false;

  ssh_key ephemeral_ = nullptr;
};

}  // namespace sallyport::gateway
