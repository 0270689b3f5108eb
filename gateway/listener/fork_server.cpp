#include "gateway/listener/fork_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "platform/os/log.h"

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_most_to_keeper = 256;
constexpr std::size_t k_most_to_authority = 16'384;
constexpr std::size_t k_most_waiting = 128;  ///< then connections stay in the kernel's queue
constexpr Moment k_report_every{10'000};
constexpr unsigned k_notes_per_second = 10;
constexpr Moment k_longest_sleep{60'000};

}  // namespace

ForkServer::ForkServer(Fd keeper_link, const ListenerHooks& hooks, sandbox::Program program, Clock& clock,
                       std::vector<std::string> arguments)
    : keeper_(k_most_to_keeper),
      authority_(k_most_to_authority),
      hooks_(hooks),
      program_(std::move(program)),
      clock_(clock),
      arguments_(std::move(arguments)) {
  keeper_.use(std::move(keeper_link));
  started_at_ = now();
  report_at_ = started_at_ + k_report_every;
}

Result<void> ForkServer::prepare() {
  null_device_ = Fd(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null_device_) return fail(Errc::unavailable, std::string("/dev/null: ") + std::strerror(errno));
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&wanted, signal);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  if (sigprocmask(SIG_SETMASK, &wanted, nullptr) != 0) return fail(Errc::unavailable, "sigprocmask");
  signals_ = Fd(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return fail(Errc::unavailable, std::string("signalfd: ") + std::strerror(errno));
  return {};
}

Moment ForkServer::now() const { return std::chrono::duration_cast<Moment>(clock_.boot()); }

int ForkServer::run() {
  reap();
  while (!done_) turn();
  return exit_status_;
}

void ForkServer::turn() {
  poll_once(next_timeout());
  serve_waiting();
  ask_for_kits();
  run_timers();
  if (draining_ && children_.empty()) done_ = true;
  say_ready_once();
}

void ForkServer::poll_once(int timeout_ms) {
  std::vector<pollfd> asked;
  asked.reserve(4 + sockets_.size() + proxied_.size());
  asked.push_back({signals_.get(), POLLIN, 0});
  asked.push_back({keeper_.is_open() ? keeper_.native() : -1, keeper_.wanted_events(), 0});
  asked.push_back({authority_.is_open() ? authority_.native() : -1, authority_.wanted_events(), 0});
  const std::size_t first_socket = asked.size();
  const bool accepting = accepts();
  for (const Socket& socket : sockets_) asked.push_back({accepting ? socket.fd.get() : -1, POLLIN, 0});
  const std::size_t first_proxied = asked.size();
  for (const Waiting& waiting : proxied_) asked.push_back({waiting.client.get(), POLLIN, 0});
  if (::poll(asked.data(), asked.size(), timeout_ms) < 0) return;  // EINTR: nothing was read, ask again

  std::vector<int> readable;
  for (std::size_t i = first_proxied; i < asked.size(); ++i)
    if (asked[i].revents != 0) readable.push_back(asked[i].fd);
  if (asked[0].revents != 0) read_signals();
  if (asked[1].revents != 0) read_keeper();
  if (asked[2].revents != 0) read_authority();
  if (!readable.empty()) read_proxy_headers(readable);
  // A crash that was just reaped makes the process new before it accepts anything else.
  if (!accepts()) return;
  for (std::size_t i = 0; first_socket + i < first_proxied && i < sockets_.size(); ++i)
    if (asked[first_socket + i].revents != 0 && asked[first_socket + i].fd == sockets_[i].fd.get())
      accept_from(sockets_[i]);
}

bool ForkServer::is_ready() const {
  return config_ && !config_->session.host_keys.empty() && authority_.is_open() && !sockets_.empty();
}

bool ForkServer::accepts() const {
  return is_ready() && !draining_ && keeper_.is_open() && waiting_.size() < k_most_waiting &&
         now() >= accept_not_before_ && now() < renew_at_;
}

int ForkServer::next_timeout() const {
  const Moment here = now();
  Moment next = here + k_longest_sleep;
  const auto sooner = [&next](Moment moment) { next = std::min(next, moment); };
  for (const Waiting& one : waiting_) sooner(give_up_at(one));
  for (const Waiting& one : held_) sooner(one.record.not_before);
  for (const Waiting& one : proxied_) sooner(one.record.deadline);
  if (kits_asked_ > 0) sooner(kits_asked_at_ + Moment(1000));
  if (kits_not_before_ > here) sooner(kits_not_before_);
  if (accept_not_before_ > here) sooner(accept_not_before_);
  if (!orphaned_jumps_.empty()) sooner(orphaned_jumps_.front().first);
  if (counters_ != reported_) sooner(report_at_);
  sooner(renew_at_);
  sooner(kill_at_);
  return static_cast<int>(std::clamp<std::int64_t>((next - here).count(), 0, k_longest_sleep.count()));
}

void ForkServer::run_timers() {
  const Moment here = now();
  while (!proxied_.empty() && proxied_.front().record.deadline <= here) {
    ++counters_["proxy_late"];
    proxied_.pop_front();
  }
  while (!orphaned_jumps_.empty() && orphaned_jumps_.front().first <= here) {
    const auto pid = pid_of_session_.find(orphaned_jumps_.front().second);
    if (pid != pid_of_session_.end()) kill_child(children_.at(pid->second), "its outer session had ended");
    orphaned_jumps_.pop_front();
  }
  if (here >= report_at_) report_counters();
  if (here >= kill_at_) {
    kill_all("the gateway is stopping");
    kill_at_ = here + Moment(1000);
  }
  if (here >= renew_at_ && !draining_) renew(renew_why_);
}

void ForkServer::read_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info))
    if (info.ssi_signo != SIGCHLD && !draining_) begin_to_drain(now() + Moment(5000), 0);
  reap();
}

void ForkServer::begin_to_drain(Moment kill_at, int exit_status) {
  draining_ = true;
  kill_at_ = kill_at;
  exit_status_ = exit_status;
  sockets_.clear();
  proxied_.clear();
  for (auto* list : {&waiting_, &held_}) {
    for (Waiting& waiting : *list) refuse(std::move(waiting.client), "SP-5005");
    list->clear();
  }
  for (Kit& kit : kits_) {
    control::Envelope envelope;
    envelope.mutable_discard_kit()->set_session(kit.session);
    keeper_.send(std::move(envelope));
  }
  kits_.clear();
}

void ForkServer::say_ready_once() {
  if (said_ready_ || draining_ || !is_ready()) return;
  said_ready_ = true;
  control::Envelope envelope;
  envelope.mutable_ready()->set_detail("accepting on " + std::to_string(sockets_.size()) + " sockets");
  keeper_.send(std::move(envelope));
}

void ForkServer::report_counters() {
  report_at_ = now() + k_report_every;
  if (counters_ == reported_) return;
  reported_ = counters_;
  control::Envelope envelope;
  control::ServiceNotice& notice = *envelope.mutable_notice();
  std::string text = "connections:";
  for (const auto& [name, value] : counters_) {
    (*notice.mutable_counters())[name] = value;
    text += " " + name + "=" + std::to_string(value);
  }
  (*notice.mutable_counters())["live"] = children_.size();
  (*notice.mutable_counters())["unproven"] = admission_.unproven();
  text += " live=" + std::to_string(children_.size()) + " unproven=" + std::to_string(admission_.unproven());
  notice.set_text(os::notice_text(os::LogEvent::listener_counters, text));
  keeper_.send(std::move(envelope));
}

void ForkServer::note(os::LogEvent event, const std::string& text) {
  const Moment here = now();
  if (here - notes_from_ >= Moment(1000)) {
    notes_from_ = here;
    notes_ = 0;
  }
  if (++notes_ > k_notes_per_second) return;
  control::Envelope envelope;
  envelope.mutable_notice()->set_text(os::notice_text(event, text));
  keeper_.send(std::move(envelope));
}

}  // namespace sallyport::gateway
