#include "recorder/journal/syncer.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace sallyport::recorder {

Syncer::Syncer() : event_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), thread_([this] { run(); }) {}

Syncer::~Syncer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Syncer::start(std::vector<std::shared_ptr<const Fd>> files) {
  busy_ = true;
  {
    const std::lock_guard lock(mutex_);
    files_ = std::move(files);
    has_job_ = true;
    is_done_ = false;
  }
  changed_.notify_one();
}

bool Syncer::finish(std::string& error) {
  std::uint64_t count = 0;
  if (::read(event_.get(), &count, sizeof count) < 0 && errno != EAGAIN) error = std::strerror(errno);
  const std::lock_guard lock(mutex_);
  if (!busy_ || !is_done_) return false;
  busy_ = false;
  is_done_ = false;
  error = std::exchange(error_, {});
  return true;
}

void Syncer::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return has_job_ || stopping_; });
    if (!has_job_) return;
    has_job_ = false;
    auto files = std::exchange(files_, {});
    lock.unlock();
    std::string error;
    for (const auto& file : files)
      if (::fdatasync(file->get()) != 0) error = std::string("fdatasync of the journal: ") + std::strerror(errno);
    files.clear();
    lock.lock();
    error_ = std::move(error);
    is_done_ = true;
    const std::uint64_t one = 1;
    if (::write(event_.get(), &one, sizeof one) < 0 && errno != EAGAIN) error_ = "the recorder's own eventfd failed";
  }
}

}  // namespace sallyport::recorder
