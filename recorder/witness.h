// recorder/witness.h -- tells checkpoints to places that whoever holds the state directory does not rule.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sallyport::recorder {

/// Appends each note to the witness files and writes one line to syslog, on a thread of its own: a file system that hangs must not hold
/// the recorder. At most 64 notes wait; older ones are dropped first (each checkpoint covers the ones before).
class Witness {
 public:
  Witness(std::vector<std::string> files, bool use_syslog);
  ~Witness();  ///< waits until what is queued was written
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;

  /// `note` ends with a newline.
  void tell(std::string note);
  /// What went wrong since the last call, one text per file; empty when all is well.
  [[nodiscard]] std::vector<std::string> take_problems();

 private:
  void run();
  void append(const std::string& path, const std::string& note);

  std::vector<std::string> files_;
  bool use_syslog_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> queue_;
  std::vector<std::string> problems_;
  bool stopping_ = false;
  std::thread thread_;
};

/// "checkpoint ORIGIN SIZE ROOT SIGNATURE"; empty when `note` is no checkpoint.
[[nodiscard]] std::string syslog_line_of(const std::string& note);

}  // namespace sallyport::recorder
