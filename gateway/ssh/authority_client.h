// gateway/ssh/authority_client.h -- a session's questions to the authority, without blocking the session.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "platform/control/link.h"

namespace sallyport::gateway {

constexpr std::chrono::milliseconds k_patient_deadline{660'000};  ///< of a question for which a person may be asked

/// Sends Envelopes over the control link and hands each answer to whoever asked. After a restart of the authority
/// (Resume) every question without an answer is asked again under its old number. A question nobody answers within its
/// deadline fails with Errc::unavailable. One thread; handlers run on the loop.
class AuthorityClient {
 public:
  using Answer = std::function<void(Result<control::Received>)>;
  using Unasked = std::function<void(control::Received)>;
  using Lost = std::function<void()>;

  AuthorityClient(boost::asio::io_context& io, Fd link);

  void start(Unasked unasked, Lost lost);
  void ask(control::Envelope question, std::chrono::milliseconds deadline, Answer answer);
  /// As ask(), for a coroutine.
  boost::asio::awaitable<Result<control::Received>> call(control::Envelope question, std::chrono::milliseconds deadline);
  /// Every question that is open may take as long as a person needs.
  void be_patient();
  /// A statement; lost statements (the authority's queue full for long) end the session through `lost`.
  void tell(control::Envelope statement);
  /// A statement that nothing waits for: it goes in front of the next message, after a tenth of a second, or with flush().
  /// Each message wakes a process.
  void tell_soon(control::Envelope statement);
  void flush();

 private:
  struct Pending {
    control::Envelope question;
    Answer answer;
    std::chrono::steady_clock::time_point deadline;
  };

  void wait();
  void on_readable();
  void send(control::Envelope envelope);
  void send_now(control::Envelope envelope);
  void flush_backlog();
  void arm_deadline();
  void lose();

  boost::asio::io_context& io_;
  control::Link link_;
  boost::asio::posix::stream_descriptor ready_;  // a duplicate, for waiting only
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer retry_;
  boost::asio::steady_timer later_;
  Unasked unasked_;
  Lost lost_;
  std::map<std::uint64_t, Pending> pending_;
  std::vector<control::Envelope> held_;    // of tell_soon()
  std::deque<control::Envelope> backlog_;  // did not fit the socket; bounded
  std::size_t backlog_bytes_ = 0;
  bool is_lost_ = false;
};

}  // namespace sallyport::gateway
