#include "gateway/ssh/authority_client.h"

#include <unistd.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_most_backlog = 4096;  // more than the refusals of both sides, each of which is told
constexpr std::size_t k_most_backlog_bytes = 1 << 20;
constexpr std::chrono::milliseconds k_retry{20};
constexpr std::chrono::milliseconds k_soon{100};
constexpr std::size_t k_most_held = 16;
constexpr std::chrono::seconds k_patient{660};  // the authority ends a wait after ten minutes

}  // namespace

AuthorityClient::AuthorityClient(boost::asio::io_context& io, Fd link)
    : io_(io), link_(std::move(link)), ready_(io, ::dup(link_.native())), deadline_(io), retry_(io), later_(io) {}

void AuthorityClient::start(Unasked unasked, Lost lost) {
  unasked_ = std::move(unasked);
  lost_ = std::move(lost);
  wait();
}

void AuthorityClient::wait() {
  ready_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (!error) on_readable();
  });
}

void AuthorityClient::on_readable() {
  for (;;) {
    auto received = link_.receive();
    if (!received) {
      lose();
      return;
    }
    if (!*received) break;
    control::Received message = std::move(**received);
    if (message.envelope.has_resume()) {
      for (auto& [call, pending] : pending_) send(pending.question);
      continue;
    }
    if (!message.envelope.reply()) {
      if (unasked_) unasked_(std::move(message));
      continue;
    }
    const auto found = pending_.find(message.envelope.call());
    if (found == pending_.end()) continue;  // answered twice around a restart
    Answer answer = std::move(found->second.answer);
    pending_.erase(found);
    if (message.envelope.has_failure()) {
      answer(tl::unexpected(control::error_of(message.envelope.failure())));
    } else {
      answer(std::move(message));
    }
  }
  arm_deadline();
  wait();
}

void AuthorityClient::ask(control::Envelope question, std::chrono::milliseconds deadline, Answer answer) {
  const std::uint64_t call = link_.next_call();
  question.set_call(call);
  send(question);
  pending_.emplace(call, Pending{std::move(question), std::move(answer), std::chrono::steady_clock::now() + deadline});
  arm_deadline();
}

boost::asio::awaitable<Result<control::Received>> AuthorityClient::call(control::Envelope question,
                                                                        std::chrono::milliseconds deadline) {
  struct Waiting {
    explicit Waiting(boost::asio::io_context& io) : timer(io, std::chrono::steady_clock::time_point::max()) {}
    boost::asio::steady_timer timer;
    std::optional<Result<control::Received>> answer;
  };
  auto waiting = std::make_shared<Waiting>(io_);
  ask(std::move(question), deadline, [waiting](Result<control::Received> answer) {
    waiting->answer = std::move(answer);
    waiting->timer.cancel();
  });
  while (!waiting->answer) {
    boost::system::error_code ignored;
    co_await waiting->timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
  co_return std::move(*waiting->answer);
}

void AuthorityClient::be_patient() {
  const auto until = std::chrono::steady_clock::now() + k_patient;
  for (auto& [call, pending] : pending_) pending.deadline = std::max(pending.deadline, until);
  arm_deadline();
}

void AuthorityClient::tell(control::Envelope statement) { send(std::move(statement)); }

void AuthorityClient::tell_soon(control::Envelope statement) {
  held_.push_back(std::move(statement));
  if (held_.size() >= k_most_held) return flush();
  if (held_.size() > 1) return;
  later_.expires_after(k_soon);
  later_.async_wait([this](const boost::system::error_code& error) {
    if (!error) flush();
  });
}

void AuthorityClient::flush() {
  for (control::Envelope& statement : std::exchange(held_, {})) send_now(std::move(statement));
}

void AuthorityClient::send(control::Envelope envelope) {
  flush();
  send_now(std::move(envelope));
}

void AuthorityClient::send_now(control::Envelope envelope) {
  if (is_lost_) return;
  if (backlog_.empty()) {
    auto sent = link_.send(envelope);
    if (sent) return;
    if (sent.error().code != Errc::unavailable) {
      lose();
      return;
    }
  }
  backlog_bytes_ += envelope.ByteSizeLong();
  if (backlog_.size() >= k_most_backlog || backlog_bytes_ > k_most_backlog_bytes) {
    lose();
    return;
  }
  backlog_.push_back(std::move(envelope));
  if (backlog_.size() == 1) {
    retry_.expires_after(k_retry);
    retry_.async_wait([this](const boost::system::error_code& error) {
      if (!error) flush_backlog();
    });
  }
}

void AuthorityClient::flush_backlog() {
  while (!backlog_.empty()) {
    auto sent = link_.send(backlog_.front());
    if (!sent) {
      if (sent.error().code != Errc::unavailable) {
        lose();
        return;
      }
      retry_.expires_after(k_retry);
      retry_.async_wait([this](const boost::system::error_code& error) {
        if (!error) flush_backlog();
      });
      return;
    }
    backlog_bytes_ -= backlog_.front().ByteSizeLong();
    backlog_.pop_front();
  }
}

void AuthorityClient::arm_deadline() {
  if (pending_.empty()) {
    deadline_.cancel();
    return;
  }
  auto first = std::chrono::steady_clock::time_point::max();
  for (const auto& [call, pending] : pending_) first = std::min(first, pending.deadline);
  if (deadline_.expiry() == first) return;
  deadline_.expires_at(first);
  deadline_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const auto now = std::chrono::steady_clock::now();
    for (auto at = pending_.begin(); at != pending_.end();) {
      if (at->second.deadline > now) {
        ++at;
        continue;
      }
      Answer answer = std::move(at->second.answer);
      at = pending_.erase(at);
      answer(fail(Errc::unavailable, "the authority did not answer in time"));
      at = pending_.begin();  // the handler may have asked again
    }
    arm_deadline();
  });
}

void AuthorityClient::lose() {
  if (is_lost_) return;
  is_lost_ = true;
  auto pending = std::exchange(pending_, {});
  for (auto& [call, question] : pending) question.answer(fail(Errc::cancelled, "the authority is gone"));
  if (lost_) lost_();
}

}  // namespace sallyport::gateway
