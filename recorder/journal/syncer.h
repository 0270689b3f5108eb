// recorder/journal/syncer.h -- fdatasync on a thread of its own, so that a slow disk never holds the draining of rings.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "platform/os/fd.h"

namespace sallyport::recorder {

/// One job at a time; what is written while it runs goes into the next one: that is the group commit.
class Syncer {
 public:
  Syncer();
  ~Syncer();  ///< waits for the job that runs
  Syncer(const Syncer&) = delete;
  Syncer& operator=(const Syncer&) = delete;

  /// Readable when a job has ended; then call finish().
  [[nodiscard]] int event_fd() const noexcept { return event_.get(); }
  [[nodiscard]] bool is_busy() const noexcept { return busy_; }
  /// Not while busy.
  void start(std::vector<std::shared_ptr<const Fd>> files);
  /// True when the job has ended (is_busy() is then false); `error` is empty when everything is durable.
  [[nodiscard]] bool finish(std::string& error);

 private:
  void run();

  Fd event_;
  bool busy_ = false;  ///< of the caller's thread
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<const Fd>> files_;
  bool has_job_ = false;
  bool is_done_ = false;
  bool stopping_ = false;
  std::string error_;
  std::thread thread_;
};

}  // namespace sallyport::recorder
