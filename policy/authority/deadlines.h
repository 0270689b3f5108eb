// policy/authority/deadlines.h -- all the moments at which the authority has to do something, on one timer.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "platform/model/clock.h"

namespace boost::asio {
class io_context;
}

namespace sallyport::authority {

/// Measured by the boot clock: a step of the wall clock moves nothing. One thread. Callbacks may add and cancel.
class Deadlines {
 public:
  using Handle = std::uint64_t;  ///< 0 is none

  Deadlines(boost::asio::io_context& io, const Clock& clock);
  ~Deadlines();
  Deadlines(const Deadlines&) = delete;
  Deadlines& operator=(const Deadlines&) = delete;

  Handle after(std::chrono::microseconds delay, std::function<void()> due);
  Handle at(BootTime moment, std::function<void()> due);
  /// Cancelling one that is over, or none, does nothing. Sets the handle to none.
  void cancel(Handle& handle);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sallyport::authority
