#include "recorder/witness.h"

#include <fcntl.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "platform/os/fd.h"

namespace sallyport::recorder {
namespace {
constexpr std::size_t k_most_waiting = 64;
}

Witness::Witness(std::vector<std::string> files, bool use_syslog)
    : files_(std::move(files)), use_syslog_(use_syslog), thread_([this] { run(); }) {}

Witness::~Witness() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Witness::tell(std::string note) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= k_most_waiting) queue_.pop_front();
    queue_.push_back(std::move(note));
  }
  changed_.notify_one();
}

std::vector<std::string> Witness::take_problems() {
  const std::lock_guard lock(mutex_);
  return std::exchange(problems_, {});
}

void Witness::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !queue_.empty() || stopping_; });
    if (queue_.empty()) return;
    const std::string note = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    for (const std::string& path : files_) append(path, note);
    if (use_syslog_) {
      const std::string line = syslog_line_of(note);
      if (!line.empty()) ::syslog(LOG_AUTHPRIV | LOG_NOTICE, "sallyport: %s", line.c_str());
    }
    lock.lock();
  }
}

void Witness::append(const std::string& path, const std::string& note) {
  const std::string text = note + "\n";  // one empty line behind each note
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  const bool written = file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       (::fdatasync(file.get()) == 0 || errno == EINVAL || errno == EROFS);
  if (written) return;
  const std::string problem = path + ": " + std::strerror(errno);
  const std::lock_guard lock(mutex_);
  if (problems_.size() < k_most_waiting) problems_.push_back(problem);
}

std::string syslog_line_of(const std::string& note) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < note.size();) {
    const std::size_t end = note.find('\n', at);
    if (end == std::string::npos) return {};
    lines.push_back(note.substr(at, end - at));
    at = end + 1;
  }
  if (lines.size() < 5) return {};
  const std::string& signature = lines.back();
  const std::size_t blank = signature.rfind(' ');
  if (blank == std::string::npos) return {};
  std::string line = "checkpoint " + lines[0] + " " + lines[1] + " " + lines[2] + " " + signature.substr(blank + 1);
  if (lines[3].starts_with("next-key ")) line += " " + lines[3];
  return line;
}

}  // namespace sallyport::recorder
