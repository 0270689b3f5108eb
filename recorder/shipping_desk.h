// recorder/shipping_desk.h -- the recorder's end of its shipper: starts it, tells it what is durable, hears how it goes.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "platform/control/link.h"
#include "platform/model/clock.h"

namespace sallyport::recorder {

/// A process of its own, started anew when it ends. Never blocks.
class ShippingDesk {
 public:
  using Event = std::function<void(const std::string& name, const std::string& session, const std::string& json)>;

  /// `settings`: the recorder's own, as text. `epoll_tag`: under which the shipper's link stands in `epoll`.
  ShippingDesk(std::string settings, int epoll, std::uint64_t epoll_tag, Clock& clock, Event event);
  ~ShippingDesk();
  ShippingDesk(const ShippingDesk&) = delete;
  ShippingDesk& operator=(const ShippingDesk&) = delete;

  /// Starts it when it is due.
  void tick();
  [[nodiscard]] std::optional<BootTime> next_tick() const;
  /// Its link is readable.
  void read();
  void durable_up_to(std::uint64_t file, std::uint64_t offset);
  void use_settings(std::string settings);
  /// A checkpoint for the witnesses that are reached over the network.
  void witness(const std::string& body, const std::string& line);
  /// Sessions under legal hold: what is still to come of them is held in the store as well.
  void hold(std::vector<std::string> sessions);
  /// What is there shall go out within `grace`; then it ends.
  void stop(std::chrono::milliseconds grace);
  [[nodiscard]] bool is_running() const noexcept { return pid_ > 0; }

  /// Why new sessions must be refused ("SP-4101 ..."); empty: they need not.
  [[nodiscard]] std::string trouble() const;
  /// For people: where it is, what is in its way.
  [[nodiscard]] const control::ShipReport& report() const noexcept { return report_; }

 private:
  void start();
  void ended();
  void say(control::Envelope envelope);

  std::string settings_;
  int epoll_;
  std::uint64_t tag_;
  Clock& clock_;
  Event event_;
  bool strict_ = true;
  control::Link link_;
  pid_t pid_ = 0;
  BootTime start_at_{};
  BootTime started_at_{};
  unsigned quick_ends_ = 0;
  bool stopping_ = false;
  control::ShipReport report_;
  std::vector<std::string> held_;
  std::uint64_t durable_file_ = 0, durable_offset_ = 0;
  std::uint64_t told_file_ = 0, told_offset_ = 0;
};

}  // namespace sallyport::recorder
