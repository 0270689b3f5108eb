// app/keeper/service.h -- one long-lived service process: started, watched, started again with growing pauses, stopped.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/keeper/channel.h"
#include "app/keeper/loop.h"
#include "app/keeper/process.h"

namespace sallyport::app {

class Service {
 public:
  enum class State {
    stopped,   ///< no process, and none wanted
    starting,  ///< the process runs and has not said Ready
    ready,
    pausing,   ///< it died; a new one comes after the back-off
    stopping,  ///< Shutdown was sent
  };
  struct Events {
    std::function<void(Service&)> started;                    ///< send what it needs: it has its control link and nothing else
    std::function<void(Service&)> became_ready;
    std::function<void(Service&, control::Received)> message; ///< all but Ready
    std::function<void(Service&, Ended, bool wanted)> ended;  ///< `wanted`: after stop() or replace()
  };

  Service(Loop& loop, control::Peer peer, std::string name, Command command, Events events);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  void start();
  /// Goes on with a process that an earlier image of this keeper started.
  Result<void> adopt(pid_t pid, Fd control, bool was_ready, unsigned restarts);
  /// Asks for the end; SIGKILL follows `grace` + 5 s later. `ended` is called with wanted = true.
  void stop(std::chrono::milliseconds grace);
  /// stop(), then start() with the binary that then is there.
  void replace(std::chrono::milliseconds grace);
  void kill_now();

  void send(control::Envelope envelope, std::span<const int> descriptors = {});
  [[nodiscard]] bool has_process() const noexcept { return channel_ != nullptr; }
  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool is_ready() const noexcept { return state_ == State::ready; }
  /// Nothing waits in memory to be sent.
  [[nodiscard]] bool is_idle() const noexcept { return channel_ != nullptr && channel_->waiting() == 0; }
  [[nodiscard]] control::Peer peer() const noexcept { return peer_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] pid_t pid() const noexcept { return child_.pid; }
  [[nodiscard]] int control_descriptor() const noexcept { return channel_ ? channel_->native() : -1; }
  [[nodiscard]] unsigned restarts() const noexcept { return restarts_; }

 private:
  void open_channel(Fd control);
  void watch_process();
  void on_received(control::Received received);
  void on_process_end();
  void pause_and_restart();
  void beat();

  Loop& loop_;
  control::Peer peer_;
  std::string name_;
  Command command_;
  Events events_;
  State state_ = State::stopped;
  bool start_again_ = false;
  Child child_;
  std::unique_ptr<Channel> channel_;
  Steady::time_point started_at_{};
  Steady::time_point heard_at_{};
  unsigned restarts_ = 0;
  unsigned quick_deaths_ = 0;
  Loop::TimerId beat_timer_ = 0;
  Loop::TimerId deadline_timer_ = 0;
  Loop::TimerId restart_timer_ = 0;
};

}  // namespace sallyport::app
