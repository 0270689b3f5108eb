// app/keeper/loop.h -- the keeper's one thread: an epoll loop with timers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <unordered_map>

#include "platform/model/result.h"
#include "platform/os/fd.h"

namespace sallyport::app {

using Steady = std::chrono::steady_clock;

/// Descriptors stay the caller's: forget() one before closing it. Callbacks may watch and forget anything, themselves included.
class Loop {
 public:
  using Ready = std::function<void(std::uint32_t events)>;
  using TimerId = std::uint64_t;

  [[nodiscard]] static Result<Loop> make();

  /// `events` as epoll(7); EPOLLHUP and EPOLLERR always come. Level triggered.
  Result<void> watch(int fd, std::uint32_t events, Ready ready);
  Result<void> change(int fd, std::uint32_t events);
  void forget(int fd);

  TimerId after(std::chrono::milliseconds delay, std::function<void()> due);
  void cancel(TimerId timer);

  /// Runs until stop().
  Result<void> run();
  void stop() noexcept { stopped_ = true; }
  [[nodiscard]] std::size_t watched() const noexcept { return watchers_.size(); }

 private:
  struct Watcher {
    std::uint32_t generation = 0;
    Ready ready;
  };
  struct Timer {
    TimerId id = 0;
    std::function<void()> due;
  };
  [[nodiscard]] int next_timeout() const;
  void run_due_timers();

  Fd epoll_;
  std::unordered_map<int, Watcher> watchers_;
  std::multimap<Steady::time_point, Timer> timers_;
  std::uint32_t last_generation_ = 0;
  TimerId last_timer_ = 0;
  bool stopped_ = false;
};

}  // namespace sallyport::app
