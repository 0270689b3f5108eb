#include "app/keeper/service.h"

#include <sys/epoll.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "platform/os/log.h"


namespace sallyport::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds k_beat = seconds(2);
constexpr milliseconds k_silence_when_ready = seconds(20);     ///< without a word for this long: it hangs
constexpr milliseconds k_silence_when_starting = seconds(60);
constexpr milliseconds k_first_pause{100};
constexpr milliseconds k_longest_pause = seconds(10);
constexpr milliseconds k_stable_after = seconds(60);           ///< having lived this long, a death starts the pauses anew
constexpr milliseconds k_kill_after_grace = seconds(5);
constexpr milliseconds k_end_after_link = seconds(2);          ///< to end after its control link closed

}  // namespace

Service::Service(Loop& loop, control::Peer peer, std::string name, Command command, Events events)
    : loop_(loop), peer_(peer), name_(std::move(name)), command_(std::move(command)), events_(std::move(events)) {}

Service::~Service() {
  for (const Loop::TimerId timer : {beat_timer_, deadline_timer_, restart_timer_}) loop_.cancel(timer);
  if (child_.pidfd) loop_.forget(child_.pidfd.get());
}

void Service::open_channel(Fd control) {
  channel_ = std::make_unique<Channel>(
      loop_, std::move(control), [this](control::Received received) { on_received(std::move(received)); },
      [this](const Error& error) {
        // Its end is seen at the pidfd. A process that lives on without a control link is of no use to anybody.
        if (state_ != State::stopping) os::log_line(os::LogEvent::service_link_lost, name_ + ": control link: " + error.detail);
        loop_.forget(channel_->native());
        if (state_ == State::stopping) return;
        loop_.cancel(deadline_timer_);
        deadline_timer_ = loop_.after(k_end_after_link, [this] { kill_now(); });
      });
}

void Service::watch_process() {
  const auto watched = loop_.watch(child_.pidfd.get(), EPOLLIN, [this](std::uint32_t) { on_process_end(); });
  if (!watched) os::log_line(os::LogEvent::service_start_failed, name_ + ": " + watched.error().detail);
  started_at_ = heard_at_ = Steady::now();
  loop_.cancel(beat_timer_);
  beat_timer_ = loop_.after(k_beat, [this] { beat(); });
}

void Service::start() {
  restart_timer_ = 0;
  auto pair = control::Link::make_pair();
  if (!pair) {
    os::log_line(os::LogEvent::service_link_failed, name_ + ": " + pair.error().detail);
    return pause_and_restart();
  }
  auto child = start_process(command_, std::move(pair->second));
  if (!child) {
    os::log_line(os::LogEvent::service_start_failed, name_ + ": " + child.error().detail);
    return pause_and_restart();
  }
  child_ = std::move(*child);
  state_ = State::starting;
  open_channel(std::move(pair->first));
  watch_process();
  os::log_line(os::LogEvent::service_started, name_ + ": started, process " + std::to_string(child_.pid));
  events_.started(*this);
}

Result<void> Service::adopt(pid_t pid, Fd control, bool was_ready, unsigned restarts) {
  auto child = adopt_process(pid);
  if (!child) return tl::unexpected(child.error());
  child_ = std::move(*child);
  restarts_ = restarts;
  state_ = was_ready ? State::ready : State::starting;
  open_channel(std::move(control));
  watch_process();
  return {};
}

void Service::send(control::Envelope envelope, std::span<const int> descriptors) {
  if (channel_) channel_->send(std::move(envelope), descriptors);
}

void Service::beat() {
  const auto silence = Steady::now() - heard_at_;
  if (state_ == State::ready || state_ == State::starting) {
    if (silence > (state_ == State::ready ? k_silence_when_ready : k_silence_when_starting)) {
      os::log_line(os::LogEvent::service_hung, name_ + ": does not answer, killed");
      kill_now();
    } else {
      control::Envelope ping;
      ping.mutable_ping();
      if (channel_ && channel_->waiting() == 0) channel_->send(std::move(ping));
    }
  }
  beat_timer_ = loop_.after(k_beat, [this] { beat(); });
}

void Service::on_received(control::Received received) {
  heard_at_ = Steady::now();
  if (received.envelope.has_ready()) {
    if (state_ != State::starting) return;
    state_ = State::ready;
    events_.became_ready(*this);
    return;
  }
  events_.message(*this, std::move(received));
}

void Service::on_process_end() {
  const auto ended = reap(child_.pid);
  if (!ended) return;
  loop_.forget(child_.pidfd.get());
  child_ = Child{};
  channel_.reset();
  loop_.cancel(beat_timer_);
  loop_.cancel(deadline_timer_);
  const bool wanted = state_ == State::stopping;
  state_ = State::stopped;
  const bool again = std::exchange(start_again_, false);
  if (wanted && !again) return events_.ended(*this, *ended, true);
  if (wanted) {
    events_.ended(*this, *ended, true);
    ++restarts_;
    return start();
  }
  quick_deaths_ = Steady::now() - started_at_ > k_stable_after ? 0 : quick_deaths_ + 1;
  state_ = State::pausing;
  events_.ended(*this, *ended, false);
  if (state_ == State::pausing) pause_and_restart();  // unless the event stopped it
}

void Service::pause_and_restart() {
  state_ = State::pausing;
  ++restarts_;
  // The first time at once: sessions are holding their bytes.
  const auto pause = quick_deaths_ <= 1 ? milliseconds(0) : std::min(k_first_pause * (1 << std::min(quick_deaths_ - 2, 10U)), k_longest_pause);
  restart_timer_ = loop_.after(pause, [this] { start(); });
}

void Service::stop(std::chrono::milliseconds grace) {
  loop_.cancel(restart_timer_);
  if (!has_process()) {
    const bool told = state_ == State::stopped;
    state_ = State::stopped;
    if (!told) events_.ended(*this, Ended{}, true);
    return;
  }
  state_ = State::stopping;
  control::Envelope shutdown;
  shutdown.mutable_shutdown()->set_grace_ms(static_cast<std::uint32_t>(grace.count()));
  channel_->send(std::move(shutdown));
  loop_.cancel(deadline_timer_);
  deadline_timer_ = loop_.after(grace + k_kill_after_grace, [this] {
    os::log_line(os::LogEvent::service_stop_forced, name_ + ": did not end in time, killed");
    kill_now();
  });
}

void Service::replace(std::chrono::milliseconds grace) {
  if (!has_process()) return;
  start_again_ = true;
  stop(grace);
}

void Service::kill_now() {
  if (child_.pid > 0) ::kill(child_.pid, SIGKILL);
}

}  // namespace sallyport::app
