// gateway/ssh/wake.h -- how callbacks tell a coroutine that something happened.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace sallyport::gateway {

/// One waiter. A notify() before the wait is not lost.
/// Never write `a && co_await b`: g++ 12 awaits b even where a is false.
class Wake {
 public:
  explicit Wake(boost::asio::io_context& io) : timer_(io) {}

  void notify() {
    signalled_ = true;
    timer_.cancel();
  }

  /// True when notified, false when `until` is over, also where notice follows notice without a pause: who sends for ever is not
  /// waited for for ever.
  boost::asio::awaitable<bool> wait(std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max()) {
    if (!signalled_) {
      timer_.expires_at(until);
      boost::system::error_code ignored;
      co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
    const bool was = signalled_;
    signalled_ = false;
    co_return was && (until == std::chrono::steady_clock::time_point::max() || std::chrono::steady_clock::now() < until);
  }

 private:
  boost::asio::steady_timer timer_;
  bool signalled_ = false;
};

}  // namespace sallyport::gateway
