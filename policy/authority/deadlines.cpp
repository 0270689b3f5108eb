#include "policy/authority/deadlines.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

namespace sallyport::authority {

struct Deadlines::State {
  State(boost::asio::io_context& io, const Clock& clock_in) : clock(clock_in), timer(io) {}

  void arm() {
    if (entries.empty()) {
      timer.cancel();
      armed_for = BootTime::max();
      return;
    }
    const BootTime first = entries.begin()->first.first;
    if (first == armed_for) return;
    armed_for = first;
    timer.expires_after(std::max(first - clock.boot(), BootTime{0}));
    timer.async_wait([this](const boost::system::error_code& error) {
      if (!error) fire();
    });
  }

  void fire() {
    armed_for = BootTime::max();
    const BootTime now = clock.boot();
    while (!entries.empty() && entries.begin()->first.first <= now) {
      auto due = std::move(entries.begin()->second);
      moments.erase(entries.begin()->first.second);
      entries.erase(entries.begin());
      due();
    }
    arm();
  }

  const Clock& clock;
  boost::asio::steady_timer timer;
  BootTime armed_for = BootTime::max();
  std::map<std::pair<BootTime, Handle>, std::function<void()>> entries;
  std::unordered_map<Handle, BootTime> moments;
  Handle last = 0;
};

Deadlines::Deadlines(boost::asio::io_context& io, const Clock& clock) : state_(std::make_unique<State>(io, clock)) {}
Deadlines::~Deadlines() = default;

Deadlines::Handle Deadlines::after(std::chrono::microseconds delay, std::function<void()> due) {
  return at(state_->clock.boot() + delay, std::move(due));
}

Deadlines::Handle Deadlines::at(BootTime moment, std::function<void()> due) {
  const Handle handle = ++state_->last;
  state_->entries.emplace(std::pair{moment, handle}, std::move(due));
  state_->moments.emplace(handle, moment);
  state_->arm();
  return handle;
}

void Deadlines::cancel(Handle& handle) {
  const auto found = state_->moments.find(std::exchange(handle, 0));
  if (found == state_->moments.end()) return;
  state_->entries.erase({found->second, found->first});
  state_->moments.erase(found);
  // The timer may fire for nothing once; cheaper than arming it anew for every question that was answered in time.
}

}  // namespace sallyport::authority
