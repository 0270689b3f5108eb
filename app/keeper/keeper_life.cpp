// Signals, reload, stop, and the service manager's watchdog.
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "app/keeper/keeper_process.h"
#include "platform/model/json_text.h"
#include "platform/os/log.h"

namespace sallyport::app {

Result<void> KeeperProcess::read_signals() {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) sigaddset(&wanted, signal);
  if (sigprocmask(SIG_BLOCK, &wanted, nullptr) != 0) return fail(Errc::internal, "sigprocmask");
  signals_ = Fd(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return fail(Errc::internal, std::string("signalfd: ") + std::strerror(errno));
  return loop_.watch(signals_.get(), EPOLLIN, [this](std::uint32_t) {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) on_signal(static_cast<int>(info.ssi_signo));
  });
}

void KeeperProcess::on_signal(int signal) {
  if (signal == SIGHUP) return reload();
  if (signal == SIGUSR2) return upgrade(100);
  if (!stopping_) return stop();
  os::log_line(os::LogEvent::keeper_stop_forced, "asked again to stop: live sessions end now");
  service(control::PEER_LISTENER).kill_now();
}

void KeeperProcess::reload() {
  if (!options_.reload || stopping_) return;
  notifier_.say_reloading();
  auto fresh = options_.reload();
  if (!fresh) {
    os::log_line(os::LogEvent::config_refused, "reload: nothing changed, the configuration is wrong:\n" + fresh.error().detail);
    return notifier_.say("READY=1");
  }
  const Config& old = options_.config;
  if (fresh->state_dir != old.state_dir || fresh->run_dir != old.run_dir || fresh->ring_dir != old.ring_dir) {
    os::log_line(os::LogEvent::config_refused, "reload: nothing changed: state_dir, run_dir and ring_dir need a restart");
    return notifier_.say("READY=1");
  }
  if (fresh->listen != old.listen) {
    std::vector<ListeningSocket> sockets;
    for (const std::string& address : fresh->listen) {
      const auto kept = std::find_if(sockets_.begin(), sockets_.end(), [&address](const ListeningSocket& s) { return s.fd && s.address == address; });
      auto socket = kept != sockets_.end() ? Result<ListeningSocket>(std::move(*kept)) : open_listening(address);
      if (socket) sockets.push_back(std::move(*socket));
      else os::log_line(os::LogEvent::config_refused, "reload: " + socket.error().detail);
    }
    sockets_ = std::move(sockets);
  }
  options_.config = std::move(*fresh);
  ring_place_.bytes = options_.config.ring_bytes;
  take_log_settings(options_.config);
  for (const auto& [peer, service] : services_) send_settings(*service);
  if (announced_) send_sockets();
  os::log_line(os::LogEvent::config_reloaded, "configuration reloaded");
  event("keeper.reloaded", "{\"file\":" + json_quote(options_.config.file) + "}");
  notifier_.say("READY=1");
}

void KeeperProcess::stop() {
  if (stopping_) return;
  stopping_ = true;
  os::log_line(os::LogEvent::keeper_stopping, "stopping; live sessions have " + std::to_string(options_.config.drain.count() / 1000) + " s");
  notifier_.say("STOPPING=1");
  event("keeper.stopping", "{\"sessions\":" + std::to_string(sessions_.size()) + "}");
  stop_grace_ = options_.config.drain;
  sockets_.clear();
  stop_next();
}

void KeeperProcess::stop_next() {
  while (stopped_ < k_stop_order.size()) {
    Service& next = service(k_stop_order[stopped_]);
    const bool waits = next.has_process();
    next.stop(next.peer() == control::PEER_LISTENER ? stop_grace_ : k_service_grace);
    if (waits) return;  // on_ended goes on
    if (stopped_ < k_stop_order.size() && next.peer() == k_stop_order[stopped_]) ++stopped_;
  }
  unlink((options_.config.state_dir / "running").c_str());
  unlink((options_.config.run_dir / "keeper.pid").c_str());
  loop_.stop();
}

void KeeperProcess::beat_watchdog() {
  if (notifier_.watchdog_every().count() <= 0) return;
  notifier_.say("WATCHDOG=1");
  loop_.after(notifier_.watchdog_every(), [this] { beat_watchdog(); });
}

}  // namespace sallyport::app
