// app/keeper/notify.h -- sd_notify(3) without libsystemd: one datagram to $NOTIFY_SOCKET.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace sallyport::app {

/// Tells the service manager, if there is one. Lines such as "READY=1\nSTATUS=...". Never blocks, never fails loudly.
class Notifier {
 public:
  Notifier();  ///< reads $NOTIFY_SOCKET and $WATCHDOG_USEC
  void say(std::string_view lines) const;
  /// "RELOADING=1" with the time stamp that Type=notify-reload wants.
  void say_reloading() const;
  /// How often WATCHDOG=1 is due; zero: never.
  [[nodiscard]] std::chrono::milliseconds watchdog_every() const noexcept { return watchdog_; }

 private:
  std::string socket_;
  std::chrono::milliseconds watchdog_{};
};

}  // namespace sallyport::app
