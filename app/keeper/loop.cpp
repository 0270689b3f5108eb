#include "app/keeper/loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sallyport::app {
namespace {

std::string errno_text(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

/// The generation keeps an event of a closed descriptor from reaching the watcher of a new one with the same number.
std::uint64_t tag_of(int fd, std::uint32_t generation) {
  return (static_cast<std::uint64_t>(generation) << 32) | static_cast<std::uint32_t>(fd);
}

}  // namespace

Result<Loop> Loop::make() {
  Loop loop;
  loop.epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!loop.epoll_) return fail(Errc::internal, errno_text("epoll_create1"));
  return loop;
}

Result<void> Loop::watch(int fd, std::uint32_t events, Ready ready) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag_of(fd, ++last_generation_);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail(Errc::internal, errno_text("epoll_ctl"));
  watchers_[fd] = Watcher{last_generation_, std::move(ready)};
  return {};
}

Result<void> Loop::change(int fd, std::uint32_t events) {
  const auto found = watchers_.find(fd);
  if (found == watchers_.end()) return fail(Errc::internal, "descriptor is not watched");
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag_of(fd, found->second.generation);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) return fail(Errc::internal, errno_text("epoll_ctl"));
  return {};
}

void Loop::forget(int fd) {
  if (watchers_.erase(fd) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Loop::TimerId Loop::after(std::chrono::milliseconds delay, std::function<void()> due) {
  timers_.emplace(Steady::now() + delay, Timer{++last_timer_, std::move(due)});
  return last_timer_;
}

void Loop::cancel(TimerId timer) {
  std::erase_if(timers_, [timer](const auto& entry) { return entry.second.id == timer; });
}

int Loop::next_timeout() const {
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Steady::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
}

void Loop::run_due_timers() {
  while (!timers_.empty() && timers_.begin()->first <= Steady::now() && !stopped_) {
    auto due = std::move(timers_.begin()->second.due);
    timers_.erase(timers_.begin());
    due();
  }
}

Result<void> Loop::run() {
  std::array<epoll_event, 128> events{};
  stopped_ = false;
  while (!stopped_) {
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), next_timeout());
    if (count < 0 && errno != EINTR) return fail(Errc::internal, errno_text("epoll_wait"));
    for (int i = 0; i < count && !stopped_; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const auto found = watchers_.find(static_cast<int>(event.data.u64 & 0xffffffffU));
      if (found == watchers_.end() || found->second.generation != static_cast<std::uint32_t>(event.data.u64 >> 32)) continue;
      const Ready ready = found->second.ready;  // a copy: the callback may forget itself
      ready(event.events);
    }
    run_due_timers();
  }
  return {};
}

}  // namespace sallyport::app
